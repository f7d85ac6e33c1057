"""The life of a schedule: what it creates when, by the rules of Google's field comments.

Each run has a job from the time of the cron expression at which it is *due*. A start takes no time here: therefore
``maxConcurrentRunCount``, which limits how many runs are being started at a time, skips and queues none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from airflow_nbjobs.emulator import operations
from airflow_nbjobs.emulator.database import Clock, nanoseconds, timestamp
from airflow_nbjobs.emulator.errors import ServiceError, failed_precondition, invalid
from airflow_nbjobs.emulator.jobs.model import Jobs
from airflow_nbjobs.emulator.json_format import camel_case
from airflow_nbjobs.emulator.records import Records, Wire
from airflow_nbjobs.emulator.resources import Parent, new_id
from airflow_nbjobs.emulator.schedules.checks import NOTEBOOK, check_schedule
from airflow_nbjobs.emulator.schedules.cron import Cron
from airflow_nbjobs.emulator.schedules.schema import ACTIVE, COMPLETED, PAUSED, UPDATABLE

log = logging.getLogger(__name__)

COLLECTION = "schedules"


class Schedules:
    """The schedules of one emulator; used from its event loop only.

    :param records: where they are stored.
    :param jobs: where their jobs are created.
    """

    def __init__(self, records: Records, jobs: Jobs) -> None:
        self.records = records
        self._jobs = jobs
        self._clock: Clock = jobs.book.clock
        self._changed = asyncio.Event()

    def create(self, parent: Parent, schedule: Wire) -> Wire:
        """Create a schedule, which is active at once.

        :param schedule: in its wire form, read but not checked.
        :raises ServiceError: 400 that names the field that is wrong.
        """
        now = timestamp(self._clock.now())
        schedule = {**schedule, "startTime": schedule.get("startTime", now)}
        check_schedule(schedule, parent)
        schedule_id = new_id()
        made = {"name": f"{parent}/{COLLECTION}/{schedule_id}", **schedule, "state": ACTIVE, "startedRunCount": "0"}
        made |= {"createTime": now, "updateTime": now}
        self._plan(made, nanoseconds(now))
        self.records.add(parent, COLLECTION, schedule_id, made)
        self._changed.set()
        return made

    def get(self, parent: Parent, schedule_id: str) -> Wire:
        """Read a schedule.

        :raises ServiceError: 404 when it does not exist.
        """
        return self.records.get(parent, COLLECTION, schedule_id)

    def patch(self, parent: Parent, schedule_id: str, changes: Wire, fields: list[str]) -> Wire:
        """Change fields. Runs that were due before are no longer started.

        :param fields: those to change; one that ``changes`` does not have is removed.
        :raises ServiceError: 400 for a field that cannot be changed, or a schedule that is COMPLETED.
        """
        schedule = self.get(parent, schedule_id)
        if schedule["state"] == COMPLETED:
            raise failed_precondition(f"{schedule['name']} is COMPLETED and cannot be updated.")
        for field in map(camel_case, fields):
            if field not in UPDATABLE:
                known = ", ".join(sorted(UPDATABLE))
                raise invalid("update_mask", f"Invalid update_mask: {field!r} cannot be updated; known are {known}.")
            schedule.pop(field, None)
            if field in changes:
                schedule[field] = changes[field]
        schedule.setdefault("startTime", schedule["createTime"])
        check_schedule(schedule, parent)
        if schedule["state"] == ACTIVE:
            self._plan(schedule, self._clock.now())
        return self._put(schedule)

    def delete(self, parent: Parent, schedule_id: str) -> Wire:
        """Delete a schedule, and return the operation. Its jobs stay.

        :raises ServiceError: 404 when it does not exist.
        """
        schedule = self.get(parent, schedule_id)
        self.records.delete(schedule)
        time = timestamp(self._clock.now())
        return operations.begin(self.records, schedule["name"], "DeleteOperationMetadata", time, None)

    def pause(self, parent: Parent, schedule_id: str) -> None:
        """Pause an active schedule.

        :raises ServiceError: 400 FAILED_PRECONDITION when it is not active.
        """
        schedule = self._in_state(parent, schedule_id, ACTIVE, "paused")
        schedule |= {"state": PAUSED, "lastPauseTime": timestamp(self._clock.now())}
        schedule.pop("nextRunTime", None)
        self._put(schedule)

    def resume(self, parent: Parent, schedule_id: str, *, catch_up: bool) -> None:
        """Resume a paused schedule, at the next time of its cron expression.

        :param catch_up: start all missed runs first.
        :raises ServiceError: 400 FAILED_PRECONDITION when it is not paused.
        """
        schedule = self._in_state(parent, schedule_id, PAUSED, "resumed")
        now = self._clock.now()
        schedule |= {"state": ACTIVE, "lastResumeTime": timestamp(now), "catchUp": catch_up}
        if catch_up:
            for due in self._missed(schedule, now):
                self._launch(schedule, due)
        else:
            del schedule["catchUp"]
        self._plan(schedule, now)
        self._step(self._put(schedule), now)

    def take_over(self) -> None:
        """Go on after an earlier emulator on this data: runs that were due meanwhile are skipped."""
        for schedule in self.records.all(COLLECTION):
            if schedule["state"] == ACTIVE:
                self._plan(schedule, self._clock.peek())
                self.records.put(schedule)

    async def run(self) -> None:
        """Start what is due, until canceled."""
        while True:
            self._changed.clear()
            try:
                self.start_due(self._clock.peek())
                at = self._next_time()
            except Exception:  # later runs must be started, whatever fails
                log.exception("Failed to start the runs that are due; trying again in one second")
                await asyncio.sleep(1)
                continue
            wait = None if at is None else max(0.0, (at - self._clock.peek()) / 10**9)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait)

    def move_clock(self, to: datetime | timedelta) -> None:
        """Move the clock, and start on the way what is due, each at its time.

        :param to: a time with a time zone, or how far.
        :raises ServiceError: 400 when something has a later time.
        """
        now = self._clock.peek()
        moment = (
            now + to // timedelta(microseconds=1) * 1000 if isinstance(to, timedelta) else nanoseconds(to.isoformat())
        )
        try:
            self._clock.check_move(moment)
            is_back = moment < self._clock.peek()
            self.start_due(moment, moving=True)
            # What was due at the very moment has a later time than it.
            self._clock.move_to(moment if is_back else max(moment, self._clock.peek()))
        except ValueError as error:
            raise invalid("time", f"The clock cannot be moved to {timestamp(moment)}: {error}.") from None
        self._changed.set()

    def start_due(self, until: int, *, moving: bool = False) -> None:
        """Start everything that is due at a moment or before, in the order of time.

        :param moving: set the clock to each time before.
        :raises ExceptionGroup: the errors of schedules that failed, after the others have done what was due.
        """
        failed: dict[str, Exception] = {}
        while (at := self._next_time(failed)) is not None and at <= until:
            if moving and self._clock.peek() < at:
                self._clock.move_to(at)
            for schedule in self.records.all(COLLECTION):
                if schedule["name"] not in failed:
                    try:
                        self._step(schedule, at)
                    except Exception as error:  # noqa: BLE001 - it is raised after the other schedules' turns
                        failed[schedule["name"]] = error
        if failed:
            raise ExceptionGroup(f"These schedules failed: {', '.join(failed)}", list(failed.values()))

    def _step(self, schedule: Wire, now: int) -> None:
        """Do what a schedule has to do at a moment."""
        before = dict(schedule)
        next_run, end, limit = _time(schedule, "nextRunTime"), _time(schedule, "endTime"), schedule.get("maxRunCount")
        if next_run is not None and next_run <= now:
            self._launch(schedule, next_run)
        is_used_up = limit is not None and int(schedule["startedRunCount"]) >= int(limit)
        if schedule["state"] == ACTIVE and (is_used_up or (end is not None and end <= now)):
            schedule["state"] = COMPLETED
            schedule.pop("nextRunTime", None)
        if schedule != before:
            self._put(schedule)

    def _launch(self, schedule: Wire, due: int) -> None:
        """Plan the next run, create the job of this one, and keep the answer."""
        schedule["startedRunCount"] = str(int(schedule["startedRunCount"]) + 1)
        self._plan(schedule, due)  # first: what fails there must not create a job each time
        if NOTEBOOK in schedule:
            job = {**schedule[NOTEBOOK]["notebookExecutionJob"], "scheduleResourceName": schedule["name"]}
            try:
                self._jobs.create(Parent.of(schedule["name"]), "", job)
                response = "OK"
            except ServiceError as error:
                response = error.message
        else:
            response = "The emulator runs no pipelines."
        schedule["lastScheduledRunResponse"] = {"scheduledRunTime": timestamp(due), "runResponse": response}

    def _plan(self, schedule: Wire, after: int) -> None:
        """Set the time of the next run, if one is left."""
        schedule.pop("nextRunTime", None)
        end, limit = _time(schedule, "endTime"), schedule.get("maxRunCount")
        # A run may be due at the start time itself.
        at = Cron.parse(schedule["cron"]).next_after(max(after, nanoseconds(schedule["startTime"]) - 1))
        if (end is None or at <= end) and (limit is None or int(schedule["startedRunCount"]) < int(limit)):
            schedule["nextRunTime"] = timestamp(at)

    def _missed(self, schedule: Wire, now: int) -> list[int]:
        """Return the times of the runs that a pause has left out."""
        cron, end = Cron.parse(schedule["cron"]), _time(schedule, "endTime")
        missed: list[int] = []
        at = max(nanoseconds(schedule["lastPauseTime"]), nanoseconds(schedule["startTime"]) - 1)
        left = int(schedule.get("maxRunCount", 2**63)) - int(schedule["startedRunCount"])
        while (at := cron.next_after(at)) <= min(now, end or now) and len(missed) < left:
            missed.append(at)
        return missed

    def _next_time(self, failed: Container[str] = ()) -> int | None:
        """Return the time of the next thing to do; None when there is nothing.

        :param failed: names of schedules that are left out.
        """
        times = (
            _time(schedule, field)
            for schedule in self.records.all(COLLECTION)
            if schedule["name"] not in failed and schedule["state"] == ACTIVE
            for field in ("nextRunTime", "endTime")
        )
        return min((at for at in times if at is not None), default=None)

    def _in_state(self, parent: Parent, schedule_id: str, state: str, what: str) -> Wire:
        schedule = self.get(parent, schedule_id)
        if schedule["state"] != state:
            raise failed_precondition(
                f"{schedule['name']} is {schedule['state']}: only a schedule that is {state} can be {what}."
            )
        return schedule

    def _put(self, schedule: Wire) -> Wire:
        schedule["updateTime"] = timestamp(self._clock.now())
        self.records.put(schedule)
        self._changed.set()
        return schedule


def _time(schedule: Mapping[str, Any], field: str) -> int | None:
    return nanoseconds(schedule[field]) if field in schedule else None
