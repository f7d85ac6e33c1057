"""The wire: what is said to Vertex AI. Knows nothing of Airflow."""
