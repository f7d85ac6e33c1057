"""The calls that end a job, by each kill policy."""

from __future__ import annotations

import pytest

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.job import NotebookExecutionJob, Operation
from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.api.waiting import wait_for_job
from airflow_nbjobs.exceptions import (
    InvalidNotebookJobError,
    NotFoundError,
    PermissionDeniedError,
    TransportError,
    UnavailableError,
)
from airflow_nbjobs.run.argument_rules import check_kill_policy
from airflow_nbjobs.run.end_job import Ending, EndingKind, describe_endings, end_job
from tests.support.flow_steps import JOB, OPERATION, RUNNING, answered, created, created_running, in_state
from tests.support.waiting import eventually

ONCE = Patience(tries=1)


def becomes(emulator, project, state, *, is_deleted=False):
    """Wait until the project's one job is so in the emulator's book."""

    def is_so():
        (job,) = emulator.book(project)
        return (job["state"], job["deleted"]) == (f"JOB_STATE_{state}", is_deleted)

    return eventually(is_so)


@pytest.fixture
def running(emulator, talk, where, a_job):
    return created_running(emulator, talk, where, a_job)


@pytest.mark.parametrize("kill", ["cancel", "delete", "leave"])
def test_the_policies_are_policies(kill):
    assert check_kill_policy(kill) == kill


@pytest.mark.parametrize("kill", ["", "Cancel", "kill", None, True])
def test_another_word_is_no_policy(kill):
    with pytest.raises(InvalidNotebookJobError, match=r"kill=.* use 'cancel', 'delete' or 'leave'"):
        check_kill_policy(kill)


def test_leaving_a_job_asks_nothing_of_it(talk, emulator, running, project):
    emulator.reset_requests()
    assert talk.run_flow(end_job(running[0], running[1], "leave")) == Ending(EndingKind.LEFT)
    assert emulator.requests() == {}


def test_cancelling_keeps_the_record(talk, emulator, running, project):
    assert talk.run_flow(end_job(running[0], running[1], "cancel")) == Ending(EndingKind.CANCELED)
    assert becomes(emulator, project, "CANCELLED")
    assert talk.slept == []


def test_an_unknown_operation_is_found_by_listing(talk, emulator, running, project):
    assert talk.run_flow(end_job(running[0], None, "cancel")) == Ending(EndingKind.CANCELED)
    assert becomes(emulator, project, "CANCELLED")
    assert emulator.requests()["list_operations"] == {"200": 1}


def test_a_deletion_that_goes_on_is_not_what_is_cancelled():
    """Its operation is the job's as well, and the newest."""
    metadata = {"@type": "type.googleapis.com/google.cloud.aiplatform.v1.DeleteOperationMetadata"}
    both = [Operation(name=f"{JOB}/operations/8", metadata=metadata), Operation(name=OPERATION)]
    answers = [calls.Page(items=both, next_page_token=""), None, in_state("CANCELLED")]
    said, steps = answered(end_job(JOB, None, "cancel"), answers)
    assert (said, steps[1]) == (Ending(EndingKind.CANCELED), "POST 7:cancel")


def test_an_unseen_canceled_job_is_looked_for_before_its_deletion():
    missing = NotFoundError("not found")
    said, steps = answered(end_job(JOB, OPERATION, "cancel"), [None, missing, missing, in_state("CANCELLING")])
    assert (said, steps) == (Ending(EndingKind.CANCELED), ["POST 7:cancel", "GET 5", 0.2, "GET 5", 0.4, "GET 5"])


def test_a_job_that_no_read_shows_is_deleted_all_the_same():
    answers = [*[NotFoundError("not found")] * 5, Operation(name=OPERATION)]
    said, steps = answered(end_job(JOB, None, "delete"), answers)
    assert (said, steps[-2:]) == (Ending(EndingKind.DELETED), ["GET 5", "DELETE 5"])


@pytest.mark.parametrize(("kill", "before"), [("delete", []), ("cancel", [PermissionDeniedError("no")])])
def test_an_ended_job_keeps_its_record_after_one_missed_read(kill, before):
    answers = [*before, NotFoundError("not found"), in_state("SUCCEEDED")]
    said, _ = answered(end_job(JOB, OPERATION, kill), answers)
    assert said == Ending(EndingKind.ENDED_BEFORE, "SUCCEEDED")


def test_deleting_takes_the_record_away(talk, emulator, running, project):
    assert talk.run_flow(end_job(running[0], running[1], "delete")) == Ending(EndingKind.DELETED)
    assert becomes(emulator, project, "CANCELLED", is_deleted=True)
    assert "cancel" not in emulator.requests()


@pytest.mark.parametrize("status", [400, 403, 404, 500, 501, 503])
def test_a_job_that_cannot_be_cancelled_is_deleted_without_waiting(talk, emulator, running, project, status):
    emulator.fault({"method": "cancel", "status": status})
    assert talk.run_flow(end_job(running[0], running[1], "cancel"), ONCE) == Ending(EndingKind.DELETED)
    assert becomes(emulator, project, "CANCELLED", is_deleted=True)
    assert talk.slept == []


