"""What the header shows, and the sentence for everything that cannot be shown."""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.plugin.conftest import CANARY, finish, paper, problem
from tests.support.google_lookalike import Server
from tests.support.papers import as_bytes
from tests.support.task_rows import TaskRow


def test_the_header_of_a_job_that_succeeded(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    row = ran(notebook="gs://results/report.ipynb")
    row.push("return_value", {"v": 1, "results": {"visitors": 42, "api_key": "s3cret"}})
    state = ann.get(row.path("state")).json()
    job = state["job"]
    assert (job["state"], job["is_over"], job["is_success"], job["reason"]) == ("SUCCEEDED", True, True, None)
    assert job["seconds"] >= 0
    assert job["runtime"].endswith("/notebookRuntimeTemplates/1")
    assert job["runs_as"] == "runner@p.iam.gserviceaccount.com"
    assert job["source"] == "gs://results/report.ipynb"
    assert state["results"] == {"visitors": 42, "api_key": "***"}
    assert state["notebook"]["kind"] == "executed"
    assert state["notebook"]["uri"] == f"gs://results/runs/{job['id']}/report.ipynb"
    assert {link["name"] for link in state["links"]} == {"Notebook executions", "Executed notebook"}
    assert (state["problem"], state["refresh_seconds"]) == (None, None)


def test_facts_are_times_and_parameters(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    with_secret = paper()
    with_secret["metadata"]["papermill"]["parameters"]["api_key"] = "s3cret"
    facts = ann.get(ran(as_bytes(with_secret)).path("facts")).json()
    assert facts["cells"] == [{"number": 1, "seconds": 2.0, "has_run": True}]
    assert facts["parameters"] == {"day": "2026-11-22", "api_key": "***"}
    assert facts["failed"] is None


def test_a_failure_has_its_cell_and_reason(ann: TestClient, cloud: Any) -> None:
    row, broken = TaskRow.make(state="failed"), paper()
    error = {"output_type": "error", "ename": "ValueError", "evalue": "<b>no</b>", "traceback": []}
    broken["cells"][0]["outputs"].append(error)
    cloud.upload("gs://results/made", b"")
    finish(cloud, row.submit(), as_bytes(broken), state="JOB_STATE_FAILED")
    state = ann.get(row.path("state")).json()
    assert state["job"]["reason"]
    assert ann.get(row.path("facts")).json()["failed"] == 1
    page = ann.get(row.path("frame")).text
    assert 'id="failed-cell"' in page
    assert "<b>no</b>" not in page


def test_an_allowed_error_is_no_failure(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    allowed = paper()
    error = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}
    allowed["cells"][0]["outputs"].append(error)
    assert ann.get(ran(as_bytes(allowed)).path("facts")).json()["failed"] is None


def test_a_running_job_says_how_long_and_shows_its_source(ann: TestClient, cloud: Any) -> None:
    row = TaskRow.make(state="deferred", notebook="gs://results/report.ipynb")
    cloud.upload("gs://results/report.ipynb", as_bytes(paper()))
    cloud.fault({"job_state": ["JOB_STATE_PENDING", "JOB_STATE_RUNNING"], "seconds": 3600})
    name = row.submit()
    pending = ann.get(row.path("state")).json()
    assert pending["job"]["waited_seconds"] >= 0
    assert pending["job"]["ran_seconds"] is None
    cloud.play(name, "JOB_STATE_RUNNING")
    running = ann.get(row.path("state")).json()
    assert running["job"]["ran_seconds"] >= 0
    assert (running["notebook"]["kind"], running["refresh_seconds"]) == ("source", 5)
    page = ann.get(row.path("frame")).text
    assert ">text<" in page
    assert CANARY not in page  # an output of an earlier run
    finish(cloud, name)
    ended = ann.get(row.path("state")).json()
    assert (ended["notebook"]["kind"], ended["refresh_seconds"]) == ("executed", None)


def test_a_job_is_settled_some_time_after_its_end(
    ann: TestClient, cloud: Any, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ran()
    assert ann.get(row.path("state")).json()["job"]["is_settled"] is False
    monkeypatch.setattr("airflow_nbjobs.plugin.state._SETTLED_SECONDS", 0)
    assert ann.get(row.path("state")).json()["job"]["is_settled"] is True
    active = TaskRow.make(state="deferred")
    active.submit()
    assert ann.get(active.path("state")).json()["job"]["is_settled"] is False


def test_a_source_that_is_no_notebook_file_is_not_read(ann: TestClient, cloud: Any) -> None:
    row = TaskRow.make(state="deferred", notebook="gs://results/salaries.csv")
    cloud.upload("gs://results/salaries.csv", CANARY.encode())
    row.submit(gcsNotebookSource={"uri": "gs://results/salaries.csv"})
    assert problem(ann.get(row.path("state")))[0] == "source_elsewhere"
    answer = ann.get(row.path("notebook.ipynb"))
    assert (answer.status_code, CANARY in answer.text) == (404, False)


@pytest.mark.parametrize("notebook", ["gs://results/report.ipynb", "gs://results/secret.ipynb#7", None])
def test_a_source_that_the_task_does_not_name_is_not_read(notebook: str | None, ann: TestClient, cloud: Any) -> None:
    row = TaskRow.make(state="deferred", notebook=notebook)
    cloud.upload("gs://results/secret.ipynb", as_bytes(paper()))
    row.submit(gcsNotebookSource={"uri": "gs://results/secret.ipynb"})
    assert problem(ann.get(row.path("state")))[0] == "source_elsewhere"
    answer = ann.get(row.path("notebook.ipynb"))
    assert (answer.status_code, CANARY in answer.text) == (404, False)


def test_a_source_that_was_sent_is_shown_from_the_job(ann: TestClient, cloud: Any) -> None:
    row = TaskRow.make(state="deferred")
    content = base64.b64encode(as_bytes(paper())).decode()
    row.submit(gcsNotebookSource=None, directNotebookSource={"content": content})
    assert ">text<" in ann.get(row.path("frame")).text


def test_a_source_in_another_bucket_is_not_read(ann: TestClient, cloud: Any) -> None:
    row = TaskRow.make(state="deferred", notebook="gs://elsewhere/secret.ipynb")
    cloud.upload("gs://elsewhere/secret.ipynb", as_bytes(paper()))
    row.submit(gcsNotebookSource={"uri": "gs://elsewhere/secret.ipynb"})
    assert problem(ann.get(row.path("state"))) == (
        "source_elsewhere",
        "The notebook is shown here when the job has ended.",
    )
    assert CANARY not in ann.get(row.path("notebook.ipynb")).text


@pytest.mark.parametrize("state", [None, "scheduled", "queued", "running"])
def test_before_a_job_the_tab_waits(state: str | None, ann: TestClient, cloud: Any) -> None:
    answer = ann.get(TaskRow.make(state=state).path("state"))
    assert problem(answer)[0] == "before_job"
    assert answer.json()["refresh_seconds"] == 5


def test_a_task_without_a_job_says_so(ann: TestClient, cloud: Any) -> None:
    code, message = problem(ann.get(TaskRow.make(state="failed").path("state")))
    assert code == "no_job"
    assert "log" in message


@pytest.mark.parametrize(
    ("results", "sent"),
    [('{"a": NaN}', {"a": "nan"}), ('{"a": "\\ud800"}', {"a": "?"}), ('{"a": 1e999}', {"a": "inf"})],
)
def test_forged_xcoms_that_are_no_json_do_no_harm(
    results: str, sent: object, ann: TestClient, ran: Callable[..., TaskRow]
) -> None:
    row = ran()
    row.push("return_value", f'{{"results": {results}}}')
    row.push("_link_ExecutedNotebookLink", "https://example.com/\ud800")
    answer = ann.get(row.path("state"))
    assert (answer.status_code, answer.json()["results"]) == (200, sent)


def test_another_task_says_so(ann: TestClient, cloud: Any) -> None:
    row = TaskRow.make(operator="PythonOperator", location=None)
    assert problem(ann.get(row.path("state")))[0] == "not_ours"
    assert ann.get(row.path("state")).json()["refresh_seconds"] is None


def test_a_sensor_shows_links_and_no_content(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    row = ran(operator="NotebookExecutionJobSensor")
    row.push("return_value", {"v": 1, "results": {"visitors": CANARY}})
    row.push("_link_NotebookExecutionJobListLink", "https://console.cloud.google.com/jobs")
    row.push("_link_ExecutedNotebookLink", "javascript:alert(1)")
    state = ann.get(row.path("state"))
    assert problem(state)[0] == "sensor"
    assert state.json()["links"] == [{"name": "Notebook executions", "url": "https://console.cloud.google.com/jobs"}]
    assert CANARY not in state.text
    assert ann.get(row.path("frame")).status_code == 404


def test_a_deleted_job_says_so(ann: TestClient, cloud: Any, ran: Callable[..., TaskRow]) -> None:
    row = ran()
    row.note("projects/p/locations/us-central1/notebookExecutionJobs/123".replace("/p/", f"/{cloud.project}/"))
    assert problem(ann.get(row.path("state")))[0] == "job_gone"


def test_a_job_without_an_executed_notebook_says_why(ann: TestClient, cloud: Any) -> None:
    row = TaskRow.make(state="failed")
    cloud.upload("gs://results/made", b"")
    cloud.play(row.submit(), "JOB_STATE_FAILED", "no machine was free")
    code, message = problem(ann.get(row.path("state")))
    assert code == "not_written"
    assert "no machine was free" in message


def test_a_bucket_that_may_not_be_read_names_the_remedy(
    ann: TestClient, ran: Callable[..., TaskRow], serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ran()
    refusing = serve((403, {}, {"error": {"code": 403, "message": f"{CANARY} denied"}}))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", refusing.url)
    code, message = problem(ann.get(row.path("state")))
    assert code == "no_permission"
    assert "roles/storage.objectViewer on the bucket 'results'" in message
    assert CANARY not in message


def test_a_project_that_may_not_be_read_names_the_remedy(
    ann: TestClient, cloud: Any, ran: Callable[..., TaskRow]
) -> None:
    row = ran()
    cloud.fault({"method": "get", "status": 403, "times": 1})
    code, message = problem(ann.get(row.path("state")))
    assert code == "no_permission"
    assert "roles/aiplatform.viewer" in message


def test_a_service_that_does_not_answer_is_asked_again(
    ann: TestClient, cloud: Any, ran: Callable[..., TaskRow], brisk: None
) -> None:
    row = ran()
    cloud.fault({"method": "get", "status": 503, "times": 3})
    answer = ann.get(row.path("state"))
    assert problem(answer)[0] == "no_answer"
    assert answer.json()["refresh_seconds"] == 5


def test_a_notebook_that_is_too_large_can_be_downloaded(
    ann: TestClient, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ran()
    monkeypatch.setenv("AIRFLOW__NBJOBS__UI_NOTEBOOK_BYTES", "100")
    code, message = problem(ann.get(row.path("state")))
    assert code == "too_large"
    assert "over the limit of 100" in message
    assert ann.get(row.path("frame")).status_code == 404
    assert CANARY in ann.get(row.path("notebook.ipynb")).text


def test_without_the_extra_the_tab_says_how_to_install_it(
    ann: TestClient, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    row, find = ran(), importlib.util.find_spec
    monkeypatch.setattr("airflow_nbjobs.plugin.extra.find_spec", lambda name: None if name == "nh3" else find(name))
    code, message = problem(ann.get(row.path("state")))
    assert code == "no_extra"
    assert "pip install 'airflow-nbjobs[ui]'" in message
    assert "nh3" in ann.get(row.path("frame")).text
    assert CANARY in ann.get(row.path("notebook.ipynb")).text
