"""Run a notebook by hand, with parameters that the person gives.

``params`` are the fields of the form that "Trigger" opens in Airflow's UI. On the command line: ``airflow dags trigger
report_by_hand --conf '{"day": "2026-11-20"}'``.

``hello_notebook.py`` describes the environment variables, the bucket and the packages.
"""

import os

from airflow.sdk import DAG, Param

from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

BUCKET = os.environ.get("NBJOBS_BUCKET", "nbjobs-examples")

with DAG(
    "report_by_hand",
    schedule=None,
    params={"day": Param("2026-11-22", type="string", format="date"), "hours": Param(24, type="integer", minimum=1)},
    render_template_as_native_obj=True,  # the number stays a number
    tags=["notebooks"],
):
    CreateNotebookExecutionJobOperator(
        task_id="report",
        notebook="notebooks/visits.ipynb",  # in the folder of this file; its content is sent
        parameters={"day": "{{ params.day }}", "hours": "{{ params.hours }}"},
        gcs_output_uri=f"gs://{BUCKET}/runs",
        location=os.environ.get("NBJOBS_LOCATION", "us-central1"),
        runtime_template=os.environ.get("NBJOBS_RUNTIME_TEMPLATE", "1234567890"),
        service_account=os.environ.get("NBJOBS_SERVICE_ACCOUNT", "notebooks@local.iam.gserviceaccount.com"),
        poll_interval=float(os.environ.get("NBJOBS_POLL_INTERVAL", "5")),
        deferrable=True,
    )
