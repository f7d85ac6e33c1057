"""Metrics of a real Airflow: its workers and its triggerer send them, each process by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from tests.support.crowd import Service
from tests.support.statsd import Statsd, listening

DAG = """
with DAG("measured", schedule=None):
    CreateNotebookExecutionJobOperator(deferrable=True, **JOB)
"""
TAGS = {"dag_id": "measured", "task_id": "report"}


@pytest.fixture(scope="module")
def statsd() -> Iterator[Statsd]:
    """Run a StatsD server."""
    with listening() as server:
        yield server


@pytest.fixture(scope="module")
def airflow(lasting: Emulator, statsd: Statsd, start_airflow: Any) -> Iterator[LocalAirflow]:
    """Start an Airflow that sends metrics."""
    with start_airflow(DAG, {**lasting.env, **statsd.env}, "measured", project="measured") as running:
        yield running


def test_worker_and_triggerer_send_metrics(airflow: LocalAirflow, lasting: Emulator, statsd: Statsd) -> None:
    run = airflow.rest.trigger("measured")
    # The second time, the triggerer has seen the job.
    airflow.wait(lambda: statsd.values("watched").count(1.0) > 1, 120, "the triggerer's gauge")
    (job,) = lasting.book("measured")
    with Service(lasting, "measured") as others:
        others.end([job])
    airflow.wait(lambda: airflow.rest.run_state(run) == "failed", 120, "the task to end")
    statsd.reaches({"submitted": 1, "cancelled": 1}, **TAGS)
    assert statsd.values("watched")[-1] == 0
    (running,) = statsd.values("job.running", **TAGS)  # its start was seen in the triggerer
    assert running > 0
    assert statsd.values("requests", service="aiplatform", verb="GET", status="200")
