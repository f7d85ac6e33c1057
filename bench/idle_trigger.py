"""A trigger that sends no requests, and ends at the time that a file names."""

from __future__ import annotations

import asyncio
import json
import time
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class _Ends:
    """The file, read once for all triggers as soon as it exists."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._over: dict[str, asyncio.Event] = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while not self._path.exists():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        for job, moment in json.loads(self._path.read_text()).items():
            loop.call_later(max(0.0, moment - time.time()), self.of(job).set)

    def of(self, job: str) -> asyncio.Event:
        """Return the event that is set when a job has ended."""
        return self._over.setdefault(job, asyncio.Event())


_ENDS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Ends]] = weakref.WeakKeyDictionary()


class Trigger(BaseTrigger):
    """Waits for a moment.

    :param job_id: what the file calls it.
    :param ends: path of the file: ``{job_id: seconds since 1970}``; those that it does not name wait for ever.
    :param poll_interval: of no use; all triggers that are measured have one.
    """

    def __init__(self, job_id: str, ends: str, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.job_id = job_id
        self.ends = ends
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores of the trigger."""
        known = {"job_id": self.job_id, "ends": self.ends, "poll_interval": self.poll_interval}
        return "bench.idle_trigger.Trigger", known

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the event."""
        files = _ENDS.setdefault(asyncio.get_running_loop(), {})
        if self.ends not in files:
            files[self.ends] = _Ends(Path(self.ends))
        await files[self.ends].of(self.job_id).wait()
        yield TriggerEvent({"status": "success"})  # type: ignore[no-untyped-call]  # as above
