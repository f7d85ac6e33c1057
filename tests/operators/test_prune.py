"""Deleting the records of old jobs: this Airflow's own, those that are over, and no others."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from airflow_nbjobs.api.calls import Call
from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.api.names import job_of_operation, template_name
from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.exceptions import (
    ApiError,
    InvalidNotebookJobError,
    PermissionDeniedError,
    TransportError,
    UnauthenticatedError,
    UnavailableError,
)
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.operators import PruneNotebookExecutionJobsOperator
from airflow_nbjobs.run.identity import deployment_label
from tests.support.cloud import Cloud
from tests.support.logged import Logged
from tests.support.task_runs import ACCOUNT, NOTEBOOK, REGION, TEMPLATE, TaskRun, submit

OWN, OTHER = "https://airflow.example.com", "https://another.example.com"


@pytest.fixture
def made(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
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
        cloud.fault({"job_state": f"JOB_STATE_{state}", "times": 1})
        names[kind] = submit(ti={"run_id": kind})["name"]
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", OWN)
    return names


def prune(**arguments: Any) -> dict[str, Any]:
    """Run a prune task."""
    wanted = {"older_than": 0.000001, **arguments}
    result: dict[str, Any] = TaskRun(
        lambda: PruneNotebookExecutionJobsOperator(task_id="prune", location=REGION, **wanted)
    ).to_its_end()
    return result


def deleted(cloud: Cloud, made: dict[str, str]) -> set[str]:
    """Return the kinds of the jobs that are gone."""
    gone = {job["name"] for job in cloud.book() if job["deleted"]}
    return {kind for kind, name in made.items() if name in gone}


def test_what_is_over_and_this_airflow_s_is_deleted(made: dict[str, str], cloud: Cloud) -> None:
    assert prune() == {"count": 2, "names": [made["over"], made["failed"]]}
    assert deleted(cloud, made) == {"over", "failed"}


def test_a_dry_run_tells_and_deletes_nothing(made: dict[str, str], cloud: Cloud) -> None:
    assert prune(dry_run=True)["count"] == 2
    assert deleted(cloud, made) == set()


def test_active_jobs_are_deleted_when_asked(made: dict[str, str], cloud: Cloud) -> None:
    assert prune(include_active=True)["count"] == 3
    assert deleted(cloud, made) == {"over", "failed", "active"}


@pytest.mark.parametrize("older_than", [3600, "3600", timedelta(days=1), 1e12, 1e300, timedelta.max], ids=repr)
def test_younger_jobs_stay(made: dict[str, str], cloud: Cloud, older_than: Any) -> None:
    assert prune(older_than=older_than) == {"count": 0, "names": []}


@pytest.mark.parametrize("older_than", [0, -1.0, timedelta(days=-1), timedelta(0), "a month", None, True, float("inf")])
def test_an_age_that_is_none_is_refused(older_than: Any, made: dict[str, str], cloud: Cloud) -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"older_than=.* is not a (time|duration)"):
        prune(older_than=older_than)
    assert deleted(cloud, made) == set()


def test_a_job_that_somebody_else_deletes_meanwhile_is_no_error(made: dict[str, str], cloud: Cloud) -> None:
    cloud.fault({"method": "delete", "times": 1, "status": 404})
    assert prune()["count"] == 2


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try each call once."""
    monkeypatch.setattr("airflow_nbjobs.pruning.ENDURING", Patience(tries=1))


@pytest.mark.parametrize(("status", "kind"), [(403, PermissionDeniedError), (503, UnavailableError)])
def test_a_failing_delete_stops_no_other_and_fails_the_task(
    made: dict[str, str], cloud: Cloud, impatient: None, logged: Logged, status: int, kind: type[ApiError]
) -> None:
    cloud.fault({"method": "delete", "status": status, "message": "Not this one."})
    expected = rf"^{status} .*: 1 of 2 jobs could not be deleted\. The first is {made['over']}: Not this one\.$"
    with pytest.raises(kind, match=expected):
        prune()
    assert deleted(cloud, made) == {"failed"}
    told = [line for line in logged() if "Notebook job" in line and "(" in line]
    assert [line.partition("(")[2].partition(")")[0] for line in told] == [
        made[kind].rpartition("/")[2] for kind in ("over", "failed")
    ]
    assert re.search(r"^Failed to delete .*: \d+ \w+: Not this one\.$", told[0])
    assert told[1].endswith("was deleted.")


@pytest.mark.parametrize(
    ("fault", "kind"), [({"drop": True}, TransportError), ({"status": 401}, UnauthenticatedError)], ids=str
)
def test_what_blocks_every_delete_ends_the_task_at_once(
    made: dict[str, str], cloud: Cloud, impatient: None, fault: dict[str, Any], kind: type[ApiError]
) -> None:
    cloud.fault({"method": "delete", **fault})
    with pytest.raises(kind):
        prune()
    assert deleted(cloud, made) == set()


def test_a_list_that_is_refused_ends_it_at_once(made: dict[str, str], cloud: Cloud) -> None:
    cloud.fault({"method": "list", "status": 403, "message": "No list for you."})
    with pytest.raises(PermissionDeniedError, match=r"^403 PERMISSION_DENIED: No list for you\.$"):
        prune()
    assert deleted(cloud, made) == set()


def copies(project: str) -> list[str]:
    """Return the URIs of the copies that are staged."""

    def uris(answer: Any) -> list[str]:
        return [f"gs://results/{each['name']}" for each in answer.get("items", ())]

    with NotebookExecutionJobHook().storage_client() as client:
        return client.send(Call("GET", "/storage/v1/b/results/o", uris, {"prefix": f"{project}/nbjobs-staged/"}))


