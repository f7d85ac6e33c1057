"""Looped task groups of Airflow 3.4: each iteration has a job of its own, in a real Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from demo.airflow_rest import Run

pytest.importorskip("airflow.sdk.execution_time.loop", reason="task groups loop from Airflow 3.4 on")

DAGS = """
from airflow.sdk import task_group

for dag_id, deferrable in [("deferred", True), ("running", False)]:
    with DAG(dag_id, schedule=None):

        @task_group
        def refine():
            retries = {"retries": 1, "retry_delay": timedelta(seconds=1)}
            CreateNotebookExecutionJobOperator(deferrable=deferrable, **retries, **JOB)

        refine.loop(max_iterations=2)

with DAG("mapped", schedule=None):

    @task_group
    def refine():
        CreateNotebookExecutionJobOperator.partial(deferrable=True, retries=1, **JOB).expand(
            labels=[{"part": "one"}, {"part": "two"}]
        )

    refine.loop(max_iterations=2)
"""
REPORT, GATE = "refine.report", "refine.__loop_gate"


@dataclass
class Loop:
    """One run of a DAG with a loop of two iterations, whose jobs do what the test says.

    :ivar seen: how many jobs the test has been told of.
    """

    airflow: LocalAirflow
    cloud: Emulator
    run: Run
    seen: int = field(default=0)

    def __post_init__(self) -> None:
        """Count only the jobs of this run."""
        self.seen = len(self.cloud.book())

    def next_job(self) -> str:
        """Wait for the next job and until its task waits for it; return the job's id."""

        def waiting() -> list[dict[str, Any]]:
            return [each for each in self.tasks(REPORT) if each["state"] == self.run.dag_id]

        def look() -> dict[str, Any] | None:
            jobs = self.cloud.book()[self.seen :]
            return jobs[0] if waiting() and jobs and jobs[0]["state"] == "JOB_STATE_RUNNING" else None

        job = self.airflow.wait(look, 120, "a job that a task waits for")
        assert job is not None
        self.seen += 1
        if self.run.dag_id == "deferred":  # Airflow tells nobody of a task that is ended before its trigger starts
            self.airflow.wait(lambda: all(each["triggerer_job"] for each in waiting()), 120, "a triggerer")
            self.cloud.reset_requests()
            self.airflow.wait(lambda: self.cloud.requests().keys() & {"get", "list"}, 60, "the triggerer to look")
        return str(job["id"])

    def tasks(self, task_id: str) -> list[dict[str, Any]]:
        """Return the task's iterations in their order."""
        found = [each for each in self.airflow.rest.tasks(self.run) if each["task_id"] == task_id]
        return sorted(found, key=lambda each: each["region_index"])

    def where(self, iteration: int) -> dict[str, Any]:
        """Return how Airflow's REST API names an iteration."""
        task = self.tasks(REPORT)[iteration]
        return {name: task[name] for name in ("region_id", "region_index")}

    def mark_failed(self, iteration: int) -> None:
        """Do what a person does in the UI."""
        body = {"new_state": "failed", **self.where(iteration)}
        self.airflow.rest.call("PATCH", f"{self.run.path}/taskInstances/{REPORT}", json=body)

    def clear(self, iteration: int, task_ids: list[str], *, later: bool) -> None:
        """Clear tasks of one iteration, and let it replace the later ones or leave them."""
        ids = [self.tasks(task_id)[iteration]["id"] for task_id in task_ids]
        body = {
            "dry_run": False,
            "dag_run_id": self.run.run_id,
            "task_instance_ids": ids,
            "only_failed": False,
            "include_later_loop_iterations": later,
        }
        self.airflow.rest.call("POST", f"/dags/{self.run.dag_id}/clearTaskInstances", json=body)

    def log(self, iteration: int, try_number: int = 1) -> str:
        """Return the log of one try of an iteration."""
        where = {**self.where(iteration), "full_content": True}
        path = f"{self.run.path}/taskInstances/{REPORT}/logs/{try_number}"
        return "\n".join(str(each["event"]) for each in self.airflow.rest.call("GET", path, params=where)["content"])

    def state(self, job: str) -> str:
        """Return the state of a job by the emulator's own book."""
        return next(str(each["state"]) for each in self.cloud.book() if each["id"] == job).removeprefix("JOB_STATE_")

    def wait_for(self, job: str, state: str) -> None:
        """Wait until a job is in a state."""
        self.airflow.wait(lambda: self.state(job) == state, 60, f"the job to be {state}")

    def wait_for_run(self, state: str) -> None:
        """Wait until the run has ended in a state."""
        self.airflow.wait(lambda: self.airflow.rest.run_state(self.run) == state, 120, f"the run to be {state}")

    def succeed(self, job: str) -> None:
        """Let a job succeed."""
        self.cloud.play(job, "JOB_STATE_SUCCEEDED")

    def fail(self, job: str) -> None:
        """Let a job fail."""
        self.cloud.play(job, "JOB_STATE_FAILED", "The kernel died.")


def tab_of(airflow: LocalAirflow, run: Run, task: dict[str, Any]) -> dict[str, Any]:
    """Return what the notebook tab shows of a task instance, which Airflow's UI names in its own address."""
    login = {"username": airflow.username, "password": airflow.password}
    index = "{MAP_INDEX}" if task["map_index"] < 0 else str(task["map_index"])
    path = "/" + "/".join(quote(part, safe="") for part in ("nbjobs", "tasks", *run, REPORT, index, "state"))
    where = {name: task[name] for name in ("region_id", "region_index")}
    with httpx.Client(base_url=airflow.url, timeout=60, trust_env=False) as http:
        token = http.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        answer = http.get(path, params=where, headers={"Authorization": f"Bearer {token}"})
    return dict(answer.raise_for_status().json())


