"""A job that fails without an error output names the cell in which it stopped."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.exceptions import NotebookJobFailedError
from airflow_nbjobs.run.result import Executed, ResultReader
from tests.support.building import code, ran, read, stream

JOB = {"name": "projects/p/locations/l/notebookExecutionJobs/1", "displayName": "j", "jobState": "JOB_STATE_FAILED"}


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
    reader = ResultReader(
        hook=None,
        log=logging.getLogger(__name__),
        log_output="errors",
        unusable_results="fail",
        has_results=True,
    )
    job = NotebookExecutionJob.from_wire({**JOB, **status})
    executed = Executed(uri="gs://b/x.ipynb", outcome=read(*cells, has_failed=True))
    with caplog.at_level("INFO"), pytest.raises(NotebookJobFailedError, match=f"(?i){words}"):
        reader.conclude(job, executed, "p")
    assert caplog.messages[:2] == ["[cell 2] failed, without an error output:", "[cell 2] | two"]
