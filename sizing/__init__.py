"""Measure and disturb an Airflow of many nodes: ``make sizing``."""
