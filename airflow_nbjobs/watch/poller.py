"""One task that asks for all jobs of one place, and reports to the triggers that wait for them or for their ends."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from airflow_nbjobs.api.names import JobName
from airflow_nbjobs.api.pacing import ENDURING, Patience, backoff
from airflow_nbjobs.exceptions import ApiError, CredentialsError, NotFoundError
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook
from airflow_nbjobs.watch.budget import Budget
from airflow_nbjobs.watch.cursor import Cursor
from airflow_nbjobs.watch.failures import ListHealth, Outage, OutageReports, is_about_all
from airflow_nbjobs.watch.feeds import Feed, Feeds, Reading
from airflow_nbjobs.watch.lookups import FEW, RECHECK_SECONDS, Lookups
from airflow_nbjobs.watch.paced_client import PacedClient
from airflow_nbjobs.watch.rounds import Rounds
from airflow_nbjobs.watch.updates import JobUpdate, get_update, list_updates
from airflow_nbjobs.watch.waiters import BATCH, Waiter, WatchedJob, report_to

__all__ = ["Poller"]

log = logging.getLogger(__name__)


class Poller:
    """Watches jobs of one project and location until no trigger waits for any and no feed is left.

    :param parent: ``projects/p/locations/l``.
    :param budget: of requests, shared with other pollers of the same project and location.
    :param hook: the connection; closed at the end.
    :param on_stop: called when the poller takes no more waiters.
    :param on_count: called after each round, when :attr:`size` may have changed.
    :param recheck: see :data:`~airflow_nbjobs.watch.lookups.RECHECK_SECONDS`.
    :param patience: how often, and for how long, requests may fail one after the other before the waiting ends.
    """

    def __init__(
        self,
        parent: str,
        budget: Budget,
        hook: NotebookExecutionJobAsyncHook,
        on_stop: Callable[[], None] = lambda: None,
        on_count: Callable[[], None] = lambda: None,
        *,
        recheck: float = RECHECK_SECONDS,
        patience: Patience = ENDURING,
    ) -> None:
        self._parent = parent
        self._hook = hook
        self._on_stop = on_stop
        self._on_count = on_count
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._client = PacedClient(parent.rpartition("/")[2], hook, budget)
        self._rounds = Rounds()
        self._jobs: dict[str, WatchedJob] = {}
        self._feeds = Feeds(recheck)
        # A round costs what has changed: nothing in it goes through all jobs or all waiters.
        self._intervals: Counter[float] = Counter()
        self._unseen: dict[str, None] = {}  # jobs that no answer has shown since the cursor began; a set in order
        self._lookups = Lookups(self._jobs, recheck, self._loop.time())
        self._is_lookup_next = False
        self._cursor = Cursor()
        self._lists = ListHealth(parent, patience)
        self._is_listing = True
        self._outages = OutageReports()
        # An empty context: what this task logs must not land in the log of the task that joined first.
        self._task = self._loop.create_task(self._run(), context=contextvars.Context())

    @property
    def size(self) -> int:
        """The number of jobs that are watched."""
        return len(self._jobs)

    def join(self, name: JobName, created_at: datetime | None, waiter: Waiter) -> None:
        """Let a trigger wait for a job.

        :param created_at: when the job was created, if known.
        """
        if (job := self._jobs.get(name.job_id)) is None:
            job = self._jobs[name.job_id] = WatchedJob(name, created_at, self._loop.time())
            self._unseen[name.job_id] = None
        job.add(waiter)
        if self._outages.current is not None:
            waiter.report(self._outages.current)
        self._intervals[waiter.poll_interval] += 1
        self._rounds.look_soon(waiter.poll_interval)

    def leave(self, name: JobName, waiter: Waiter) -> None:
        """Let a trigger go."""
        job = self._jobs.get(name.job_id)
        if job is None or waiter not in job.waiters:
            return
        job.waiters.discard(waiter)
        if not job.waiters:
            del self._jobs[name.job_id]
            self._unseen.pop(name.job_id, None)
            self._lookups.discard(name.job_id)
        self._leave(waiter.poll_interval)

    def join_feed(self, feed: Feed) -> None:
        """Let an event trigger read along, from the next list on."""
        self._feeds.add(feed)
        self._intervals[feed.poll_interval] += 1
        self._rounds.look_soon(feed.poll_interval)

    def leave_feed(self, feed: Feed) -> None:
        """Let an event trigger go."""
        if feed in self._feeds:
            self._feeds.discard(feed)
            self._leave(feed.poll_interval)

    def _leave(self, poll_interval: float) -> None:
        self._intervals -= Counter([poll_interval])
        if not self._jobs and not self._feeds:
            self._on_stop()
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
            self._on_stop()
            jobs = list(self._jobs.values())
            self._feeds.end(error)
            self._jobs.clear()  # a trigger that leaves now must not cancel the closing
            await report_to(jobs, error)
            await self._hook.close()

    async def _step(self) -> None:
        """Do what is due first, a round or one look-up, or wait for it."""
        now = self._loop.time()
        act, due = self._round, self._rounds.next_round
        if self._lookups:
            # A round tells about all jobs: look-ups leave a tenth of the budget to it. But where rounds take all of the
            # budget, each lets one look-up follow: triggers that came with a restarted triggerer wait for it.
            next_lookup = 0.0 if self._is_lookup_next else now + self._client.budget.wait(now, share=0.9)
            if next_lookup < due:
                act, due = self._look_up, next_lookup
        due = max(due, self._client.not_before)
        if due > now:
            await self._rounds.sleep(due - now)
            return
        try:
            await act()
        except (ApiError, CredentialsError) as error:
            await self._handle_error(error)

    async def _round(self) -> None:
        """Find out what has changed: by a list or, for few jobs, by a look-up of each."""
        self._rounds.begin_round(min(self._intervals))
        try:
            self._is_listing = bool(self._feeds or len(self._jobs) > FEW) and self._lists.is_usable(self._loop.time())
            if self._is_listing:
                await self._catch_up()
            else:
                self._look_up_all()
        finally:
            self._rounds.end_round()
            self._is_lookup_next = True
            self._on_count()

    def _look_up_all(self) -> None:
        self._cursor = Cursor()
        self._unseen = dict.fromkeys(self._jobs)
        self._lookups.end_sweep()
        self._lookups.add(self._jobs)

    async def _catch_up(self) -> None:
        """Find out what has changed by a list, then choose the jobs to look up."""
        began, now = datetime.now(UTC), self._loop.time()
        reading = self._feeds.begin_round(now)
        try:
            first_page = await self._read_changes(reading)
        except (ApiError, CredentialsError) as error:
            self._is_listing = not self._lists.failed(error, self._loop.time())
            if self._is_listing:
                raise
            self._look_up_all()
            return
        self._cursor = self._cursor.after(first_page, began, now)
        reading.end(self._cursor.moment)
        self._lists.worked()
        await self._report_outage(self._outages.worked())
        self._lookups.add(self._unseen)
        self._lookups.add_stale(now, self._client.budget.per_minute)

    async def _read_changes(self, reading: Reading) -> list[JobUpdate]:
        """Read the list back to the cursor and to what the feeds know, and return the first page."""
        call, pages = list_updates(self._parent), 0
        first_page: list[JobUpdate] = []
        seen: set[str] = set()
        while True:  # one page after the other: a watcher that starts again may read back thousands
            page, pages = await self._client.send(call), pages + 1
            first_page = first_page or page.items
            reading.see(page.items)
            await self._see(page.items)
            if not page.next_page_token or all(each.is_reached(page.items) for each in (self._cursor, reading)):
                return first_page
            if not reading.feeds:
                seen.update(update.job_id for update in page.items)
                missed = self._lookups.add_missed(seen, pages)
                if missed is not None:  # others change many jobs here
                    self._unseen.update(dict.fromkeys(missed))
                    return first_page
            call = call.with_page_token(page.next_page_token)

    async def _look_up(self) -> None:
        self._is_lookup_next = False
        if self._is_listing:
            self._lookups.begin_sweep(list_updates(self._parent))
        sweep = self._lookups.sweep
        if sweep is None:
            await self._get(self._lookups.next_job())
            return
        try:
            page = await self._client.send(sweep.call)
        except ApiError as error:
            if error.is_transient or is_about_all(error):
                raise
            self._lookups.end_sweep()  # its page token may be too old
            return
        await self._see(page.items)
        if self._lookups.sweep is sweep and sweep.is_over(page):
            self._lookups.end_sweep()

    async def _get(self, job: WatchedJob) -> None:
        try:
            seen = await self._client.send(get_update(str(job.name)))
        except ApiError as error:
            if is_about_all(error):
                raise
            self._lookups.discard(job.name.job_id)  # the next round adds it again
            await self._handle_job_error(job, error)
        else:
            await self._see([seen._replace(job_id=job.name.job_id)])
            if not self._is_listing:
                await self._report_outage(self._outages.worked())

    async def _see(self, updates: list[JobUpdate]) -> None:
        """Record what an answer shows."""
        now = self._loop.time()
        for index, seen in enumerate(updates, 1):
            if index % BATCH == 0:
                await asyncio.sleep(0)
            if (job := self._jobs.get(seen.job_id)) is None:
                continue
            self._unseen.pop(seen.job_id, None)
            self._lookups.discard(seen.job_id)
            if job.see(seen, now):
                self._rounds.look_soon(min(waiter.poll_interval for waiter in job.waiters))

    async def _handle_error(self, error: ApiError | CredentialsError) -> None:
        """Handle an error that concerns all jobs: back off, or end the waiting for all."""
        if error.is_transient:
            await self._report_failure(error)
            self._rounds.bring_forward(max(0.0, self._client.not_before - self._loop.time()))
        else:
            self._feeds.fail(error)
            await report_to(self._jobs.values(), error)

    async def _handle_job_error(self, job: WatchedJob, error: ApiError) -> None:
        """Handle an error that concerns one job: look it up again, or end the waiting for it."""
        now = self._loop.time()
        job.failures.add(now)
        may_appear = isinstance(error, NotFoundError) and job.may_appear(now, datetime.now(UTC))
        if not error.is_transient and not may_appear:
            await report_to([job], error)
            return
        self._rounds.bring_forward(backoff(job.failures.count))
        if may_appear:
            return
        if (since := job.failures.patience_lost_before(self._patience, now)) is not None:
            await report_to([job], error, since=since)
        if not self._is_listing:  # there is no list that would show whether it concerns this job alone
            await self._report_failure(error)

    async def _report_failure(self, error: ApiError | CredentialsError) -> None:
        """Tell all that requests fail, and end the waiting of those who have seen too many failures."""
        now = self._loop.time()
        await self._report_outage(self._outages.failed(error, now))
        if (since := self._client.failures.patience_lost_before(self._patience, now)) is not None:
            self._feeds.fail(error)
            await report_to(self._jobs.values(), error, since=since)

    async def _report_outage(self, outage: Outage | None) -> None:
        if outage is not None:
            self._feeds.log(outage)
            await report_to(self._jobs.values(), outage)
