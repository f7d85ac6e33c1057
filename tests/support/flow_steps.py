"""A flow that is run step by step, without a client, and the jobs that flows are tried on."""

from __future__ import annotations

from typing import Any

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.flows import Sleep
from airflow_nbjobs.api.job import JobState, NotebookExecutionJob
from tests.support.waiting import eventually

JOB = "projects/p/locations/us-central1/notebookExecutionJobs/5"
OPERATION = f"{JOB}/operations/7"


def in_state(word: str) -> NotebookExecutionJob:
    """Return a job in a state."""
    return NotebookExecutionJob(name=JOB, job_state=JobState(f"JOB_STATE_{word}"))


RUNNING = in_state("RUNNING")


def created(talk: Any, where: str, a_job: NotebookExecutionJob) -> tuple[str, str]:
    """Create a job; return its name and its operation's."""
    operation = talk.send(calls.create_job(where, a_job)).name
    return operation.partition("/operations/")[0], operation


def created_running(emulator: Any, talk: Any, where: str, a_job: NotebookExecutionJob) -> tuple[str, str]:
    """Create a job that runs until it is ended; return its name and its operation's."""
    emulator.fault({"job_state": "JOB_STATE_RUNNING"})
    name, operation = created(talk, where, a_job)
    eventually(lambda: talk.send(calls.get_job(name)).job_state == JobState.RUNNING)
    return name, operation


def answered(flow: Any, answers: Any) -> tuple[Any, list[Any]]:
    """Run a flow whose calls are answered, or refused, by the answers in turn.

    :returns: what the flow returns, and its steps: pauses in seconds, calls by verb and last part of the path.
    """
    steps: list[Any] = []
    remaining = iter(answers)
    advance, value = flow.send, None
    while True:
        try:
            step = advance(value)
        except StopIteration as end:
            assert list(remaining) == []
            return end.value, steps
        advance, value = flow.send, None
        if isinstance(step, Sleep):
            steps.append(step.seconds)
            continue
        steps.append(f"{step.verb} {step.path.rpartition('/')[2]}")
        value = next(remaining)
        if isinstance(value, Exception):
            advance = flow.throw
