"""A retry policy for notebook tasks: what cannot succeed fails at once, and what may pass is waited for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_nbjobs.compat import decide_to_run_again
from airflow_nbjobs.exceptions import FailureKind

try:
    from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
except ModuleNotFoundError:
    from airflow import __version__

    raise ImportError(
        f"NotebookRetryPolicy needs Airflow 3.3 or newer, whose tasks have a retry_policy, and this is Airflow "
        f"{__version__}. Upgrade Airflow, or use retries, retry_delay and retry_on_notebook_error=False."
    ) from None

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["NotebookRetryPolicy"]

_FINAL = frozenset({FailureKind.NOTEBOOK, FailureKind.REQUEST, FailureKind.PERMISSION})


class NotebookRetryPolicy(RetryPolicy):
    """Retry a notebook task if that can help: ``retry_policy=NotebookRetryPolicy()`` (Airflow 3.3 and later).

    A cell that raised, a wrong argument and a missing permission fail the task at once. If too many requests were sent,
    if there is no machine, or if the service does not answer, the task runs again after the delay of that case: without
    using a retry on Airflow 3.4 and later, as one of the task's ``retries`` before. Every other failure is left to the
    task's own ``retries`` and ``retry_delay``.

    :param quota_delay: before the task runs again after too many requests in a minute. Default one minute.
    :param capacity_delay: the same if there is no machine for the job, or no quota for one. Default 15 minutes.
    :param outage_delay: the same if the service, or Google's token service, does not answer. Default two minutes.
    :param reschedule_timeout: Airflow 3.4 and later: how long after the first of these runs the task's own ``retries``
        and ``retry_delay`` are used instead. The time starts again with each try. Default six hours.
    :raises ValueError: if one of them is not a positive timedelta.
    """

    def __init__(
        self,
        *,
        quota_delay: timedelta = timedelta(minutes=1),
        capacity_delay: timedelta = timedelta(minutes=15),
        outage_delay: timedelta = timedelta(minutes=2),
        reschedule_timeout: timedelta = timedelta(hours=6),
    ) -> None:
        given = {
            "quota_delay": quota_delay,
            "capacity_delay": capacity_delay,
            "outage_delay": outage_delay,
            "reschedule_timeout": reschedule_timeout,
        }
        for name, value in given.items():
            if not isinstance(value, timedelta) or value <= timedelta(0):
                raise ValueError(
                    f"{name}={value!r} is not a positive timedelta: give one such as timedelta(minutes=5)."
                )
        self.reschedule_timeout = reschedule_timeout
        self.delays = {
            FailureKind.QUOTA: quota_delay,
            FailureKind.CAPACITY: capacity_delay,
            FailureKind.OUTAGE: outage_delay,
        }

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002 - as above
        context: Context | None = None,  # noqa: ARG002 - as above
    ) -> RetryDecision:
        """Decide by the kind of the failure; Airflow calls this with the error that a task ended with."""
        kind = FailureKind.of(exception)
        if kind in _FINAL:
            return RetryDecision.fail(kind.value)
        delay = self.delays.get(kind)
        if delay is None:
            return RetryDecision.default()
        decision: RetryDecision = decide_to_run_again(delay, within=self.reschedule_timeout, reason=kind.value)
        return decision
