"""Failures on request."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from airflow_nbjobs.emulator.jobs import states
from tests.support.waiting import eventually


def count(api):
    return len(api.emulator.book(api.project))


@pytest.mark.parametrize(("phase", "jobs"), [("before", 0), ("after", 1)])
def test_a_fault_answers_before_or_after_it_acts(api, phase, jobs):
    fault = {"status": 503, "retry_after": 7, "message": "Come back later."}
    api.emulator.fault({"method": "create", "phase": phase, **fault})
    answer = api.post(api.job())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json()["error"] == {"code": 503, "message": "Come back later.", "status": "UNAVAILABLE"}
    assert count(api) == jobs
    assert api.post(api.job()).status_code == 200


def test_a_fault_is_met_as_often_as_was_asked(api):
    api.emulator.fault({"method": "list", "status": 500, "times": 2})
    assert [api.http.get(api.jobs).status_code for _ in range(3)] == [500, 500, 200]
    (account,) = api.emulator.faults()
    assert (account["asked"], account["met"]) == (2, 2)


@pytest.mark.parametrize(
    ("effect", "error", "jobs"),
    [
        ({"drop": True, "phase": "before"}, httpx.RemoteProtocolError, 0),
        ({"drop": True, "phase": "after"}, httpx.RemoteProtocolError, 1),
        # A truncated answer acts in both phases: it is its own answer.
        ({"truncate": True, "phase": "before"}, httpx.TransportError, 1),
        ({"truncate": True, "phase": "after"}, httpx.TransportError, 1),
        ({"truncate": True, "status": 503}, httpx.TransportError, 0),
    ],
)
def test_a_connection_can_close_without_or_within_an_answer(api, effect, error, jobs):
    api.emulator.fault({"method": "create", **effect})
    with pytest.raises(error):
        api.post(api.job())
    assert count(api) == jobs
    assert api.emulator.requests() == {"create": {"dropped": 1}}
    assert api.post(api.job()).status_code == 200


@pytest.mark.parametrize(("asked", "status"), [({}, 200), ({"status": 503, "retry_after": 4}, 503)])
def test_an_answer_can_be_the_page_of_a_proxy(api, asked, status):
    api.emulator.fault({"method": "list", "body": "<html>Sign in</html>", **asked})
    # Not by `api.http`, which compares every answer with Google's discovery document.
    answer = httpx.get(f"{api.http.base_url}{api.jobs}", trust_env=False)
    assert (answer.status_code, answer.text) == (status, "<html>Sign in</html>")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers.get("retry-after") == ("4" if status == 503 else None)
    assert api.http.get(api.jobs).json() == {}


def test_an_answer_can_be_delayed(api):
    api.emulator.fault({"method": "get", "delay_seconds": 0.3})
    name = api.create()
    begun = time.monotonic()
    assert api.get(name)["name"] == name
    assert time.monotonic() - begun >= 0.3


def test_a_delayed_create_acts_after_its_client_has_gone(api):
    api.emulator.fault({"method": "create", "delay_seconds": 0.5})
    with pytest.raises(httpx.ReadTimeout):
        api.http.post(api.jobs, json=api.job(), timeout=0.1)
    assert count(api) == 0
    eventually(lambda: count(api) == 1)


@pytest.mark.parametrize("method", ["get", "delete", "cancel", "get_operation", "list_operations"])
def test_each_method_can_be_failed(api, method):
    name = api.create()
    operation = api.operation(name)["name"]
    api.emulator.fault({"method": method, "status": 429})
    call = {
        "get": lambda: api.http.get(name),
        "delete": lambda: api.http.delete(name),
        "cancel": lambda: api.http.post(f"{operation}:cancel"),
        "get_operation": lambda: api.http.get(operation),
        "list_operations": lambda: api.http.get(f"{name}/operations"),
    }[method]
    assert [call().status_code for _ in range(2)] == [429, 200]


def test_a_quota_is_per_project_and_gives_retry_after(api):
    api.emulator.fault({"quota": {"create": 2}})
    answers = [api.post(api.job()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 55 < int(answers[2].headers["retry-after"]) <= 60
    error = answers[2].json()["error"]
    assert (error["status"], error["details"][0]["reason"]) == ("RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED")
    assert api.http.post(api.jobs.replace(api.project, "another-one"), json=api.job()).status_code == 200
    assert api.emulator.faults() == [{"fault": {"quota": {"create": 2}}, "asked": None, "met": 1}]
    api.emulator.fault({"clear": True})
    assert api.post(api.job()).status_code == 200


@pytest.mark.parametrize("state", [*states.BY_NUMBER, "JOB_STATE_BRAND_NEW"])
def test_every_state_can_be_played(api, state):
    api.emulator.fault({"job_state": state, "status_message": "as asked"})
    name = api.http.post(api.jobs, json=api.job()).json()["name"].partition("/operations/")[0]
    # The discovery document does not know the brand-new state: look at the book, not at the wire.
    eventually(lambda: api.history(name)[-1] == state.removeprefix("JOB_STATE_"))
    assert api.history(name)[0] == "QUEUED"
    if state in states.BY_NUMBER and state != states.QUEUED:
        assert api.get(name)["status"]["message"] == "as asked"
    api.emulator.fault({"job_state": "JOB_STATE_FAILED"})
    assert api.reaches(api.create(), "FAILED")["status"]["code"] == 2


def test_states_can_be_played_one_after_the_other(api):
    played = ["JOB_STATE_PAUSED", "JOB_STATE_QUEUED", "JOB_STATE_UPDATING", "JOB_STATE_SUCCEEDED"]
    api.emulator.fault({"job_state": played, "seconds": 0.01})
    name = api.create()
    api.reaches(name)
    history = "QUEUED PENDING RUNNING PAUSED QUEUED PENDING RUNNING UPDATING RUNNING SUCCEEDED"
    assert api.history(name) == history.split()


def test_a_played_job_that_stays_can_be_cancelled(api):
    api.emulator.fault({"job_state": "JOB_STATE_BRAND_NEW"})
    operation = api.post(api.job()).json()["name"]
    name = operation.partition("/operations/")[0]
    eventually(lambda: api.history(name)[-1] == "BRAND_NEW")
    api.http.post(f"{operation}:cancel")
    api.reaches(name, "CANCELLED")
    assert api.history(name)[-3:] == ["BRAND_NEW", "CANCELLING", "CANCELLED"]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ([], "JSON object"),
        ({}, "JSON object"),
        ({"times": 1}, "job_state"),
        ({"method": "create"}, "status"),
        ({"method": "update", "status": 500}, "method"),
        ({"method": "get", "status": 200}, "status"),
        ({"method": "get", "status": 503, "times": 0}, "times"),
        ({"method": "get", "status": 503, "times": True}, "times"),
        ({"method": "get", "status": 503, "phase": "during"}, "phase"),
        ({"method": "get", "delay_seconds": -1}, "delay_seconds"),
        ({"method": "get", "drop": "yes"}, "drop"),
        ({"method": "get", "status": 503, "retry_after": "soon"}, "retry_after"),
        ({"method": "get", "status": 503, "colour": "red"}, "colour"),
        ({"quota": {"create": -1}}, "quota"),
        ({"quota": {"invent": 1}}, "quota"),
        ({"quota": 60}, "quota"),
        ({"job_state": []}, "job_state"),
        ({"job_state": ["JOB_STATE_FAILED", "JOB_STATE_RUNNING"]}, "job_state"),
        ({"job_state": "JOB_STATE_FAILED", "status_message": 1}, "status_message"),
        ({"clear": False}, "clear"),
    ],
)
def test_a_malformed_fault_is_refused_and_its_field_named(api, asked, named):
    answer = api.http.post(f"{api.emulator.url}/_emulator/faults", json=asked)
    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
    assert api.emulator.faults() == []


def test_the_own_endpoints_answer_as_the_library(api):
    own = f"{api.emulator.url}/_emulator"
    api.create()
    assert api.http.get(f"{own}/health").json() == {"status": "ok"}
    assert api.http.get(f"{own}/requests").json() == api.emulator.requests() == {"create": {"200": 1}}
    assert api.http.delete(f"{own}/requests").json() == {}
    (entry,) = api.http.get(f"{own}/jobs", params={"project": api.project}).json()["jobs"]
    assert entry["displayName"] == "a job"
    asked = {"method": "get", "status": 500}
    told = {"faults": [{"fault": asked, "asked": 1, "met": 0}]}
    assert api.http.post(f"{own}/faults", json=asked).json() == told
    assert api.http.get(f"{own}/faults").json() == told
    assert api.http.delete(f"{own}/faults").json() == {"faults": []}


def test_an_incomplete_request_does_not_affect_others(api):
    address = urlsplit(api.emulator.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(f"POST /v1/{api.jobs} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert api.http.get(api.jobs).status_code == 200
    eventually(lambda: api.http.get(api.jobs).status_code == 200)
    assert count(api) == 0


def test_a_fault_can_be_for_one_project_only(api):
    api.emulator.fault({"method": "create", "status": 503, "project": api.project})
    api.emulator.fault({"job_state": "JOB_STATE_FAILED", "project": api.project})
    other = api.http.post(api.jobs.replace(api.project, "another-project"), json=api.job())
    assert other.status_code == 200
    assert [account["met"] for account in api.emulator.faults()] == [0, 0]
    assert api.post(api.job()).status_code == 503
    api.reaches(api.create(), "FAILED")


def test_an_existing_job_can_be_moved_to_a_state(api):
    api.emulator.fault({"job_state": "JOB_STATE_RUNNING"})
    name = api.create()
    api.emulator.play(name, "JOB_STATE_PAUSED")
    url = f"{api.emulator.url}/_emulator/jobs/{name.rpartition('/')[2]}"
    failed = {"state": "JOB_STATE_FAILED", "message": "out of luck"}
    assert api.http.post(url, json=failed).json() == {"state": "JOB_STATE_FAILED"}
    assert api.get(name)["status"]["message"] == "out of luck"
    assert api.history(name) == ["QUEUED", "PENDING", "RUNNING", "PAUSED", "FAILED"]


def test_moving_a_job_ends_its_notebook(api):
    name = api.create("import time; time.sleep(600)")
    api.reaches(name, "RUNNING")
    api.emulator.play(name, "JOB_STATE_EXPIRED")
    assert api.history(name)[-1] == "EXPIRED"


@pytest.mark.parametrize(
    ("move", "named"),
    [
        ({"state": "JOB_STATE_RUNNING"}, "SUCCEEDED"),
        ({}, "state"),
        ({"state": 1}, "state"),
        ({"colour": "red"}, "move"),
    ],
)
def test_an_impossible_move_is_refused(api, move, named):
    api.emulator.fault({"job_state": "JOB_STATE_SUCCEEDED"})
    name = api.create()
    api.reaches(name)
    answer = api.http.post(f"{api.emulator.url}/_emulator/jobs/{name.rpartition('/')[2]}", json=move)
    assert (answer.status_code, named in answer.json()["error"]["message"]) == (400, True)
    with pytest.raises(ValueError, match="notebookExecutionJobs/7"):
        api.emulator.play("7", "JOB_STATE_FAILED")
