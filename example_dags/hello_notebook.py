"""Run one notebook as one task, on the emulator or on Vertex AI.

Environment variables say where it runs; the defaults work on the emulator:

- ``NBJOBS_BUCKET``: the bucket that holds ``notebooks/wine.ipynb`` and gets the executed notebook
- ``NBJOBS_LOCATION``: the region
- ``NBJOBS_RUNTIME_TEMPLATE``: id or name of a runtime template
- ``NBJOBS_SERVICE_ACCOUNT``: the service account that the notebook runs as
- ``NBJOBS_POLL_INTERVAL``: seconds between two requests for the job's state; on Vertex AI, 30 is enough

``nbjobs emulator`` runs notebooks in its own environment, which needs the packages that the notebooks import. Its
storage is empty at first. From this folder, in a shell that has run the emulator's two ``export`` lines::

    pip install matplotlib pandas scikit-learn
    python -c "from google.cloud.storage import Client; Client('local').create_bucket('nbjobs-examples').blob(
        'notebooks/wine.ipynb').upload_from_filename('notebooks/wine.ipynb')"
"""

import os

from airflow.sdk import DAG

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

BUCKET = os.environ.get("NBJOBS_BUCKET", "nbjobs-examples")

with DAG("hello_notebook", schedule=None, tags=["notebooks"], default_args={"retries": 3}):
    CreateNotebookExecutionJobOperator(
        task_id="wine_report",
        notebook=f"gs://{BUCKET}/notebooks/wine.ipynb",
        gcs_output_uri=f"gs://{BUCKET}/runs",
        location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
        runtime_template=os.environ.get("NBJOBS_RUNTIME_TEMPLATE", "1234567890"),
        service_account=os.environ.get("NBJOBS_SERVICE_ACCOUNT", "notebooks@local.iam.gserviceaccount.com"),
        poll_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
        deferrable=True,
    )
