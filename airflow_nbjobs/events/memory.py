"""What a watcher has reported: kept in Airflow's database, so that another process goes on where one has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async

from airflow_nbjobs.exceptions import NbjobsError
from airflow_nbjobs.watch.feeds import LATE
from airflow_nbjobs.watch.updates import JobUpdate

__all__ = ["KEPT", "Memory", "Store"]

KEPT = 500
"""
How many reported jobs are kept at least: the service may change a job once more after its end. Those that ended in the
last minutes, which lists show again, are kept whatever their number is.
"""

_VERSION = 1


@dataclass
class Memory:
    """What one watcher has reported. All times are of the service.

    :ivar since: jobs that ended up to then are not reported: the watcher began.
    :ivar read_to: all others that ended up to then are reported.
    :ivar jobs: when the jobs that are reported last have changed, in seconds since 1970, by id.
    """

    since: datetime
    read_to: datetime
    jobs: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, seen: Iterable[JobUpdate], moment: datetime) -> Memory:
        """Return the memory of a new watcher: what it sees first has ended before.

        :param moment: to which all ends are known.
        """
        memory = cls(moment, moment)
        for job in seen:
            memory.add(job)
        return memory

    def is_new(self, job: JobUpdate) -> bool:
        """Return whether the end of a job is to be reported."""
        ended = job.update_time or self.read_to
        return job.job_id not in self.jobs and ended > self.since and ended >= self.read_to - LATE

    def add(self, job: JobUpdate) -> None:
        """Record that the end of a job is reported."""
        self.jobs[job.job_id] = (job.update_time or self.read_to).timestamp()

    def merge(self, other: Memory | None) -> None:
        """Take over what another process has reported for the same watcher: it took this one for dead, or was it."""
        if other is not None:
            self.since, self.jobs = max(self.since, other.since), {**other.jobs, **self.jobs}
            self.advance(other.read_to)

    def advance(self, read_to: datetime) -> None:
        """Record that all ends up to a moment are reported, and forget old jobs."""
        self.read_to = max(self.read_to, read_to)
        needed = (self.read_to - LATE).timestamp()
        newest_first = sorted(self.jobs.items(), key=lambda item: item[1], reverse=True)
        self.jobs = {job: ended for number, (job, ended) in enumerate(newest_first) if number < KEPT or ended >= needed}

    def to_json(self) -> dict[str, Any]:
        """Return what is stored: about 40 bytes for each job."""
        times = {"since": self.since.isoformat(), "read_to": self.read_to.isoformat()}
        return {"v": _VERSION, **times, "jobs": dict(self.jobs)}

    @classmethod
    def from_json(cls, stored: Any) -> Memory:
        """Parse what is stored.

        :raises NbjobsError: if this version does not understand it.
        """
        if not isinstance(stored, Mapping) or stored.get("v") != _VERSION:
            raise NbjobsError(
                f"The state of the watcher is not understood: {str(stored)[:200]}. This version of airflow-nbjobs "
                f"reads v={_VERSION}. Install the version that wrote it, or delete it: the watcher then begins now."
            )
        since, read_to = (datetime.fromisoformat(stored[name]).astimezone(UTC) for name in ("since", "read_to"))
        return cls(since, read_to, {str(job): float(ended) for job, ended in stored["jobs"].items()})


class Store:
    """The place of a memory in Airflow's database. Its methods for event loops exist since Airflow 3.3.2 only.

    :param accessors: the trigger's ``asset_state_store``.
    :param key: of the watcher; an asset may have several.
    """

    def __init__(self, accessors: Any, key: str) -> None:
        # Two assets may have the same watcher. Airflow has no public method that returns these assets.
        named, located = (getattr(accessors, name, {}).values() for name in ("_by_name", "_by_uri"))
        self._stores = [*named, *located] or [accessors]
        self._key = key

    async def load(self) -> Memory | None:
        """Read what is remembered for any of the assets; ``None`` if there is nothing.

        :raises AirflowRuntimeError: if Airflow does not answer.
        :raises NbjobsError: as for :meth:`Memory.from_json`.
        """
        known = None
        for store in self._stores:
            if (stored := await sync_to_async(store.get)(self._key)) is not None:
                memory = Memory.from_json(stored)
                memory.merge(known)  # an asset whose DAGs were paused for a while has an old one
                known = memory
        return known

    async def save(self, memory: Memory) -> None:
        """Write the memory, and take over what another process has written.

        :raises AirflowRuntimeError: if Airflow does not answer.
        """
        memory.merge(await self.load())
        for store in self._stores:
            await sync_to_async(store.set)(self._key, memory.to_json())