def test_a_staged_copy_is_deleted_with_its_own_job(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", OWN)
    monkeypatch.setenv("AIRFLOW__NBJOBS__STAGING_BYTES", "100")
    cloud.upload(f"gs://results/{cloud.project}/made", b"")  # with its bucket
    cloud.fault({"job_state": "JOB_STATE_SUCCEEDED", "times": 2})
    for run_id in ("first", "second"):
        submit(ti={"run_id": run_id}, notebook=NOTEBOOK, gcs_output_uri=f"gs://results/{cloud.project}")
    jobs = NotebookExecutionJobHook().list_jobs(location=REGION, order_by="update_time")
    staged = [job.gcs_notebook_source.uri for job in jobs if job.gcs_notebook_source]
    assert sorted(copies(cloud.project)) == sorted(map(str, staged))
    cloud.fault({"method": "delete", "status": 403})
    with pytest.raises(PermissionDeniedError):
        prune()
    assert copies(cloud.project) == staged[:1]
    assert prune()["count"] == 1
    assert copies(cloud.project) == []


@pytest.mark.parametrize("deployment", ["http://localhost:8080", "http://127.0.0.1:8080/"])
def test_a_deployment_without_a_name_of_its_own_is_refused(
    deployment: str, made: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", deployment)
    with pytest.raises(InvalidNotebookJobError, match=r"set \[nbjobs\] deployment"):
        prune()


OURS = {"nbjobs-v": "1", "nbjobs-deployment": deployment_label(OWN)}


def create(cloud: Cloud, count: int, **job: Any) -> set[str]:
    """Make so many jobs that are over, with other means than the operator's, and return their names."""
    cloud.fault({"job_state": "JOB_STATE_SUCCEEDED", "times": count})
    wanted = NotebookExecutionJob(
        gcs_notebook_source=GcsNotebookSource(uri="gs://notebooks/report.ipynb"),
        notebook_runtime_template_resource_name=template_name(TEMPLATE, cloud.project, REGION),
        gcs_output_uri="gs://results/runs",
        service_account=ACCOUNT,
        **{"display_name": "report", **job},
    )
    hook = NotebookExecutionJobHook()
    names = {str(job_of_operation(hook.create_job(wanted, location=REGION).name)) for _ in range(count)}
    hook.close()
    return names


def test_more_jobs_than_a_page_holds_are_all_deleted(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", OWN)
    names = create(cloud, 103, labels=OURS)
    cloud.reset_requests()
    pruned = prune()
    assert (pruned["count"], len(pruned["names"])) == (103, 100)
    assert cloud.requests() == {"list": {"200": 2}, "delete": {"200": 103}}
    assert {job["name"] for job in cloud.book() if job["deleted"]} == names


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
def test_a_job_of_another_origin_is_never_deleted(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, labels: dict[str, str]
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", OWN)
    create(cloud, 1, labels=labels, display_name=f"report-{'0' * 16}")
    assert prune(include_active=True)["count"] == 0
    (job,) = cloud.book()
    assert not job["deleted"]


def listed(cloud: Cloud, **job: Any) -> str:
    """Let the next list contain one job of this Airflow only; return its name."""
    name = f"projects/{cloud.project}/locations/{REGION}/notebookExecutionJobs/1"
    told = {"name": name, "displayName": "report", "labels": OURS, "updateTime": "2026-01-01T00:00:00Z", **job}
    cloud.fault({"method": "list", "body": json.dumps({"notebookExecutionJobs": [told]})})
    return name


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the Airflow that made the jobs."""
    monkeypatch.setenv("AIRFLOW__NBJOBS__DEPLOYMENT", OWN)


ACTIVE = ["QUEUED", "PENDING", "RUNNING", "PAUSED", "UPDATING", "CANCELLING", "UNSPECIFIED", "HIBERNATING"]
OVER = ["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"]


@pytest.mark.parametrize("state", [*(f"JOB_STATE_{word}" for word in ACTIVE), "", "DONE", None], ids=repr)
def test_an_active_job_is_never_pruned(cloud: Cloud, own: None, state: str | None) -> None:
    listed(cloud, **({} if state is None else {"jobState": state}))
    assert prune() == {"count": 0, "names": []}
    assert "delete" not in cloud.requests()


@pytest.mark.parametrize("state", OVER)
def test_a_job_in_each_state_that_is_an_end_goes(cloud: Cloud, own: None, state: str) -> None:
    name = listed(cloud, jobState=f"JOB_STATE_{state}")
    assert prune() == {"count": 1, "names": [name]}
    assert sum(cloud.requests()["delete"].values()) == 1


@pytest.mark.parametrize(
    ("times", "count"),
    [
        ({"createTime": "2026-01-01T00:00:00Z", "updateTime": "2999-01-01T00:00:00Z"}, 0),
        ({"createTime": "2999-01-01T00:00:00Z", "updateTime": "2026-01-01T00:00:00Z"}, 1),
        ({"createTime": "2026-01-01T00:00:00Z", "updateTime": None}, 0),
    ],
    ids=["updated late", "updated early", "no time"],
)
def test_the_age_is_that_of_the_last_update(cloud: Cloud, own: None, times: dict[str, str | None], count: int) -> None:
    listed(cloud, jobState="JOB_STATE_SUCCEEDED", **times)
    assert prune()["count"] == count


def test_no_page_is_read_after_a_young_job(cloud: Cloud, own: None) -> None:
    create(cloud, 103, labels=OURS)
    cloud.reset_requests()
    assert prune(older_than=timedelta(days=1))["count"] == 0
    assert cloud.requests() == {"list": {"200": 1}}
