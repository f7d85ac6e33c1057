"""Several calls as one: waiting, the first look, ending a job. Time is a clock of the test's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Sleep
from airflow_nbjobs.api.ending import check_kill_policy, end_job
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob, Operation
from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.api.waiting import first_look, wait_for_job, wait_for_operation
from airflow_nbjobs.exceptions import (
    InvalidNotebookJobError,
    NotFoundError,
    PermissionDeniedError,
    TransportError,
    UnavailableError,
)
from tests.support.waiting import eventually

ONCE = Patience(tries=1)
JOB = "projects/p/locations/us-central1/notebookExecutionJobs/5"
OPERATION = f"{JOB}/operations/7"
START = datetime(2026, 11, 22, tzinfo=UTC)


def answered(flow, answers, pass_time=lambda seconds: None):
    """Hold a flow in which each call is answered, or refused, by the next of the answers.

    Gives what it returns, and its steps: pauses in seconds, calls by verb and last part of the path.
    """
    steps, remaining = [], iter(answers)
    advance = lambda: next(flow)  # noqa: E731 - a step, replaced in each round
    while True:
        try:
            step = advance()
        except StopIteration as end:
            assert list(remaining) == []
            return end.value, steps
        if isinstance(step, Sleep):
            steps.append(step.seconds)
            pass_time(step.seconds)
            advance = lambda: flow.send(None)  # noqa: E731 - as above
            continue
        steps.append(f"{step.verb} {step.path.rpartition('/')[2]}")
        answer = next(remaining)
        if isinstance(answer, Exception):
            advance = lambda error=answer: flow.throw(error)  # noqa: E731 - as above
        else:
            advance = lambda value=answer: flow.send(value)  # noqa: E731 - as above


def in_state(word: str) -> NotebookExecutionJob:
    return NotebookExecutionJob(name=JOB, job_state=JobState(f"JOB_STATE_{word}"))


RUNNING = in_state("RUNNING")


def created(talk, where, a_job) -> tuple[str, str]:
    operation = talk.send(calls.create_job(where, a_job)).name
    return operation.partition("/operations/")[0], operation


def becomes(emulator, project, state, *, is_deleted=False):
    """Wait until the project's one job is so in the emulator's book."""

    def is_so():
        (job,) = emulator.book(project)
        return (job["state"], job["deleted"]) == (f"JOB_STATE_{state}", is_deleted)

    return eventually(is_so)


@pytest.fixture
def running(emulator, talk, where, a_job):
    """Create a job that runs until it is ended; give its name and its operation's."""
    emulator.fault({"job_state": "JOB_STATE_RUNNING"})
    name, operation = created(talk, where, a_job)
    eventually(lambda: talk.send(calls.get_job(name)).job_state == JobState.RUNNING)
    return name, operation


# Waiting.


def test_a_job_that_is_over_is_not_asked_for():
    for state in (each for each in JobState if each.is_terminal):
        job = NotebookExecutionJob(name=JOB, job_state=state)
        assert answered(wait_for_job(job, 30), []) == (job, [])


def test_waiting_looks_until_the_job_is_over_and_tells_each_change():
    told = []
    states = ["PENDING", "PENDING", "RUNNING", "PAUSED", "SOMETHING_NEW", "SUCCEEDED"]
    waiting = wait_for_job(in_state("QUEUED"), 30, changed=told.append)
    job, steps = answered(waiting, [in_state(word) for word in states])
    assert job.job_state == JobState.SUCCEEDED
    assert [job.job_state.word for job in told] == ["PENDING", "RUNNING", "PAUSED", "SOMETHING_NEW", "SUCCEEDED"]
    assert steps[1::2] == ["GET 5"] * 6
    assert all(27 <= pause <= 30 for pause in steps[::2])


def test_waiting_ends_at_the_deadline_with_a_last_look():
    now = [START]
    waiting = wait_for_job(RUNNING, 30, deadline=START + timedelta(seconds=70), clock=lambda: now[0])

    def pass_time(step):
        now[0] += timedelta(seconds=step)

    job, steps = answered(waiting, [RUNNING] * 3, pass_time)
    assert job == RUNNING
    assert steps[1::2] == ["GET 5"] * 3
    assert sum(steps[::2]) == pytest.approx(70)


def test_a_deadline_that_is_over_ends_the_waiting_at_once():
    waiting = wait_for_job(RUNNING, 30, deadline=START, clock=lambda: START + timedelta(days=1))
    assert answered(waiting, []) == (RUNNING, [])


def test_a_wait_in_real_life(talk, where, a_job):
    name, _ = created(talk, where, a_job)
    job = talk.run_flow(wait_for_job(NotebookExecutionJob(name=name), 30))
    assert job.job_state == JobState.SUCCEEDED
    assert all(27 <= pause <= 30 for pause in talk.slept)


