"""The trigger that waits until a schedule has created the job of a data interval."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import airflow_nbjobs.floors  # noqa: F401 - refuses versions that are too old

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_nbjobs.api.names import ResourceName
from airflow_nbjobs.exceptions import ApiError, CredentialsError
from airflow_nbjobs.hooks.shared_hook import share_hook
from airflow_nbjobs.run.note import VERSION
from airflow_nbjobs.run.schedule_runs import find_run
from airflow_nbjobs.run.window import Window, as_time
from airflow_nbjobs.watch import budget_of
from airflow_nbjobs.watch.arrivals import wait_for_arrival

__all__ = ["NotebookScheduleRunTrigger"]


class NotebookScheduleRunTrigger(BaseTrigger):
    """Waits until a schedule has created the job of a data interval, or it is too late, and yields one event.

    All arguments are JSON, and all except the first three have defaults: a deferral survives an upgrade of the package.

    :param schedule: whole name of the schedule.
    :param start: of the interval, ISO 8601 with a time zone.
    :param end: of the interval, ISO 8601 with a time zone.
    :param grace: seconds after the end in which a run may start late.
    :param deadline: when to stop waiting, ISO 8601 with a time zone. Default: never.
    :param gcp_conn_id: the Google Cloud connection.
    :param impersonation_chain: service account to impersonate, or a chain of them.
    :param poll_interval: seconds between two looks.
    :param v: version of these arguments, which later versions of this package may need.
    """

    def __init__(
        self,
        schedule: str,
        start: str,
        end: str,
        grace: float = 0.0,
        deadline: str | None = None,
        gcp_conn_id: str = "google_cloud_default",
        impersonation_chain: str | Sequence[str] | None = None,
        poll_interval: float = 30,
        v: int = VERSION,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.schedule = schedule
        self.start = start
        self.end = end
        self.grace = grace
        self.deadline = deadline
        self.gcp_conn_id = gcp_conn_id
        self.impersonation_chain = impersonation_chain
        self.poll_interval = poll_interval
        self.v = v

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores of the trigger."""
        names = "schedule start end grace deadline gcp_conn_id impersonation_chain poll_interval v"
        return (
            "airflow_nbjobs.schedule_trigger.NotebookScheduleRunTrigger",
            {name: getattr(self, name) for name in names.split()},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the job, and yield the event: a hint to look."""
        outcome, reason = await self._wait()
        event = {"v": VERSION, "schedule": self.schedule, "outcome": outcome, "deadline": self.deadline}
        yield TriggerEvent({**event, "reason": reason and reason[:300]})  # type: ignore[no-untyped-call]  # as above

    async def _wait(self) -> tuple[str, str | None]:
        window = Window.of(as_time("start", self.start), as_time("end", self.end), self.grace)
        name = ResourceName.parse(self.schedule, "schedules")
        deadline = as_time("deadline", self.deadline)
        seconds = None if deadline is None else (deadline - datetime.now(UTC)).total_seconds()
        try:
            async with asyncio.timeout(seconds), share_hook(self.gcp_conn_id, self.impersonation_chain) as shared:
                is_there = await wait_for_arrival(
                    lambda: find_run(name, window),
                    window.until,
                    location=name.location,
                    hook=shared.hook,
                    budget=budget_of(name.parent),
                    poll_interval=self.poll_interval,
                )
        except TimeoutError:
            return "timeout", None
        except (ApiError, CredentialsError) as error:
            self.log.error("Failed to ask the service about runs of %s: %s", self.schedule, error)
            return "error", str(error)
        self.log.info("The schedule %s has %s %s.", self.schedule, "run" if is_there else "not run", window)
        return "done", None
