"""Several calls as one: waiting, the first look, ending a job. Time is a clock of the test's own."""

from __future__ import annotations

import pytest

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob, Operation
from airflow_nbjobs.api.waiting import first_look, wait_for_job, wait_for_operation
from airflow_nbjobs.exceptions import NotFoundError
from tests.support.flow_steps import JOB, OPERATION, answered, created, created_running, in_state


@pytest.fixture
def running(emulator, talk, where, a_job):
    return created_running(emulator, talk, where, a_job)


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