def test_a_job_that_is_deleted_meanwhile_ends_the_waiting(talk, where):
    with pytest.raises(NotFoundError):
        talk.run_flow(wait_for_job(NotebookExecutionJob(name=f"{where}/notebookExecutionJobs/1"), 30))


def test_a_new_job_may_take_a_moment_to_appear(talk, emulator, where, a_job):
    name, _ = created(talk, where, a_job)
    emulator.fault({"method": "get", "status": 404, "times": 3})
    assert talk.run_flow(first_look(name)).name == name
    assert talk.slept == [0.5, 1.0, 2.0]


def test_a_new_job_that_does_not_appear_is_not_found(talk, where):
    with pytest.raises(NotFoundError):
        talk.run_flow(first_look(f"{where}/notebookExecutionJobs/1"))
    assert sum(talk.slept) == 7.5


def test_an_operation_is_waited_for(talk, emulator, running):
    name, _ = running
    operation = talk.send(calls.delete_job(name))
    done = talk.run_flow(wait_for_operation(operation, 5))
    assert done.done
    assert done.error is None
    assert set(talk.slept) <= {5}


def test_an_operation_that_went_with_its_job_counts_as_done():
    operation = Operation(name=OPERATION)
    waiting = wait_for_operation(operation, 5)
    assert answered(waiting, [operation, NotFoundError("gone")]) == (operation, [5, "GET 7", 5, "GET 7"])


# Ending.


@pytest.mark.parametrize("kill", ["cancel", "delete", "leave"])
def test_the_policies_are_policies(kill):
    assert check_kill_policy(kill) == kill


@pytest.mark.parametrize("kill", ["", "Cancel", "kill", None, True])
def test_another_word_is_no_policy(kill):
    with pytest.raises(InvalidNotebookJobError, match=r"kill=.* give 'cancel', 'delete' or 'leave'"):
        check_kill_policy(kill)


def test_leaving_a_job_asks_nothing_of_it(talk, emulator, running, project):
    emulator.reset_requests()
    assert talk.run_flow(end_job(*running, "leave")) == "is left running (kill='leave')"
    assert emulator.requests() == {}


def test_cancelling_keeps_the_record(talk, emulator, running, project):
    assert talk.run_flow(end_job(*running, "cancel")) == "was cancelled"
    assert becomes(emulator, project, "CANCELLED")
    assert talk.slept == []


def test_an_unknown_operation_is_found_by_listing(talk, emulator, running, project):
    assert talk.run_flow(end_job(running[0], None, "cancel")) == "was cancelled"
    assert becomes(emulator, project, "CANCELLED")
    assert emulator.requests()["list_operations"] == {"200": 1}


def test_a_deletion_that_goes_on_is_not_what_is_cancelled():
    """Its operation is the job's as well, and the newest."""
    metadata = {"@type": "type.googleapis.com/google.cloud.aiplatform.v1.DeleteOperationMetadata"}
    both = [Operation(name=f"{JOB}/operations/8", metadata=metadata), Operation(name=OPERATION)]
    answers = [calls.Page(items=both, next_page_token=""), None, in_state("CANCELLED")]
    said, steps = answered(end_job(JOB, None, "cancel"), answers)
    assert (said, steps[1]) == ("was cancelled", "POST 7:cancel")


def test_a_cancelled_job_that_no_read_shows_yet_is_looked_for_before_it_is_deleted():
    missing = NotFoundError("not found")
    said, steps = answered(end_job(JOB, OPERATION, "cancel"), [None, missing, missing, in_state("CANCELLING")])
    assert (said, steps) == ("was cancelled", ["POST 7:cancel", "GET 5", 0.2, "GET 5", 0.4, "GET 5"])


def test_a_job_that_no_read_shows_is_deleted_all_the_same():
    answers = [*[NotFoundError("not found")] * 5, Operation(name=OPERATION)]
    said, steps = answered(end_job(JOB, None, "delete"), answers)
    assert (said, steps[-2:]) == ("was deleted", ["GET 5", "DELETE 5"])


@pytest.mark.parametrize(("kill", "before"), [("delete", []), ("cancel", [PermissionDeniedError("no")])])
def test_a_job_that_is_over_keeps_its_record_though_one_read_does_not_find_it(kill, before):
    answers = [*before, NotFoundError("not found"), in_state("SUCCEEDED")]
    said, _ = answered(end_job(JOB, OPERATION, kill), answers)
    assert said == "is over already (SUCCEEDED)"


