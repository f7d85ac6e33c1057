"""Run notebooks on Vertex AI / Colab Enterprise as Apache Airflow tasks."""

__version__ = "0.2.0"
