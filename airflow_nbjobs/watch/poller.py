"""One task that asks about all jobs of one place, and tells whoever waits for them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from airflow_nbjobs.api.names import JobName
from airflow_nbjobs.api.pacing import ENDURING, Budget, Patience, backoff
from airflow_nbjobs.exceptions import ApiError, CredentialsError, NotFoundError, NotImplementedByServiceError
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook
from airflow_nbjobs.watch.errands import FEW, Errand
from airflow_nbjobs.watch.horizon import Glimpse, Horizon, get_glimpse, is_descending, list_glimpses
from airflow_nbjobs.watch.jobs import Waiter, WatchedJob
from airflow_nbjobs.watch.line import Line, is_about_all
from airflow_nbjobs.watch.lists import Lists
from airflow_nbjobs.watch.pace import Pace

__all__ = ["RECHECK_SECONDS", "Poller"]

log = logging.getLogger(__name__)

RECHECK_SECONDS = 600.0
"""After so long without being shown, a job is looked for: it was deleted, or a list has missed it."""

_AT_ONCE = 20
"""So many jobs are told of before other tasks have their turn: those that wait wake up meanwhile, and log."""


class Poller:
    """Watches jobs of one project and location until nobody waits for any.

    :param parent: ``projects/p/locations/l``.
    :param budget: of requests, shared with other pollers of the same project and location.
    :param hook: the connection; closed at the end.
    :param stopped: called when the poller takes no more waiters.
    :param recheck: see :data:`RECHECK_SECONDS`.
    :param patience: how often, and for how long, requests may fail one after the other before waiters are told.
    """

    def __init__(
        self,
        parent: str,
        budget: Budget,
        hook: NotebookExecutionJobAsyncHook,
        stopped: Callable[[], None] = lambda: None,
        *,
        recheck: float = RECHECK_SECONDS,
        patience: Patience = ENDURING,
    ) -> None:
        self._parent = parent
        self._hook = hook
        self._stopped = stopped
        self._recheck = recheck
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._line = Line(parent.rpartition("/")[2], hook, budget)
        self._pace = Pace()
        self._jobs: dict[str, WatchedJob] = {}
        # A round costs what has changed: nothing in it goes through all jobs or all who wait for them.
        self._intervals: Counter[float] = Counter()
        self._unknown: dict[str, None] = {}  # not seen since it is known where all changes show; a set in order
        self._urgent = Errand(self._jobs)
        self._slow = Errand(self._jobs)
        self._next_slow = 0.0
        self._next_stale = self._loop.time() + recheck
        self._horizon = Horizon()
        self._lists = Lists(parent, patience)
        self._is_urgent_next = False
        # An empty context: this task is nobody's, and what it logs must not land in the log of the first that came.
        self._task = self._loop.create_task(self._run(), context=contextvars.Context())

    def join(self, name: JobName, created_at: datetime | None, waiter: Waiter) -> None:
        """Let a trigger wait for a job."""
        job = self._jobs.get(name.job_id)
        if job is None:
            job = self._jobs[name.job_id] = WatchedJob(name, created_at, self._loop.time())
            self._unknown[name.job_id] = None
        job.add(waiter)
        self._intervals[waiter.poll_interval] += 1
        self._pace.hasten(waiter.poll_interval)

    def leave(self, name: JobName, waiter: Waiter) -> None:
        """Let a trigger go; the last one ends the poller."""
        job = self._jobs.get(name.job_id)
        if job is None or waiter not in job.waiters:
            return
        job.waiters.discard(waiter)
        self._intervals -= Counter([waiter.poll_interval])
        if not job.waiters:
            del self._jobs[name.job_id]
            self._unknown.pop(name.job_id, None)
            self._urgent.drop(name.job_id)
            self._slow.drop(name.job_id)
        if not self._jobs:
            self._stopped()
            self._task.cancel()

    async def _run(self) -> None:
        error: BaseException = asyncio.CancelledError("the poller was stopped")
        try:
            while True:
                await self._step()
        except Exception as failure:
            log.exception("The notebook jobs in %s cannot be watched.", self._parent)
            error = failure
        finally:
            self._stopped()
            jobs = list(self._jobs.values())
            self._jobs.clear()  # who leaves now must not stop what is being closed
            await _tell(jobs, error)
            await self._hook.close()

    async def _step(self) -> None:
        """Do what is due first, or wait for it: a round, or one request for a job that has to be looked for."""
        now, budget = self._loop.time(), self._line.budget
        times = {self._round: self._pace.next_round}
        # Rounds tell of all jobs: the others leave them something of the budget. But where rounds take all that there
        # is, each lets one urgent request follow: who has come with a triggerer that was restarted waits for it.
        if self._urgent:
            times[self._urge] = 0.0 if self._is_urgent_next else now + budget.wait(now, share=0.9)
        if self._slow:
            times[self._check] = max(self._next_slow, now + budget.wait(now, share=0.5))
        act, due = min(times.items(), key=lambda item: item[1])
        due = max(due, self._line.not_before)
        if due > now:
            await self._pace.sleep(due - now)
            return
        try:
            await act()
        except (ApiError, CredentialsError) as error:
            await self._bear(error)

    async def _round(self) -> None:
        """Find out what has changed, by a list or, for few jobs, by asking for each."""
        self._pace.begin_round(min(self._intervals))
        try:
            if len(self._jobs) > FEW and self._lists.are_to_be_had(self._loop.time()):
                await self._catch_up()
            else:
                self._ask_for_each()
        finally:
            self._pace.end_round()
            self._is_urgent_next = True

    def _ask_for_each(self) -> None:
        self._horizon = Horizon()
        for errand in (self._urgent, self._slow):
            errand.end_sweep()
        for job in self._jobs.values():
            job.is_swept = False
        self._unknown = dict.fromkeys(self._jobs)
        self._urgent.add(self._jobs)

    async def _catch_up(self) -> None:
        """Read the list back to the horizon, and find out for whom it has to be read further."""
        began, now, first = datetime.now(UTC), self._loop.time(), None
        call, pages, seen_ids = list_glimpses(self._parent), 0, set[str]()
        try:
            while True:
                page = await self._line.send(call)
                if not is_descending(page.items):
                    raise NotImplementedByServiceError("They are not in the order of update_time that was asked for.")
                first = page.items if first is None else first
                await self._see(page.items)
                seen_ids.update(seen.job_id for seen in page.items)
                pages += 1
                if self._horizon.is_reached(page.items) or not page.next_page_token:
                    break
                if pages + len(seen_ids) >= len(self._jobs):
                    unseen = self._jobs.keys() - seen_ids
                    if pages >= len(unseen):  # others change a lot here, and we wait for little: each is cheaper
                        self._lose_sight(unseen)
                        break
                call = call.with_page_token(page.next_page_token)
        except (ApiError, CredentialsError) as error:
            self._lists.give_up(error, self._loop.time(), len(self._jobs))  # it raises what may pass
            self._ask_for_each()
            return
        self._horizon = self._horizon.after(first, began, now)
        self._lists.worked()
        self._look_for_missing()

    def _lose_sight(self, ids: set[str]) -> None:
        for job_id in ids:
            self._jobs[job_id].is_swept = True
        self._unknown.update(dict.fromkeys(ids))

    def _look_for_missing(self) -> None:
        self._urgent.add(self._unknown)
        now = self._loop.time()
        if now >= self._next_stale:
            stale = now - self._recheck
            self._next_stale = now + self._recheck / 10
            unseen = [job_id for job_id, job in self._jobs.items() if job.seen_at < stale]
            self._slow.add(job_id for job_id in unseen if job_id not in self._unknown)
        for errand in (self._urgent, self._slow):
            errand.begin_sweep(list_glimpses(self._parent))

    async def _urge(self) -> None:
        self._is_urgent_next = False
        await self._look_for(self._urgent)

    async def _check(self) -> None:
        # A twelfth of the budget.
        self._next_slow = self._loop.time() + 720.0 / self._line.budget.per_minute
        await self._look_for(self._slow)

    async def _look_for(self, errand: Errand) -> None:
        sweep = errand.sweep
        if sweep is None:
            await self._ask_for(errand, errand.next_one())
            return
        try:
            page = await self._line.send(sweep.call)
        except ApiError as error:
            if error.is_transient or is_about_all(error):
                raise
            errand.end_sweep()  # its page token may have become too old
            return
        await self._see(page.items)
        if errand.sweep is sweep and sweep.is_over(page):
            errand.end_sweep()

    async def _ask_for(self, errand: Errand, job: WatchedJob) -> None:
        try:
            seen = await self._line.send(get_glimpse(str(job.name)))
        except ApiError as error:
            if is_about_all(error):
                raise
            errand.drop(job.name.job_id)  # a round takes it up again
            await self._bear_for(job, error)
        else:
            await self._see([seen._replace(job_id=job.name.job_id)])

    async def _see(self, glimpses: list[Glimpse]) -> None:
        now = self._loop.time()
        for index, seen in enumerate(glimpses):
            if index % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            job = self._jobs.get(seen.job_id)
            if job is None:
                continue
            self._unknown.pop(seen.job_id, None)
            self._urgent.drop(seen.job_id)
            self._slow.drop(seen.job_id)
            if job.see(seen, now):
                self._pace.hasten(min(waiter.poll_interval for waiter in job.waiters))

    async def _bear(self, error: ApiError | CredentialsError) -> None:
        """Bear an error that concerns all jobs, or tell everybody who waits."""
        if not error.is_transient:
            await _tell(list(self._jobs.values()), error)
            return
        await self._lose_patience(error, self._line, *self._jobs.values())
        self._pace.look_within(max(0.0, self._line.not_before - self._loop.time()))

    async def _bear_for(self, job: WatchedJob, error: ApiError) -> None:
        """Bear an error that concerns one job, or tell those who wait for it."""
        now = self._loop.time()
        may_appear = isinstance(error, NotFoundError) and job.may_appear(now, datetime.now(UTC))
        if not error.is_transient and not may_appear:
            await _tell([job], error)
            return
        job.failures += 1
        self._pace.look_within(backoff(job.failures))
        if may_appear:
            return
        job.failing_since = now if job.failing_since is None else job.failing_since
        await self._lose_patience(error, job, job)
        # When nothing else has succeeded either, it is not this job's trouble.
        await self._lose_patience(error, self._line, *self._jobs.values())

    async def _lose_patience(
        self, error: ApiError | CredentialsError, failing: Line | WatchedJob, *jobs: WatchedJob
    ) -> None:
        """Tell those who have waited all the time, or for so long, that nothing but failures came."""
        long_ago = self._loop.time() - self._patience.seconds
        since = failing.failing_since
        if since is not None and (since < long_ago or failing.failures >= self._patience.tries):
            await _tell(jobs, error, since=max(since, long_ago))


async def _tell(jobs: Sequence[WatchedJob], error: BaseException, *, since: float | None = None) -> None:
    """End the waiting for jobs with an error; other tasks have their turn meanwhile."""
    for index, job in enumerate(jobs, 1):
        job.fail(error, since=since)
        if index % _AT_ONCE == 0:
            await asyncio.sleep(0)
