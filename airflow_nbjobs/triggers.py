"""The trigger that waits for a notebook execution job in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, TypeVar

import airflow_nbjobs.floors  # noqa: F401 - refuses versions that are too old

import tenacity
from airflow.providers.common.compat.sdk import XCom
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_nbjobs import metrics
from airflow_nbjobs.api.job import JobState
from airflow_nbjobs.api.names import JobName, same_job
from airflow_nbjobs.api.pacing import ENDURING, backoff
from airflow_nbjobs.api.wire import parse_time
from airflow_nbjobs.compat import calls_on_kill, is_about_finished_try
from airflow_nbjobs.exceptions import ApiError, CredentialsError, FailureKind, NotFoundError
from airflow_nbjobs.hooks.shared_hook import share_hook
from airflow_nbjobs.run.argument_rules import KillPolicy, check_kill_policy
from airflow_nbjobs.run.end_job import Ending, end_job
from airflow_nbjobs.run.note import JOB_XCOM, VERSION, Event, EventOutcome, JobNote
from airflow_nbjobs.run.task import task_state
from airflow_nbjobs.watch import join_poller
from airflow_nbjobs.watch.failures import Outage

__all__ = ["NotebookExecutionJobTrigger"]

T = TypeVar("T")

_GOES_ON = frozenset({"deferred", "running"})
"""
States of a task that may need its job. A task that waits for a worker does not: it resumes only if its job has ended,
which is not ended again, and else it was cleared.
"""

_RUNS_AGAIN = frozenset({"up_for_retry", "up_for_reschedule"})
"""States of a task whose next process re-attaches to the job."""

_ANSWER_SECONDS = 20.0
"""How long Airflow is asked whether to end a job, if its API server or database does not answer."""


class NotebookExecutionJobTrigger(BaseTrigger):
    """Waits until a job has ended or the deadline has passed, and yields one event: a hint to read the job.

    All arguments are JSON, and all except the name have defaults: a deferral survives an upgrade of the package.

    :param job_name: resource name of the job.
    :param operation_name: its create operation, which is needed to cancel the job.
    :param created_at: when the job was created, ISO 8601. With it, one list finds a hundred jobs when a triggerer
        starts.
    :param deadline: when to stop waiting, ISO 8601 with a time zone. Default: never.
    :param kill: what happens to the job when a person ends the deferred task: ``cancel``, ``delete`` or ``leave``.
    :param gcp_conn_id: the Google Cloud connection.
    :param impersonation_chain: service account to impersonate, or a chain of them.
    :param poll_interval: seconds between two looks at most. All triggers of a triggerer that wait in one project and
        location share the requests.
    :param v: version of these arguments, which later versions of this package may need.
    """

    # asyncio keeps no reference to a task; without one it could be collected while it ends a job.
    _ending: ClassVar[set[asyncio.Task[None]]] = set()

    def __init__(
        self,
        job_name: str,
        operation_name: str | None = None,
        created_at: str | None = None,
        deadline: str | None = None,
        kill: str = "leave",
        gcp_conn_id: str = "google_cloud_default",
        impersonation_chain: str | Sequence[str] | None = None,
        poll_interval: float = 30,
        v: int = VERSION,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.job_name = job_name
        self.operation_name = operation_name
        self.created_at = created_at
        self.deadline = deadline
        self.kill = kill
        self.gcp_conn_id = gcp_conn_id
        self.impersonation_chain = impersonation_chain
        self.poll_interval = poll_interval
        self.v = v
        self._seen = JobState.UNSPECIFIED
        self._running_since: datetime | None = None
        self._has_ended = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores of the trigger."""
        names = "job_name operation_name created_at deadline kill gcp_conn_id impersonation_chain poll_interval v"
        return (
            "airflow_nbjobs.triggers.NotebookExecutionJobTrigger",
            {name: getattr(self, name) for name in names.split()},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the job, and yield the event."""
        try:
            event = await self._wait()
            self._has_ended = True  # from here on the job is not ended
            yield TriggerEvent(event.to_payload())  # type: ignore[no-untyped-call]  # as above
        except asyncio.CancelledError:
            if not calls_on_kill():
                await self._end_shielded()
            raise

    async def _wait(self) -> Event:
        try:
            async with asyncio.timeout(self._remaining()):
                await self._watch()
        except TimeoutError:
            return self._event("timeout")
        except NotFoundError as error:
            self.log.error("%s no longer exists: %s", self.job_name, error)
            return self._event("gone")
        except (ApiError, CredentialsError) as error:
            self.log.error("Failed to ask the service about %s: %s", self.job_name, error)
            return self._event("error", reason=str(error), kind=error.kind)
        return self._event("done")

    async def _watch(self) -> None:
        """Wait until the job has ended, and log changes and outages in this task's own log."""
        with join_poller(
            self.job_name,
            gcp_conn_id=self.gcp_conn_id,
            impersonation_chain=self.impersonation_chain,
            created_at=parse_time(self.created_at),
            poll_interval=self.poll_interval,
        ) as waiter:
            while not self._seen.is_terminal:
                report = await waiter.next_report()
                if isinstance(report, Outage):
                    self._log_outage(report)
                else:
                    self._seen = report
                    if report is JobState.RUNNING:
                        self._running_since = waiter.changed_at
                    self.log.info("Notebook job %s is %s.", self.job_name, self._seen.word)

    def _log_outage(self, outage: Outage) -> None:
        since = f"{outage.since:%H:%M:%S} UTC"
        if outage.is_over:
            self.log.info("Requests work again after the failures since %s; waiting for %s.", since, self.job_name)
            return
        self.log.warning(
            "Failed to read the state of %s since %s: %s. The job itself may go on, and the task keeps asking. If this "
            "lasts, check the network, the credentials of the connection %s and the status of the service.",
            *(self.job_name, since, str(outage.error).rstrip("."), self.gcp_conn_id),
        )

    def _remaining(self) -> float | None:
        """Return the seconds until the deadline."""
        if self.deadline is None:
            return None
        deadline = datetime.fromisoformat(self.deadline)
        return (deadline - datetime.now(deadline.tzinfo)).total_seconds()

    def _event(
        self, outcome: EventOutcome, *, reason: str | None = None, kind: FailureKind = FailureKind.OTHER
    ) -> Event:
        state = None if self._seen is JobState.UNSPECIFIED else self._seen.value
        return Event(
            job_name=self.job_name,
            operation_name=self.operation_name,
            outcome=outcome,
            state=state,
            deadline=self.deadline,
            reason=reason,
            kind=kind,
            running_since=self._running_since.isoformat() if self._running_since else None,
        )

    async def on_kill(self) -> None:
        """End the job by the kill policy: Airflow 3.3 and later call this when a person ends the deferred task."""
        await self._end_shielded()

    async def _end_shielded(self) -> None:
        # Airflow cancels this again after about a second (measured on 3.3.2). The work goes on in a separate task.
        ending = asyncio.get_running_loop().create_task(self._end_if_unwanted())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        await asyncio.shield(ending)

    async def _end_if_unwanted(self) -> None:
        try:
            policy = check_kill_policy(self.kill)
            if policy == "leave" or self._has_ended:
                return
            if not await _patiently(self._is_unwanted):
                self.log.info("The task goes on, and so does %s.", self.job_name)
                return
            ending = await self._end(policy)
            self.log.info("The task no longer waits: %s %s.", self.job_name, ending)
            if ending.was_ended:
                ti: Any = self.task_instance
                metrics.count_job("cancelled", {"dag_id": ti.dag_id, "task_id": ti.task_id})
        except Exception as error:  # noqa: BLE001 - nothing waits for this: an error that is not logged here is lost
            reason = f"{type(error).__name__}: {error}"
            self.log.error("The task seems to be ended, but %s may still run: %s", self.job_name, reason)

    async def _end(self, policy: KillPolicy) -> Ending:
        location = JobName.parse(self.job_name).location
        async with share_hook(self.gcp_conn_id, self.impersonation_chain) as shared, shared.turns:
            await _patiently(partial(shared.hook.client, location))
            return await shared.hook.run_flow(location, end_job(self.job_name, self.operation_name, policy), ENDURING)

    async def _is_unwanted(self) -> bool:
        """Return whether no task waits for the job.

        When a stalled triggerer wakes up, Airflow tells it that a person ended all its triggers, though another
        triggerer has taken them over (measured on 3.3.2). Then the task is still deferred with this job, or the other
        triggerer has sent the event, and the task resumes or is retried. After a clear, the new try has no note, or one
        of another job. Airflow 3.4 shows a trigger the note of its own try only, and refuses when that try is over.
        """
        ti: Any = self.task_instance
        state = await sync_to_async(task_state)(ti)
        if state not in _GOES_ON:
            return state not in _RUNS_AGAIN
        try:
            payload = await sync_to_async(XCom.get_one)(
                key=JOB_XCOM, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index
            )
        except Exception as error:
            if is_about_finished_try(error):
                return True
            raise
        note = JobNote.from_payload(payload)
        return state != "deferred" if note is None else not same_job(note.name, self.job_name)


async def _patiently(look: Callable[[], Awaitable[T]]) -> T:
    """Ask Airflow for something, repeatedly for :data:`_ANSWER_SECONDS`."""
    trying = tenacity.AsyncRetrying(
        wait=lambda state: backoff(state.attempt_number),
        stop=tenacity.stop_before_delay(_ANSWER_SECONDS),
        reraise=True,
    )
    return await trying(look)
