"""The REST API: its resources, requests and answers. Nothing here imports Airflow."""
