"""What a StatsD server receives about jobs and requests, over UDP."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_nbjobs import compat, metrics
from airflow_nbjobs.exceptions import NotebookJobFailedError, TransportError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from tests.support.cloud import Cloud
from tests.support.emulators import using
from tests.support.statsd import Statsd, listening
from tests.support.task_runs import create, restored
from tests.support.waiting import eventually, until

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
nbjobs_emulator_session = using("simulated")

MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["here", "deferred"])
TAGS = {"dag_id": "reports", "task_id": "report"}


def make_stats_anew() -> None:
    """Let Airflow read its settings of metrics again, as in a new process."""
    compat.stats.cache_clear()
    stats: Any = compat.stats()
    if hasattr(stats, "factory"):  # before Airflow 3.3
        from airflow.metrics.statsd_logger import get_statsd_logger

        type(stats).factory, stats.instance = get_statsd_logger, None
    else:
        module: Any = sys.modules[stats.incr.__module__]
        module._factory = module._backend = None
        compat.stats.cache_clear()


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Statsd]:
    """Run a StatsD server to which this process sends."""
    with listening() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        make_stats_anew()
        yield server
    monkeypatch.undo()
    make_stats_anew()
    gc.collect()  # Airflow leaves its socket to it


@MODES
def test_a_job_is_counted_and_timed_once(cloud: Cloud, statsd: Statsd, deferrable: bool) -> None:
    cloud.fault({"job_state": ["JOB_STATE_QUEUED", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"], "seconds": 1})
    create(deferrable=deferrable).to_its_end()
    statsd.reaches({"submitted": 1, "succeeded": 1}, **TAGS)
    (job,) = cloud.book()
    times = {step["state"]: step["time"] for step in job["history"]}
    assert "JOB_STATE_RUNNING" in times
    (queueing,) = eventually(lambda: statsd.values("job.queueing", **TAGS))
    (running,) = eventually(lambda: statsd.values("job.running", **TAGS))
    assert queueing > 0
    assert running > 0
    hook = NotebookExecutionJobHook()
    ended = hook.get_job(job["name"])
    assert queueing + running == pytest.approx((ended.update_time - ended.create_time).total_seconds() * 1000, abs=1)


@MODES
@pytest.mark.parametrize(("state", "metric"), [("FAILED", "failed"), ("EXPIRED", "failed"), ("CANCELLED", "cancelled")])
def test_each_end_has_its_counter(cloud: Cloud, statsd: Statsd, deferrable: bool, state: str, metric: str) -> None:
    cloud.fault({"job_state": ["JOB_STATE_QUEUED", f"JOB_STATE_{state}"]})
    with pytest.raises(NotebookJobFailedError):
        create(deferrable=deferrable).to_its_end()
    statsd.reaches({"submitted": 1, metric: 1}, **TAGS)
    assert statsd.values("job.running") == []  # it never ran


def test_a_retry_counts_the_job_as_adopted(cloud: Cloud, statsd: Statsd) -> None:
    run = create(wait_for_completion=False)
    run.execute()
    run.ti.try_number = 2
    run.in_another_process().execute()
    statsd.reaches({"submitted": 1, "adopted": 1}, **TAGS)


@pytest.mark.parametrize("kill", ["cancel", "delete", "leave"])
def test_a_job_that_a_kill_ends_is_counted(cloud: Cloud, statsd: Statsd, kill: str) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = create(deferrable=True, kill=kill)
    run.defer()
    run.operator.on_kill()
    statsd.reaches({"submitted": 1} if kill == "leave" else {"submitted": 1, "cancelled": 1}, **TAGS)


def test_a_job_that_a_trigger_ends_is_counted(cloud: Cloud, statsd: Statsd, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    run = create(deferrable=True)
    deferral = run.defer()
    trigger = restored(deferral)
    trigger.task_instance = run.ti
    monkeypatch.setattr("airflow_nbjobs.triggers.task_state", lambda _: "failed")
    asyncio.run(trigger.on_kill())
    statsd.reaches({"submitted": 1, "cancelled": 1}, **TAGS)


def test_requests_are_counted_by_service_verb_and_status(cloud: Cloud, statsd: Statsd) -> None:
    cloud.fault({"method": "get", "status": 503, "times": 1})
    create().execute()
    seen = cloud.requests()
    eventually(lambda: sum(statsd.values("requests")) >= sum(sum(each.values()) for each in seen.values()))
    assert sum(statsd.values("requests", service="aiplatform", verb="POST", status="200")) == seen["create"]["200"]
    assert sum(statsd.values("requests", service="aiplatform", verb="GET", status="503")) == 1
    assert statsd.values("requests", service="storage")  # the notebook's generation was looked for


def test_a_request_without_an_answer_is_counted(
    cloud: Cloud, statsd: Statsd, monkeypatch: pytest.MonkeyPatch, brisk: None
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NBJOBS_EMULATOR_HOST", f"127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(TransportError):
            NotebookExecutionJobHook().get_job("projects/p/locations/us-central1/notebookExecutionJobs/1")
    eventually(lambda: statsd.values("requests", verb="GET", status="none"))


async def test_waiting_tasks_are_a_gauge_that_returns_to_zero(cloud: Cloud, statsd: Statsd) -> None:
    cloud.fault({"job_state": "JOB_STATE_RUNNING", "times": 2})
    triggers = [restored(create(deferrable=True).defer()) for _ in range(2)]
    waiting = [asyncio.create_task(anext(trigger.run())) for trigger in triggers]
    await until(lambda: 2.0 in statsd.values("watched"))
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    host = socket.gethostname()

    def series() -> list[list[float]]:
        return [statsd.values(f"watched.{host}"), statsd.values("watched", hostname=host), statsd.values("watched")]

    await until(lambda: all(values[-1:] == [0] for values in series()))
    assert series()[0] == series()[1] == series()[2]


def test_a_broken_sender_costs_no_job(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("the port is not a number")

    monkeypatch.setattr(metrics, "stats", lambda: SimpleNamespace(incr=broken, timing=broken, gauge=broken))
    assert create().to_its_end()["state"] == "JOB_STATE_SUCCEEDED"
    warned = [line for line in caplog.messages if "Failed to send a metric" in line]
    assert warned == ["Failed to send a metric: ValueError: the port is not a number. Check the section [metrics]."]
