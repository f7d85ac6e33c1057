"""The pollers of each event loop."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from airflow_nbjobs import settings
from airflow_nbjobs.api.names import JobName
from airflow_nbjobs.api.pacing import Budget
from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook
from airflow_nbjobs.watch.jobs import Waiter
from airflow_nbjobs.watch.poller import Poller

__all__ = ["waiting"]


class _Place(NamedTuple):
    """What triggers have in common that share a poller."""

    # A project may be called by its id or by its number, and which is which is not known: two pollers at most.
    parent: str
    endpoint: str | None
    gcp_conn_id: str
    impersonation_chain: str | tuple[str, ...] | None


@dataclass
class _Registry:
    pollers: dict[_Place, Poller] = field(default_factory=dict)
    budgets: dict[tuple[str, str | None], Budget] = field(default_factory=dict)


# A triggerer has one loop, `dag.test()` a new one for each trigger. Not on the loop: uvloop's take no attributes.
_REGISTRIES: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Registry] = weakref.WeakKeyDictionary()


@contextmanager
def waiting(
    name: str,
    *,
    gcp_conn_id: str,
    impersonation_chain: str | Sequence[str] | None = None,
    created_at: datetime | None = None,
    poll_interval: float,
) -> Iterator[Waiter]:
    """Wait for a job together with all others on this event loop; it begins and ends at once, without waiting itself.

    :param name: whole name of the job.
    :param gcp_conn_id: the Google Cloud connection, looked up once for all that share it.
    :param created_at: when the job was made, with a time zone: without one it counts as unknown. Jobs of which it is
        known are found by the hundred when a poller starts.
    :param poll_interval: seconds between two looks at most, unless the budget of requests is spent.
    :raises InvalidNotebookJobError: when the name is none.
    """
    job = JobName.parse(name)
    chain = impersonation_chain
    place = _Place(
        job.parent,
        settings.emulator_address() or settings.endpoint(),
        gcp_conn_id,
        chain if chain is None or isinstance(chain, str) else tuple(chain),
    )
    loop = asyncio.get_running_loop()
    poller = _poller(_REGISTRIES.setdefault(loop, _Registry()), place)
    waiter = Waiter(poll_interval, loop.time())
    poller.join(job, created_at if created_at and created_at.tzinfo else None, waiter)
    try:
        yield waiter
    finally:
        poller.leave(job, waiter)


def _poller(registry: _Registry, place: _Place) -> Poller:
    poller = registry.pollers.get(place)
    if poller is None:
        key = (place.parent, place.endpoint)
        # It outlives its pollers: what was sent for those that are gone counts for those that come.
        budget = registry.budgets.setdefault(key, Budget(settings.requests_per_minute()))
        hook = NotebookExecutionJobAsyncHook(place.gcp_conn_id, place.impersonation_chain)

        def stopped() -> None:
            if registry.pollers.get(place) is made:
                del registry.pollers[place]

        made = poller = registry.pollers[place] = Poller(place.parent, budget, hook, stopped)
    return poller