@pytest.fixture(scope="module")
def looping(lasting: Emulator, start_airflow: Any) -> Iterator[LocalAirflow]:
    """Start an Airflow with the looping DAGs."""
    with start_airflow(DAGS, lasting.env, "mapped", project="loops") as running:
        yield running


@pytest.fixture(params=["deferred", "running"])
def loop(request: pytest.FixtureRequest, looping: LocalAirflow, lasting: Emulator) -> Iterator[Loop]:
    """Start a run, in each mode; all that is left of it is ended afterwards."""
    loop = Loop(looping, lasting, looping.rest.trigger(request.param))
    yield loop
    if looping.rest.run_state(loop.run) in {"queued", "running"}:
        looping.rest.call("PATCH", loop.run.path, json={"state": "failed"})


def test_each_iteration_and_its_retries_have_their_own_job(loop: Loop) -> None:
    first = loop.next_job()
    loop.succeed(first)
    failing = loop.next_job()
    loop.fail(failing)
    retry = loop.next_job()
    loop.succeed(retry)
    loop.wait_for_run("success")

    names = {each["id"]: each["displayName"] for each in loop.cloud.book()}
    assert names[failing] == names[retry] != names[first]
    assert [(each["state"], each["try_number"]) for each in loop.tasks(REPORT)] == [("success", 1), ("success", 2)]
    for iteration, job in enumerate([first, retry]):
        path, where = f"{loop.run.path}/taskInstances/{REPORT}", loop.where(iteration)
        rest = loop.airflow.rest
        note = rest.call("GET", f"{path}/xcomEntries/notebook_execution_job", params=where | {"stringify": False})
        assert note["value"]["name"].endswith(job)
        links = rest.call("GET", f"{path}/links", params=where)["extra_links"]
        assert job in links["Executed notebook"]
        assert tab_of(loop.airflow, loop.run, loop.tasks(REPORT)[iteration])["job"]["id"] == job
    logs = [loop.log(0), loop.log(1), loop.log(1, try_number=2)]
    assert not any("Failed to read the task's note" in log for log in logs)


def test_mapped_tasks_in_a_loop_have_jobs_of_their_own(looping: LocalAirflow, lasting: Emulator) -> None:
    seen = len(lasting.book())
    run = looping.rest.trigger("mapped")
    for iteration in range(2):

        def made(done: int = seen + 2 * iteration) -> list[dict[str, Any]]:
            jobs = lasting.book()[done:]
            return jobs if [job["state"] for job in jobs] == ["JOB_STATE_RUNNING"] * 2 else []

        for job in looping.wait(made, 120, "two jobs"):
            lasting.play(job["id"], "JOB_STATE_SUCCEEDED")
    looping.wait(lambda: looping.rest.run_state(run) not in {"queued", "running"}, 120, "the run to end")
    assert looping.rest.run_state(run) == "success"
    assert len({job["displayName"] for job in lasting.book()[seen:]}) == 4
    tasks = [task for task in looping.rest.tasks(run) if task["task_id"] == REPORT]
    assert sorted(task["map_index"] for task in tasks) == [0, 0, 1, 1]
    for task in tasks:
        path = f"{run.path}/taskInstances/{REPORT}/xcomEntries/notebook_execution_job"
        where = {name: task[name] for name in ("map_index", "region_id", "region_index")}
        note = looping.rest.call("GET", path, params=where | {"stringify": False})["value"]
        assert note["name"].endswith("/" + tab_of(looping, run, task)["job"]["id"])


def test_a_person_who_ends_an_iteration_ends_its_job(loop: Loop) -> None:
    first = loop.next_job()
    loop.succeed(first)
    second = loop.next_job()
    loop.mark_failed(1)
    loop.wait_for(second, "CANCELLED")
    assert loop.state(first) == "SUCCEEDED"


def test_a_cleared_iteration_replaces_only_its_own_job(loop: Loop) -> None:
    first = loop.next_job()
    loop.succeed(first)
    second = loop.next_job()
    loop.clear(1, [REPORT], later=True)
    loop.wait_for(second, "CANCELLED")
    third = loop.next_job()
    loop.succeed(third)
    loop.wait_for_run("success")
    assert loop.state(first) == "SUCCEEDED"


def test_iterations_that_a_clear_replaces_start_over(loop: Loop) -> None:
    """The new iteration 1 begins with try 1 again, and its retry must not take the job of the old one."""
    loop.succeed(loop.next_job())
    loop.fail(loop.next_job())
    replaced = loop.next_job()
    loop.clear(0, [REPORT, GATE], later=True)
    loop.wait_for(replaced, "CANCELLED")
    again = loop.next_job()
    loop.succeed(again)
    failing = loop.next_job()
    loop.fail(failing)
    retry = loop.next_job()
    loop.succeed(retry)
    loop.wait_for_run("success")
    assert loop.seen == len(loop.cloud.book())


@pytest.mark.parametrize("loop", ["running"], indirect=True)
def test_an_earlier_iteration_is_ended_beside_a_later_one(loop: Loop) -> None:
    """Airflow tells only the state of the latest iteration; a trigger cannot ask more (docs/decisions/kills.md)."""
    loop.succeed(loop.next_job())
    later = loop.next_job()
    loop.clear(0, [REPORT], later=False)
    earlier = loop.next_job()
    loop.mark_failed(0)
    loop.wait_for(earlier, "CANCELLED")
    assert loop.state(later) == "RUNNING"
