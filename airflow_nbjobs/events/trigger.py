"""The trigger of an ``AssetWatcher``: an asset event for each notebook job that ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import airflow_nbjobs.floors  # noqa: F401 - refuses versions that are too old

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_nbjobs.api.names import check_location, check_project
from airflow_nbjobs.api.pacing import positive_seconds
from airflow_nbjobs.events.selection import Selection
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NbjobsError
from airflow_nbjobs.run.argument_rules import as_text, check_values
from airflow_nbjobs.run.arguments import is_template

if TYPE_CHECKING:
    from airflow_nbjobs.events.courier import Courier, Delivery
    from airflow_nbjobs.events.memory import Memory, Store
    from airflow_nbjobs.watch.feeds import Feed
    from airflow_nbjobs.watch.updates import JobUpdate

__all__ = ["NotebookJobEventTrigger"]

_VERSION = 1

_CHECKPOINT = timedelta(minutes=10)
"""How often what is known is stored if no job of interest ends: a watcher that starts again reads back to it."""

_AGAIN_SECONDS = 60.0
"""The pause after an error that ends the watching, before it begins again."""


class _UnusableTriggerError(InvalidNotebookJobError, TypeError):
    """The arguments are wrong. A triggerer goes on after a ``TypeError`` of a trigger's class; others end it."""


