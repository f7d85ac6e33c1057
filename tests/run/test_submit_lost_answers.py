"""A create whose answer was lost is looked for, and is not paid for twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from airflow_nbjobs.api.calls import Page
from airflow_nbjobs.api.client import Sleep
from airflow_nbjobs.api.job import JobState, Operation
from airflow_nbjobs.exceptions import InvalidArgumentError, LostAnswerError, NbjobsError, TransportError
from airflow_nbjobs.run.identity import identify, request_hash
from airflow_nbjobs.run.submit import Request, Submitted, submit
from tests.support.asking import TASK, Asking, retry, wanted_job
from tests.support.emulators import using

nbjobs_emulator_session = using("lasting")

LOST = [
    {"status": 503, "phase": "after"},
    {"status": 500, "phase": "after"},
    {"status": 499, "phase": "after"},
    {"drop": True, "phase": "after"},
    {"truncate": True},
    {"body": "<html>Sign in</html>"},
]


@pytest.mark.parametrize("lost", LOST, ids=str)
def test_a_created_job_without_an_answer_is_found(asking: Asking, lost: dict[str, object]) -> None:
    """An answer that breaks off, or is a proxy's page, says nothing of the job, which was made."""
    asking.emulator.fault({"method": "create", "times": 1, **lost})
    submitted = asking.ask()
    assert asking.made() == [(submitted.job.name or "").rpartition("/")[2]]
    assert not submitted.is_adopted
    assert "The answer to the create request was lost" in asking.told[0]


@pytest.mark.parametrize("lost", [{"status": 503}, {"drop": True}], ids=str)
def test_a_lost_create_is_sent_again_after_three_looks(asking: Asking, lost: dict[str, object]) -> None:
    asking.emulator.fault({"method": "create", "times": 1, "phase": "before", **lost})
    asking.ask()
    assert len(asking.made()) == 1
    assert asking.paused >= 15
    assert asking.emulator.requests()["list"] == {"200": 1 + 4}


def test_the_younger_twin_is_ended_before_any_read_shows_it(asking: Asking) -> None:
    """The first create is carried out and its answer lost; no list shows its job, and none of the second's either."""
    asking.emulator.fault({"method": "create", "drop": True, "phase": "after"})
    asking.emulator.fault({"method": "list", "times": 4, "body": "{}"})

    def behind() -> None:
        for method in ("get", "list_operations"):
            asking.emulator.fault({"method": method, "status": 404})

    asking.meanwhile = behind
    asking.ask()
    assert sorted(state[:6] for state in asking.states()) == ["CANCEL", "RUNNIN"]


@pytest.mark.parametrize(("is_answered", "is_shown"), [(True, True), (True, False), (False, True)])
def test_of_two_jobs_from_one_submission_the_younger_is_ended(is_answered: bool, is_shown: bool) -> None:
    """The first create is carried out so late that three looks miss it; here the test says what the service says.

    A list may not show yet what has just been made.
    """
    wanted = wanted_job()
    job = identify(wanted, TASK, request_hash(wanted, {}))
    parent = "projects/1/locations/us-central1"
    older, younger = (
        replace(
            job,
            name=f"{parent}/notebookExecutionJobs/{number}",
            create_time=datetime(2026, 11, 22, 10, number, tzinfo=UTC),
            job_state=JobState.RUNNING,
        )
        for number in (1, 2)
    )
    told: list[str] = []
    asking = submit(Request(parent=parent, job=job, task=TASK, kill="leave", warn=told.append))

    assert isinstance(next(asking), Sleep)
    assert asking.send(None).verb == "GET"
    assert asking.send(Page([], "")).verb == "POST"
    step = asking.throw(TransportError("reset", was_sent=True))
    for _ in range(3):
        assert isinstance(step, Sleep)
        assert asking.send(None).path.endswith("/notebookExecutionJobs")
        step = asking.send(Page([], ""))
    assert step.verb == "POST"
    if is_answered:
        step = asking.send(Operation(name=f"{younger.name}/operations/7"))
    else:
        assert isinstance(asking.throw(TransportError("reset", was_sent=True)), Sleep)
        step = asking.send(None)
    assert step.verb == "GET"
    ending = asking.send(Page([younger, older] if is_shown else [older], ""))
    assert ending.path == f"/v1/{younger.name}/operations"
    cancel = asking.send(Page([Operation(name=f"{younger.name}/operations/7")], ""))
    assert cancel.path == f"/v1/{younger.name}/operations/7:cancel"
    assert asking.send(None).path == f"/v1/{younger.name}"
    with pytest.raises(StopIteration) as end:
        asking.send(replace(younger, job_state=JobState.CANCELLED))
    assert end.value.value == Submitted(job=older, operation_name=None, is_adopted=False)
    assert told[-1] == f"The create request was carried out twice. The younger job {younger.name} was canceled."


def test_a_refusal_is_final_and_keeps_the_service_s_words(asking: Asking) -> None:
    asking.emulator.fault({"method": "create", "times": 1, "status": 400, "message": "No such template."})
    with pytest.raises(InvalidArgumentError, match=r"No such template\."):
        asking.ask()
    assert asking.made() == []


def test_three_lost_answers_are_enough(asking: Asking) -> None:
    asking.emulator.fault({"method": "create", "times": 3, "status": 503})
    with pytest.raises(LostAnswerError, match="3 create requests got no answer"):
        asking.ask()
    assert asking.made() == []


def test_a_rate_limit_is_waited_for_without_a_look(asking: Asking) -> None:
    asking.emulator.fault({"method": "create", "times": 2, "status": 429, "retry_after": 7})
    asking.ask()
    assert len(asking.made()) == 1
    assert asking.paused >= 14
    assert asking.emulator.requests()["list"] == {"200": 1}


def test_with_own_ids_an_overtaken_try_cannot_create(asking: Asking) -> None:
    """A worker stood still with its create under way; the retry came first, and the late create finds the id taken."""
    retried = asking.ask(retry(), job_ids=retry().job_ids())
    with pytest.raises(NbjobsError, match=r"Try 2 of the task has already created .* belongs to try 1"):
        asking.ask(job_ids=TASK.job_ids(), asked=wanted_job("gs://notebooks/late.ipynb"))
    assert asking.made() == [(retried.job.name or "").rpartition("/")[2]]


def test_with_own_ids_a_retry_finds_an_unlisted_job(asking: Asking) -> None:
    first = asking.ask(job_ids=TASK.job_ids())
    second = asking.ask(retry(), job_ids=retry().job_ids())
    assert (second.is_adopted, second.job.name) == (True, first.job.name)


def test_with_own_ids_a_retry_after_failure_takes_the_next(asking: Asking) -> None:
    asking.next_job_is("FAILED")
    asking.ask(job_ids=TASK.job_ids())
    asking.ask(retry(), job_ids=retry().job_ids())
    ids = asking.made()
    assert [each.rpartition("-")[2] for each in ids] == ["0", "1"]


def test_with_own_ids_a_lost_answer_is_found_by_id(asking: Asking) -> None:
    asking.emulator.fault({"method": "create", "times": 1, "drop": True, "phase": "after"})
    asking.ask(job_ids=TASK.job_ids())
    assert len(asking.made()) == 1
