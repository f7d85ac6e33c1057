"""What each state of a job means to its task, in each way of waiting: one table."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_nbjobs.exceptions import NotebookJobFailedError
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from tests.support import discovery
from tests.support.cloud import Cloud
from tests.support.google_lookalike import Answer, Relay
from tests.support.task_runs import TaskRun, create, submit

try:
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:  # Airflow 3.1
    from airflow.exceptions import AirflowRescheduleException

MEANING = {
    "UNSPECIFIED": "goes on",
    "QUEUED": "goes on",
    "PENDING": "goes on",
    "RUNNING": "goes on",
    "SUCCEEDED": "succeeds",
    "FAILED": "fails",
    "CANCELLING": "goes on",
    "CANCELLED": "fails",
    "PAUSED": "goes on",
    "EXPIRED": "fails",
    "UPDATING": "goes on",
    "PARTIALLY_SUCCEEDED": "fails",
    "OF_A_LATER_YEAR": "goes on",
}


def sense(**how: Any) -> Any:
    """Submit a job, and run a sensor for it to its end, rescheduled as often as it wants."""
    sensor = {"task_id": "wait", "job_name": submit(), "poke_interval": 0.1, **how}
    while True:
        try:
            return TaskRun(lambda: NotebookExecutionJobSensor(**sensor)).to_its_end()
        except AirflowRescheduleException:
            continue


MODES: dict[str, Callable[[], Any]] = {
    "sync": lambda: create(deferrable=False).to_its_end(),
    "deferrable": lambda: create(deferrable=True).to_its_end(),
    "sensor, poke": lambda: sense(mode="poke"),
    "sensor, reschedule": lambda: sense(mode="reschedule"),
    "sensor, deferrable": lambda: sense(deferrable=True),
}


def test_the_table_has_each_state_of_google_and_one_more() -> None:
    job = discovery.document()["schemas"]["GoogleCloudAiplatformV1NotebookExecutionJob"]
    known = {state.removeprefix("JOB_STATE_") for state in job["properties"]["jobState"]["enum"]}
    assert MEANING.keys() == known | {"OF_A_LATER_YEAR"}


class Silent(Relay):
    """Passes everything on, but says something else of a job's state at the first three looks at it."""

    def __init__(self, emulator: str, said: dict[str, Any]) -> None:
        super().__init__(emulator, None, refused=())
        self._said = said
        self.looks = 0

    def reply(self, number: int, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        """Pass it on."""
        status, headers, answer = super().reply(number, request, body)
        if request.command == "GET" and "jobState" in answer and self.looks < 3:
            self.looks += 1
            del answer["jobState"]
            answer.update(self._said)
        return status, headers, answer


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "said", [{}, {"jobState": None}, {"jobState": ""}, {"jobState": 4}, {"jobState": ["x"]}], ids=str
)
def test_a_job_that_says_nothing_of_its_state_goes_on(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, mode: str, said: dict[str, Any]
) -> None:
    """The service leaves out a field with its first value; a state that is not text is unknown."""
    silent = Silent(cloud.url, said)
    monkeypatch.setenv("NBJOBS_EMULATOR_HOST", silent.url)
    try:
        assert MODES[mode]()["state"] == "JOB_STATE_SUCCEEDED"
    finally:
        silent.close()
    assert silent.looks == 3
    assert [(job["state"], job["deleted"]) for job in cloud.book()] == [("JOB_STATE_SUCCEEDED", False)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("word", MEANING)
def test_a_state_means_the_same_in_each_mode(cloud: Cloud, mode: str, word: str) -> None:
    state = f"JOB_STATE_{word}"
    goes_on = MEANING[word] == "goes on"
    states = [state, "JOB_STATE_SUCCEEDED"] if goes_on else ["JOB_STATE_RUNNING", state]
    cloud.fault({"job_state": states, "seconds": 0.3})
    if MEANING[word] == "fails":
        with pytest.raises((NotebookJobFailedError, AirflowFailException), match=f"{word} after "):
            MODES[mode]()
    else:
        assert MODES[mode]()["state"] == "JOB_STATE_SUCCEEDED"
    (job,) = cloud.book()
    assert state in [step["state"] for step in job["history"]]
    # The requests of all tests are counted together: a task that another test has killed may still end its job.
    assert not job["deleted"]