class NotebookJobEventTrigger(BaseEventTrigger):
    """Give an asset an event for each notebook job that ends: this starts the DAGs that are scheduled on the asset.

    For the ``watchers`` of an asset, on Airflow 3.3 or later. Each job is reported once, also if the triggerer is
    killed and started again; the decisions page on events has the only exception. A new watcher reports jobs that end
    after its first list. A job must match all arguments. Airflow renders no templates in watchers.

    The payload of the event is in ``extra["payload"]``: ``v`` (1), ``name``, ``job_id``, ``display_name``, ``state``
    (such as ``JOB_STATE_SUCCEEDED``), ``created_at`` and ``ended_at`` (ISO 8601; the end is the job's last update),
    ``executed_notebook`` (the ``gs://`` URI to which the service writes it, or ``None``), ``notebook_version``,
    ``schedule`` (its name, or ``None``), ``labels``, and ``reason`` (what the service says about a job that did not
    succeed, at most 300 characters, or ``None``).

    :param location: region of the jobs, such as ``us-central1``.
    :param project_id: default: the project of the connection.
    :param schedule: only jobs of this schedule: its whole name or its id.
    :param display_name: only jobs whose whole display name matches this RE2 regular expression.
    :param labels: only jobs that have all of these labels.
    :param states: the final states that are reported. Default ``SUCCEEDED``; others are ``FAILED``, ``CANCELLED``,
        ``EXPIRED`` and ``PARTIALLY_SUCCEEDED``.
    :param event_interval: seconds between two events at least. Airflow starts a DAG run for each event only if its
        scheduler has processed the event before; see the decisions page. Default 5.
    :param catch_up: seconds. A watcher that starts again, after the triggerer was down or its DAG was paused, reports
        what has ended since it stopped, but nothing that is older than this. Default one day.
    :param gcp_conn_id: the Google Cloud connection.
    :param impersonation_chain: service account to impersonate, or a chain of them.
    :param poll_interval: longest time between two looks, in seconds. All watchers and waiting tasks of a place share
        their requests. Default 30.
    :param v: version of these arguments, which later versions of this package may need.
    :raises InvalidNotebookJobError: if an argument is wrong, or Airflow is older than 3.3.
    """

    def __init__(
        self,
        location: str,
        project_id: str | None = None,
        schedule: str | None = None,
        display_name: str | None = None,
        labels: Mapping[str, str] | None = None,
        states: Sequence[str] = ("SUCCEEDED",),
        event_interval: float = 5,
        catch_up: float = 86400,
        gcp_conn_id: str = "google_cloud_default",
        impersonation_chain: str | Sequence[str] | None = None,
        poll_interval: float = 30,
        v: int = _VERSION,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.location = location
        self.project_id = project_id
        self.v = v
        try:
            _check_airflow()
            _check_rendered(location=location, project_id=project_id, schedule=schedule, display_name=display_name)
            _check_rendered(labels=labels, gcp_conn_id=gcp_conn_id, impersonation_chain=impersonation_chain)
            check_values({"gcp_conn_id": gcp_conn_id, "impersonation_chain": impersonation_chain})
            check_location(location)
            if project_id is not None:
                check_project(project_id)
            self.poll_interval = positive_seconds("poll_interval", poll_interval)
            self.event_interval = positive_seconds("event_interval", event_interval)
            self.catch_up = positive_seconds("catch_up", catch_up)
            self._selection = Selection.of(schedule, display_name, labels, states, location)
        except InvalidNotebookJobError as error:
            raise _UnusableTriggerError(str(error)) from error
        self.gcp_conn_id = as_text("gcp_conn_id", gcp_conn_id)
        self.impersonation_chain = as_text("impersonation_chain", impersonation_chain)
        self.schedule = schedule
        self.display_name = display_name
        self._memory: Memory | None = None
        self.labels = dict(self._selection.labels)
        self.states = [state.removeprefix("JOB_STATE_") for state in self._selection.states]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores of the trigger."""
        names = (
            "location project_id schedule display_name labels states event_interval catch_up gcp_conn_id "
            "impersonation_chain poll_interval v"
        )
        return (
            "airflow_nbjobs.events.NotebookJobEventTrigger",
            {name: getattr(self, name) for name in names.split()},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Refuse: Airflow calls this only if the trigger is used in another way than by an asset watcher."""
        raise NbjobsError(
            "NotebookJobEventTrigger is for the watchers of an asset: Asset(..., watchers=[AssetWatcher(name=..., "
            "trigger=...)]). A task that waits for a job uses NotebookExecutionJobSensor."
        )
        yield  # the method is a generator, as Airflow's is

    def shared_stream_key(self) -> Hashable:
        """Return a key of this trigger's own. Requests are shared in another way: by the poller of the place."""
        return "airflow_nbjobs.events", self.trigger_id

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> Courier:  # noqa: ARG003 - Airflow's interface
        """Return the stream that confirms what Airflow has stored."""
        from airflow_nbjobs.events.courier import Courier

        return Courier()

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield the events."""
        from airflow_nbjobs.events.courier import Courier

        async for received in shared_stream:
            if isinstance(received, Courier):
                received.serve(self._deliveries())
            else:
                yield TriggerEvent(received.payload)  # type: ignore[no-untyped-call]  # as above

    async def _deliveries(self) -> AsyncIterator[Delivery]:
        """Watch until Airflow ends the trigger.

        An error is logged, and the watching goes on after a pause: Airflow would start a failed trigger again at once.
        """
        while True:
            try:
                async for delivery in self._watch():
                    yield delivery
            except Exception as error:
                self.log.error(
                    "Failed to watch %s: %s: %s. It is tried again in %d s.",
                    *(self._what(), type(error).__name__, str(error).rstrip("."), _AGAIN_SECONDS),
                    exc_info=not isinstance(error, NbjobsError),
                )
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _watch(self) -> AsyncIterator[Delivery]:
        from airflow_nbjobs.events.memory import Memory
        from airflow_nbjobs.watch import join_feed

        parent = await self._parent()
        store = self._store(parent)
        stored, stored_to = await store.load(), None
        if memory := self._memory or stored:  # an event may be stored that could not be remembered
            memory.merge(stored)
        feed = self._feed(memory)
        while True:
            with join_feed(feed, parent, gcp_conn_id=self.gcp_conn_id, impersonation_chain=self.impersonation_chain):
                while feed.parent in (None, parent):
                    ended, read_to = await feed.next_round()
                    if memory is None:
                        memory = Memory.begin(ended, read_to)
                        self.log.info("From now on, the ends of %s are reported.", self._what())
                    self._memory = memory
                    async for delivery in self._report(ended, memory, store):
                        yield delivery
                        stored_to = memory.read_to
                    memory.advance(read_to)
                    if stored_to is None or memory.read_to - stored_to >= _CHECKPOINT:
                        await store.save(memory)
                        stored_to = memory.read_to
            # Tasks know their jobs by the project's number, and wait with those who do the same.
            parent, feed.parent = feed.parent or parent, None

    async def _report(self, ended: Sequence[JobUpdate], memory: Memory, store: Store) -> AsyncIterator[Delivery]:
        """Report the jobs that are new, one after the other: each is remembered when Airflow has stored its event."""
        from airflow_nbjobs import metrics
        from airflow_nbjobs.events.courier import Delivery

        for job in filter(memory.is_new, ended):
            memory.merge(await store.load())
            if not memory.is_new(job):  # another triggerer, which took this one for dead, was first
                continue
            delivery = Delivery(_payload(job))
            yield delivery
            if not await delivery.is_stored:
                raise NbjobsError(f"Airflow did not confirm that the event of {job.wire['name']} is stored")
            memory.add(job)
            await store.save(memory)
            metrics.count_event(job.state)
            await asyncio.sleep(self.event_interval)

    def _feed(self, memory: Memory | None) -> Feed:
        from airflow_nbjobs.watch.feeds import LATE, Feed

        if memory is None:
            return Feed(self._selection.wants, self.poll_interval)
        earliest = datetime.now(UTC) - timedelta(seconds=min(self.catch_up, 1e9))  # dates have a beginning
        if memory.read_to < earliest:
            self.log.warning(
                "Ends of %s before %s that no event has reported yet are skipped: they are older than catch_up=%g "
                "seconds.",
                *(self._what(), earliest, self.catch_up),
            )
            memory.advance(earliest)
        return Feed(self._selection.wants, self.poll_interval, memory.read_to - LATE)

    def _what(self) -> str:
        """Return in words which jobs are watched."""
        asked = {name: getattr(self, name) for name in ("schedule", "display_name", "labels", "states")}
        chosen = ", ".join(f"{name}={value!r}" for name, value in asked.items() if value)
        return f"notebook jobs in {self.location} ({chosen})"

    def _store(self, parent: str) -> Store:
        from airflow_nbjobs.events.memory import Store

        accessors = getattr(self, "asset_state_store", None)
        if accessors is None:
            raise NbjobsError("Airflow gave the trigger no asset: use it as the trigger of an AssetWatcher")
        return Store(accessors, self._key(parent))

    def _key(self, parent: str) -> str:
        """Return the key of what is remembered: a watcher that asks for other jobs starts from the present."""
        asked = [parent, self.schedule, self.display_name, self.labels, self.states]
        return f"nbjobs-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]}"

    async def _parent(self) -> str:
        """Return ``projects/p/locations/l``."""
        from airflow_nbjobs.api.names import parent
        from airflow_nbjobs.hooks.shared_hook import share_hook

        project = self.project_id
        if project is None:
            async with share_hook(self.gcp_conn_id, self.impersonation_chain) as shared:
                connected = await shared.hook.get_sync_hook()
                project = await asyncio.to_thread(lambda: connected.project_id)
        return parent(project, self.location)


def _check_airflow() -> None:
    # Airflow 3.3 has it, and the state of assets.
    if not hasattr(BaseEventTrigger, "create_shared_stream_producer"):
        from airflow import __version__

        raise InvalidNotebookJobError(
            f"NotebookJobEventTrigger needs Airflow 3.3 or later, and this is {__version__}. An older one does not "
            "keep what was reported: each start of the triggerer would report jobs twice, or miss some. Give the task "
            "that runs the notebook an asset instead, or wait with a sensor."
        )


def _check_rendered(**arguments: Any) -> None:
    for name, value in arguments.items():
        if is_template(value):
            raise InvalidNotebookJobError(
                f"{name}={value!r} contains a template, and Airflow renders none in a watcher: give the value itself."
            )


def _payload(job: JobUpdate) -> dict[str, Any]:
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.run.summary import reason, result

    whole = NotebookExecutionJob.from_wire(job.wire)
    return {
        **result(whole),
        "display_name": whole.display_name,
        "created_at": whole.create_time and whole.create_time.isoformat(),
        "ended_at": whole.update_time and whole.update_time.isoformat(),
        "schedule": whole.schedule_resource_name,
        "labels": dict(whole.labels),
        "reason": None if whole.job_state.is_success else reason(whole)[:300],
    }