def test_deleting_takes_the_record_away(talk, emulator, running, project):
    assert talk.run_flow(end_job(*running, "delete")) == "was deleted"
    assert becomes(emulator, project, "CANCELLED", is_deleted=True)
    assert "cancel" not in emulator.requests()


@pytest.mark.parametrize("status", [400, 403, 404, 500, 501, 503])
def test_a_job_that_cannot_be_cancelled_is_deleted_without_waiting(talk, emulator, running, project, status):
    emulator.fault({"method": "cancel", "status": status})
    assert talk.run_flow(end_job(*running, "cancel"), ONCE) == "was deleted"
    assert becomes(emulator, project, "CANCELLED", is_deleted=True)
    assert talk.slept == []


def test_a_job_whose_operations_cannot_be_listed_is_deleted(talk, emulator, running, project):
    emulator.fault({"method": "list_operations", "status": 501})
    assert talk.run_flow(end_job(running[0], None, "cancel")) == "was deleted"
    assert becomes(emulator, project, "CANCELLED", is_deleted=True)


def test_a_cancel_that_does_nothing_is_looked_after_and_followed_by_a_delete():
    said, steps = answered(end_job(JOB, OPERATION, "cancel"), [None, *[RUNNING] * 5, Operation(name=OPERATION)])
    assert said == "was deleted"
    assert steps == ["POST 7:cancel", "GET 5", 0.2, "GET 5", 0.4, "GET 5", 0.7, "GET 5", 1.0, "GET 5", "DELETE 5"]


def test_a_cancellation_that_cannot_be_looked_after_is_told_and_is_an_error_where_something_else_begins_after_it():
    refusal = PermissionDeniedError("no")
    said, _ = answered(end_job(JOB, OPERATION, "cancel"), [None, refusal])
    assert said == "was cancelled, and whether it ends could not be seen (no)"
    with pytest.raises(PermissionDeniedError):
        answered(end_job(JOB, OPERATION, "cancel", must_see=True), [None, refusal])


def test_a_cancel_that_takes_its_time_is_enough():
    said, steps = answered(end_job(JOB, OPERATION, "cancel"), [None, RUNNING, RUNNING, in_state("CANCELLING")])
    assert said == "was cancelled"
    assert steps == ["POST 7:cancel", "GET 5", 0.2, "GET 5", 0.4, "GET 5"]


def test_a_cancel_that_does_nothing_is_followed_by_a_delete_at_once_when_it_is_late():
    ending = end_job(JOB, OPERATION, "cancel", is_late=lambda: True)
    said, steps = answered(ending, [None, RUNNING, Operation(name=OPERATION)])
    assert (said, steps) == ("was deleted", ["POST 7:cancel", "GET 5", "DELETE 5"])


@pytest.mark.parametrize("word", ["SUCCEEDED", "FAILED", "EXPIRED", "PARTIALLY_SUCCEEDED"])
@pytest.mark.parametrize(("kill", "before"), [("cancel", [None]), ("delete", [])])
def test_a_job_that_is_over_already_keeps_its_outcome(word, kill, before):
    said, _ = answered(end_job(JOB, OPERATION, kill), [*before, in_state(word)])
    assert said == f"is over already ({word})"


@pytest.mark.parametrize("kill", ["cancel", "delete"])
def test_a_finished_job_is_neither_cancelled_nor_deleted(talk, emulator, project, where, a_job, kill):
    """Its result may not have been read yet."""
    name, operation = created(talk, where, a_job)
    talk.run_flow(wait_for_job(NotebookExecutionJob(name=name), 30))
    assert talk.run_flow(end_job(name, operation, kill)) == "is over already (SUCCEEDED)"
    assert becomes(emulator, project, "SUCCEEDED")


@pytest.mark.parametrize("kill", ["cancel", "delete"])
@pytest.mark.parametrize("operation", ["operations/1", None])
def test_a_job_that_is_gone_needs_no_ending(talk, where, kill, operation):
    name = f"{where}/notebookExecutionJobs/1"
    assert talk.run_flow(end_job(name, operation and f"{name}/{operation}", kill)) == "is gone already"


def test_a_delete_that_is_refused_is_told(talk, emulator, running):
    emulator.fault({"method": "delete", "status": 403})
    with pytest.raises(PermissionDeniedError):
        talk.run_flow(end_job(*running, "delete"))


def test_a_service_that_is_down_is_told(talk, emulator, running):
    emulator.fault({"method": "cancel", "status": 503})
    emulator.fault({"method": "get", "status": 503})
    with pytest.raises(UnavailableError):
        talk.run_flow(end_job(*running, "cancel"), ONCE)


def test_nobody_who_answers_is_told_at_once():
    ending = end_job(JOB, OPERATION, "cancel")
    next(ending)
    with pytest.raises(TransportError):
        ending.throw(TransportError("no route"))
