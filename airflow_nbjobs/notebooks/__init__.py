"""The paper: ``.ipynb`` documents. Knows nothing of Airflow."""
