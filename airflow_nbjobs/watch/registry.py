"""The pollers of each event loop."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from airflow_nbjobs import metrics, settings
from airflow_nbjobs.api.names import JobName
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook
from airflow_nbjobs.watch.budget import Budget
from airflow_nbjobs.watch.feeds import Feed
from airflow_nbjobs.watch.poller import Poller
from airflow_nbjobs.watch.waiters import Waiter

__all__ = ["budget_of", "join_feed", "join_poller"]


class _Place(NamedTuple):
    """What the triggers of one poller have in common."""

    # A project has an id and a number, and nothing shows that both are one project: there are two pollers at most.
    parent: str
    endpoint: str | None
    gcp_conn_id: str
    impersonation_chain: str | tuple[str, ...] | None


@dataclass
class _Registry:
    pollers: dict[_Place, Poller] = field(default_factory=dict)
    # A budget outlives its pollers: it counts the requests of those that have ended.
    budgets: dict[tuple[str, str | None], Budget] = field(default_factory=dict)

    def budget(self, parent: str, endpoint: str | None) -> Budget:
        """Return the budget of a place, or make it."""
        return self.budgets.setdefault((parent, endpoint), Budget(settings.requests_per_minute()))

    def poller(self, place: _Place) -> Poller:
        """Return the poller of a place, or make it."""
        if place not in self.pollers:
            budget = self.budget(place.parent, place.endpoint)
            hook = NotebookExecutionJobAsyncHook(place.gcp_conn_id, place.impersonation_chain)

            def stopped() -> None:
                if self.pollers.get(place) is made:
                    del self.pollers[place]
                    self.count()

            made = self.pollers[place] = Poller(place.parent, budget, hook, stopped, self.count)
        return self.pollers[place]

    def count(self) -> None:
        """Send the number of jobs that are watched on this loop."""
        metrics.set_watched(sum(poller.size for poller in self.pollers.values()))


# A triggerer has one loop, `dag.test()` a new one for each trigger. A loop of uvloop takes no attributes.
_REGISTRIES: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Registry] = weakref.WeakKeyDictionary()


def budget_of(parent: str) -> Budget:
    """Return the budget of requests of a place, which its pollers on this event loop spend too.

    :param parent: ``projects/p/locations/l``.
    """
    return _registry().budget(parent, _endpoint())


@contextmanager
def join_poller(
    name: str,
    *,
    gcp_conn_id: str,
    impersonation_chain: str | Sequence[str] | None = None,
    created_at: datetime | None = None,
    poll_interval: float,
) -> Iterator[Waiter]:
    """Wait for a job together with all other triggers of this event loop. Entering and leaving do not block.

    :param name: whole name of the job.
    :param gcp_conn_id: the Google Cloud connection.
    :param impersonation_chain: service account to impersonate, or a chain of them.
    :param created_at: when the job was created, with a time zone. With it, a poller that starts finds many jobs by the
        page.
    :param poll_interval: seconds between two looks at most, unless the budget of requests is spent.
    :returns: the waiter, whose ``next_report`` says what happens.
    :raises InvalidNotebookJobError: if the name is not a valid job name.
    """
    job = JobName.parse(name)
    poller = _poller(job.parent, gcp_conn_id, impersonation_chain)
    waiter = Waiter(poll_interval, asyncio.get_running_loop().time())
    poller.join(job, created_at, waiter)
    try:
        yield waiter
    finally:
        poller.leave(job, waiter)


@contextmanager
def join_feed(
    feed: Feed, parent: str, *, gcp_conn_id: str, impersonation_chain: str | Sequence[str] | None = None
) -> Iterator[None]:
    """Let a feed read along with all triggers of this event loop that wait in the same place.

    :param parent: ``projects/p/locations/l``.
    :param gcp_conn_id: the Google Cloud connection.
    :param impersonation_chain: service account to impersonate, or a chain of them.
    """
    poller = _poller(parent, gcp_conn_id, impersonation_chain)
    poller.join_feed(feed)
    try:
        yield
    finally:
        poller.leave_feed(feed)


def _poller(parent: str, gcp_conn_id: str, chain: str | Sequence[str] | None) -> Poller:
    chain = chain if chain is None or isinstance(chain, str) else tuple(chain)
    return _registry().poller(_Place(parent, _endpoint(), gcp_conn_id, chain))


def _registry() -> _Registry:
    return _REGISTRIES.setdefault(asyncio.get_running_loop(), _Registry())


def _endpoint() -> str | None:
    return settings.emulator_address() or settings.endpoint()
