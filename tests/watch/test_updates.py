"""What is read of a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_nbjobs.watch.updates import JobUpdate

START = datetime(2026, 11, 22, tzinfo=UTC)


def test_a_job_is_read_from_what_the_service_says_of_it():
    told = {"name": "projects/1/locations/l/notebookExecutionJobs/7", "jobState": "JOB_STATE_NEW", "other": 1}
    wire = {**told, "updateTime": "2026-11-22T00:00:01.123456789Z"}
    assert JobUpdate.from_wire(wire) == JobUpdate(
        "7", "JOB_STATE_NEW", START + timedelta(seconds=1, microseconds=123456), wire
    )
    for odd in ("yesterday", "2026-11-22T00:00:00"):
        assert JobUpdate.from_wire({**told, "updateTime": odd}).update_time is None
    assert JobUpdate.from_wire({**told, "jobState": None, "updateTime": 3})[:3] == ("7", "", None)
    for name in (7, None, "", "projects/1/locations/l/notebookExecutionJobs/"):
        with pytest.raises(ValueError, match="a job without a name"):
            JobUpdate.from_wire({**told, "name": name})
