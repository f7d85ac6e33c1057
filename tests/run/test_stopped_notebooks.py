"""A job that fails without an error output names the cell in which it stopped."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.exceptions import NotebookJobFailedError
from airflow_nbjobs.run.result import Executed, ResultReader
from airflow_nbjobs.service import EmulatorService
from tests.support.building import code, error, ran, read, stream

JOB = {"name": "projects/p/locations/l/notebookExecutionJobs/1", "displayName": "j", "jobState": "JOB_STATE_FAILED"}


def reader() -> ResultReader:
    """Return a reader that sends nothing."""
    log, service = logging.getLogger(__name__), EmulatorService()
    return ResultReader(hook=service, log=log, log_output="errors", unusable_results="fail", has_results=True)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({}, "cell 2 was the last to run and has no error output, and the service gives no reason"),
        ({"status": {"message": "Out of memory."}}, "Out of memory"),
    ],
)
def test_failed_job_names_the_last_cell_or_the_reason(
    status: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    cells = [ran(stream("one")), ran(stream("two")), code("never")]
    job = NotebookExecutionJob.from_wire({**JOB, **status})
    executed = Executed(uri="gs://b/x.ipynb", outcome=read(*cells, has_failed=True))
    with caplog.at_level("INFO"), pytest.raises(NotebookJobFailedError, match=f"(?i){words}"):
        reader().conclude(job, executed, "p")
    assert caplog.messages[:2] == ["[cell 2] failed, without an error output:", "[cell 2] | two"]


def test_a_notebook_that_asks_for_input_is_told_of_parameters(caplog: pytest.LogCaptureFixture) -> None:
    asked = ran(error("StdinNotImplementedError", "raw_input was called"), source="input()")
    executed = Executed(uri="gs://b/x.ipynb", outcome=read(asked, has_failed=True))
    with caplog.at_level("INFO"), pytest.raises(NotebookJobFailedError):
        reader().conclude(NotebookExecutionJob.from_wire(JOB), executed, "p")
    assert [line for line in caplog.messages if "input()" in line and "as a parameter" in line]
