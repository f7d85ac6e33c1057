"""Deleting the records of old jobs: this Airflow's own, those that are over, and no others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from task_runs import ACCOUNT, JOB, REGION, TEMPLATE, TaskRun

from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.api.names import job_of_operation, template_name
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator, PruneNotebookExecutionJobsOperator
from airflow_nbjobs.submission import deployment_label

OWN, OTHER = "https://airflow.example.com", "https://another.example.com"


@pytest.fixture
def made(nbjobs_emulator: Emulator, project: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Make one job of each kind, and return its name by its kind."""
    kinds = {
        "over": (OWN, "SUCCEEDED"),
        "failed": (OWN, "FAILED"),
        "active": (OWN, "RUNNING"),
        "another's": (OTHER, "SUCCEEDED"),
    }
    names = {}
    for kind, (deployment, state) in kinds.items():
        monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", deployment)
        nbjobs_emulator.fault({"job_state": f"JOB_STATE_{state}", "times": 1})
        run = TaskRun(
            lambda: CreateNotebookExecutionJobOperator(task_id="report", wait_for_completion=False, **JOB), run_id=kind
        )
        names[kind] = run.to_its_end()["name"]
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", OWN)
    return names


def prune(**arguments: Any) -> dict[str, Any]:
    """Run a prune task."""
    wanted = {"older_than": 0.000001, **arguments}
    result: dict[str, Any] = TaskRun(
        lambda: PruneNotebookExecutionJobsOperator(task_id="prune", location=REGION, **wanted)
    ).to_its_end()
    return result


def deleted(emulator: Emulator, made: dict[str, str]) -> set[str]:
    """Return the kinds of the jobs that are gone."""
    gone = {job["name"] for job in emulator.book() if job["deleted"]}
    return {kind for kind, name in made.items() if name in gone}


def test_what_is_over_and_this_airflow_s_is_deleted(made: dict[str, str], nbjobs_emulator: Emulator) -> None:
    assert prune() == {"count": 2, "names": [made["over"], made["failed"]]}
    assert deleted(nbjobs_emulator, made) == {"over", "failed"}


def test_a_dry_run_tells_and_deletes_nothing(made: dict[str, str], nbjobs_emulator: Emulator) -> None:
    assert prune(dry_run=True)["count"] == 2
    assert deleted(nbjobs_emulator, made) == set()


def test_active_jobs_are_deleted_when_asked(made: dict[str, str], nbjobs_emulator: Emulator) -> None:
    assert prune(include_active=True)["count"] == 3
    assert deleted(nbjobs_emulator, made) == {"over", "failed", "active"}


def test_younger_jobs_stay(made: dict[str, str], nbjobs_emulator: Emulator) -> None:
    assert prune(older_than=timedelta(days=1)) == {"count": 0, "names": []}


@pytest.mark.parametrize("older_than", [0, -1.0, timedelta(days=-1), timedelta(0), "a month", None])
def test_an_age_that_is_none_is_refused(older_than: Any, made: dict[str, str], nbjobs_emulator: Emulator) -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"older_than=.* is not a time"):
        prune(older_than=older_than)
    assert deleted(nbjobs_emulator, made) == set()


def test_a_job_that_somebody_else_deletes_meanwhile_is_no_error(
    made: dict[str, str], nbjobs_emulator: Emulator
) -> None:
    nbjobs_emulator.fault({"method": "delete", "times": 1, "status": 404})
    assert prune()["count"] == 2


@pytest.mark.parametrize("deployment", ["http://localhost:8080", "http://127.0.0.1:8080/"])
def test_a_deployment_without_a_name_of_its_own_is_refused(
    deployment: str, made: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", deployment)
    with pytest.raises(InvalidNotebookJobError, match=r"set \[nbjobs\] deployment"):
        prune()


OURS = {"nbjobs-v": "1", "nbjobs-deployment": deployment_label(OWN)}


def create(emulator: Emulator, project: str, count: int, **job: Any) -> set[str]:
    """Make so many jobs that are over, with other means than the operator's, and return their names."""
    emulator.fault({"job_state": "JOB_STATE_SUCCEEDED", "times": count})
    wanted = NotebookExecutionJob(
        gcs_notebook_source=GcsNotebookSource(uri="gs://notebooks/report.ipynb"),
        notebook_runtime_template_resource_name=template_name(TEMPLATE, project, REGION),
        gcs_output_uri="gs://results/runs",
        service_account=ACCOUNT,
        **{"display_name": "report", **job},
    )
    hook = NotebookExecutionJobHook()
    names = {str(job_of_operation(hook.create_job(wanted, location=REGION).name)) for _ in range(count)}
    hook.close()
    return names


def test_more_jobs_than_a_page_holds_are_all_deleted(
    nbjobs_emulator: Emulator, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", OWN)
    names = create(nbjobs_emulator, project, 103, labels=OURS)
    nbjobs_emulator.reset_requests()
    pruned = prune()
    assert (pruned["count"], len(pruned["names"])) == (103, 100)
    assert nbjobs_emulator.requests() == {"list": {"200": 2}, "delete": {"200": 103}}
    assert {job["name"] for job in nbjobs_emulator.book(project) if job["deleted"]} == names


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"team": "reports", "nbjobs": "1"},
        {"nbjobs-v": "1"},
        {"nbjobs-deployment": deployment_label(OWN)},
        {**OURS, "nbjobs-deployment": deployment_label(OTHER)},
    ],
    ids=["no label", "labels of others", "no deployment", "no version", "another deployment"],
)
def test_a_job_that_this_airflow_did_not_make_is_never_deleted(
    nbjobs_emulator: Emulator, project: str, monkeypatch: pytest.MonkeyPatch, labels: dict[str, str]
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", OWN)
    create(nbjobs_emulator, project, 1, labels=labels, display_name=f"report-{'0' * 16}")
    assert prune(include_active=True)["count"] == 0
    (job,) = nbjobs_emulator.book(project)
    assert not job["deleted"]
