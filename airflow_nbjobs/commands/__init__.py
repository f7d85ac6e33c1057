"""What the command ``nbjobs`` does on the side of Airflow, one module for each command."""
