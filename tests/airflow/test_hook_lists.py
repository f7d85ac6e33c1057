"""The hook's lists, as tasks of a user's own read them: without a variable for the hook."""

from __future__ import annotations

from task_runs import ACCOUNT, REGION, TEMPLATE

from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.api.names import job_of_operation
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.hooks import NotebookExecutionJobHook


def make_job(project: str) -> str:
    """Create a job, and return its name."""
    job = NotebookExecutionJob(
        display_name="report",
        gcs_notebook_source=GcsNotebookSource(uri="gs://notebooks/report.ipynb"),
        notebook_runtime_template_resource_name=(
            f"projects/{project}/locations/{REGION}/notebookRuntimeTemplates/{TEMPLATE}"
        ),
        gcs_output_uri="gs://results",
        service_account=ACCOUNT,
    )
    return str(job_of_operation(NotebookExecutionJobHook().create_job(job, location=REGION).name))


def test_pages_are_read_though_nothing_else_holds_the_hook(nbjobs_emulator: Emulator, project: str) -> None:
    made = {make_job(project) for _ in range(3)}
    assert {job.name for job in NotebookExecutionJobHook().list_jobs(location=REGION, page_size=2)} == made


def test_operations_are_read_though_nothing_else_holds_the_hook(nbjobs_emulator: Emulator, project: str) -> None:
    name = make_job(project)
    (operation,) = NotebookExecutionJobHook().list_operations(name)
    assert str(job_of_operation(operation.name)) == name
