"""Metrics of notebook jobs. Airflow's ``Stats`` sends them: to StatsD, Datadog or OpenTelemetry, as it is configured.

Names and meanings: ``docs/reference/metrics.md``. Nothing here raises: a metric must not cost a job.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from airflow_nbjobs import settings
from airflow_nbjobs.compat import stats

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob

__all__ = ["JobMetric", "count_event", "count_job", "count_request", "record_end", "set_watched"]

JobMetric = Literal["submitted", "adopted", "succeeded", "failed", "cancelled"]

log = logging.getLogger(__name__)


def count_job(metric: JobMetric, tags: Mapping[str, str], jobs: int = 1) -> None:
    """Add a number of jobs to ``nbjobs.job.{metric}``.

    :param tags: by which the metric can be grouped.
    """
    if jobs:
        _send(lambda: stats().incr(f"nbjobs.job.{metric}", jobs, tags=dict(tags)))


def record_end(job: NotebookExecutionJob, running_since: datetime | None, tags: Mapping[str, str]) -> None:
    """Count a job that has ended, and send how long it waited for its machine and how long it ran.

    :param running_since: when it was RUNNING first; ``None`` if that was not seen. Then no times are sent.
    :param tags: by which the metrics can be grouped.
    """
    count_job(_outcome(job), tags)
    if running_since is None or job.create_time is None or job.update_time is None:
        return
    queueing, running = running_since - job.create_time, job.update_time - running_since
    _send(lambda: stats().timing("nbjobs.job.queueing", queueing, tags=dict(tags)))
    _send(lambda: stats().timing("nbjobs.job.running", running, tags=dict(tags)))


def count_event(state: str) -> None:
    """Add one to ``nbjobs.events``.

    :param state: in which the job ended.
    """
    _send(lambda: stats().incr("nbjobs.events", tags={"state": state.removeprefix("JOB_STATE_")}))


def count_request(service: str, verb: str, status: int | None) -> None:
    """Add one to ``nbjobs.requests``.

    :param service: ``aiplatform``, ``storage`` or ``dataform``.
    :param verb: of HTTP.
    :param status: of the answer; ``None`` if there was no answer.
    """
    tags = {"service": service, "verb": verb, "status": "none" if status is None else str(status)}
    _send(lambda: stats().incr("nbjobs.requests", tags=tags))


def set_watched(jobs: int) -> None:
    """Set ``nbjobs.watched`` and ``nbjobs.watched.{host}``: the number of jobs that this process waits for.

    Two names, as Airflow does it: without tags, several triggerers overwrite each other's values of the first one.
    """
    host = socket.gethostname()
    _send(lambda: stats().gauge("nbjobs.watched", jobs, tags={"hostname": host}))
    _send(lambda: stats().gauge(f"nbjobs.watched.{host}", jobs))


def _outcome(job: NotebookExecutionJob) -> JobMetric:
    if job.job_state.is_success:
        return "succeeded"
    return "cancelled" if job.job_state.word == "CANCELLED" else "failed"


def _send(send: Callable[[], Any]) -> None:
    if not settings.is_airflow_loaded():
        return
    try:
        send()
    except Exception as error:  # noqa: BLE001 - it depends on Airflow's configuration and on packages of others
        _warn(f"Failed to send a metric: {type(error).__name__}: {error}. Check the section [metrics].")


@cache
def _warn(sentence: str) -> None:
    """Log a sentence, the first time."""
    log.warning("%s", sentence)
