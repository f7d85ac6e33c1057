"""The commands of ``nbjobs`` that need Airflow, one module for each."""
