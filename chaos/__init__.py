"""`make chaos`: real Airflow processes are killed at every step of a task's life, and the jobs are counted."""