def test_a_job_whose_operations_cannot_be_listed_is_deleted(talk, emulator, running, project):
    emulator.fault({"method": "list_operations", "status": 501})
    assert talk.run_flow(end_job(running[0], None, "cancel")) == Ending(EndingKind.DELETED)
    assert becomes(emulator, project, "CANCELLED", is_deleted=True)


def test_a_cancel_without_effect_is_followed_by_a_delete():
    said, steps = answered(end_job(JOB, OPERATION, "cancel"), [None, *[RUNNING] * 5, Operation(name=OPERATION)])
    assert said == Ending(EndingKind.DELETED)
    assert steps == ["POST 7:cancel", "GET 5", 0.2, "GET 5", 0.4, "GET 5", 0.7, "GET 5", 1.0, "GET 5", "DELETE 5"]


def test_an_unverified_cancel_is_returned_or_raised():
    refusal = PermissionDeniedError("no")
    said, _ = answered(end_job(JOB, OPERATION, "cancel"), [None, refusal])
    assert said == Ending(EndingKind.UNVERIFIED, "no")
    with pytest.raises(PermissionDeniedError):
        answered(end_job(JOB, OPERATION, "cancel", must_see=True), [None, refusal])


def test_a_cancel_that_takes_its_time_is_enough():
    said, steps = answered(end_job(JOB, OPERATION, "cancel"), [None, RUNNING, RUNNING, in_state("CANCELLING")])
    assert said == Ending(EndingKind.CANCELED)
    assert steps == ["POST 7:cancel", "GET 5", 0.2, "GET 5", 0.4, "GET 5"]


def test_a_late_cancel_without_effect_is_followed_by_a_delete():
    ending = end_job(JOB, OPERATION, "cancel", cancel_until=0.0)
    said, steps = answered(ending, [None, RUNNING, Operation(name=OPERATION)])
    assert (said, steps) == (Ending(EndingKind.DELETED), ["POST 7:cancel", "GET 5", "DELETE 5"])


@pytest.mark.parametrize("word", ["SUCCEEDED", "FAILED", "EXPIRED", "PARTIALLY_SUCCEEDED"])
@pytest.mark.parametrize(("kill", "before"), [("cancel", [None]), ("delete", [])])
def test_a_job_that_is_over_already_keeps_its_outcome(word, kill, before):
    said, _ = answered(end_job(JOB, OPERATION, kill), [*before, in_state(word)])
    assert said == Ending(EndingKind.ENDED_BEFORE, word)


@pytest.mark.parametrize("kill", ["cancel", "delete"])
def test_a_finished_job_is_neither_cancelled_nor_deleted(talk, emulator, project, where, a_job, kill):
    """Its result may not have been read yet."""
    name, operation = created(talk, where, a_job)
    talk.run_flow(wait_for_job(NotebookExecutionJob(name=name), 30))
    assert talk.run_flow(end_job(name, operation, kill)) == Ending(EndingKind.ENDED_BEFORE, "SUCCEEDED")
    assert becomes(emulator, project, "SUCCEEDED")


@pytest.mark.parametrize("kill", ["cancel", "delete"])
@pytest.mark.parametrize("operation", ["operations/1", None])
def test_a_job_that_is_gone_needs_no_ending(talk, where, kill, operation):
    name = f"{where}/notebookExecutionJobs/1"
    assert talk.run_flow(end_job(name, operation and f"{name}/{operation}", kill)) == Ending(EndingKind.GONE)


def test_a_delete_that_is_refused_is_told(talk, emulator, running):
    emulator.fault({"method": "delete", "status": 403})
    with pytest.raises(PermissionDeniedError):
        talk.run_flow(end_job(running[0], running[1], "delete"))


def test_a_service_that_is_down_is_told(talk, emulator, running):
    emulator.fault({"method": "cancel", "status": 503})
    emulator.fault({"method": "get", "status": 503})
    with pytest.raises(UnavailableError):
        talk.run_flow(end_job(running[0], running[1], "cancel"), ONCE)


def test_nobody_who_answers_is_told_at_once():
    ending = end_job(JOB, OPERATION, "cancel")
    next(ending)
    with pytest.raises(TransportError):
        ending.throw(TransportError("no route"))


def test_endings_are_told_for_each_job():
    assert describe_endings({}) == "its job was not found"
    one = {"a": Ending(EndingKind.CANCELED)}
    assert describe_endings(one, "no retry is left") == "a was canceled, since no retry is left"
    two = {"a": Ending(EndingKind.DELETED), "b": Ending(EndingKind.FAILED, "403")}
    assert describe_endings(two) == "a was deleted; b could not be ended and may still run (403)"
