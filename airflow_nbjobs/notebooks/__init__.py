"""Notebooks: ``.ipynb`` documents, their parameters, results, failures and pages. Nothing here imports Airflow."""
