"""One connection for all jobs that are ended at the same time: a person may mark a thousand deferred tasks at once."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook

__all__ = ["ending_hook"]

_AT_ONCE = 10
"""So many jobs of one connection are ended at a time; the others wait for their turn."""


@dataclass
class _Shared:
    """A hook, and how many hold it or wait for it."""

    hook: NotebookExecutionJobAsyncHook
    holders: int = 0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))


_Key = tuple[str, str | tuple[str, ...] | None]
_SHARED: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, _Shared]] = weakref.WeakKeyDictionary()


@asynccontextmanager
async def ending_hook(
    gcp_conn_id: str, impersonation_chain: str | Sequence[str] | None
) -> AsyncIterator[NotebookExecutionJobAsyncHook]:
    """Lend the hook that all share who end a job meanwhile with this connection; the last one closes it.

    :param gcp_conn_id: the Google Cloud connection.
    :param impersonation_chain: service account to impersonate, or a chain of them.
    """
    chain = impersonation_chain
    key = (gcp_conn_id, chain if chain is None or isinstance(chain, str) else tuple(chain))
    lent = _SHARED.setdefault(asyncio.get_running_loop(), {})
    shared = lent.get(key) or lent.setdefault(key, _Shared(NotebookExecutionJobAsyncHook(gcp_conn_id, chain)))
    shared.holders += 1
    try:
        async with shared.turns:
            yield shared.hook
    finally:
        shared.holders -= 1
        if not shared.holders:
            del lent[key]
            await shared.hook.close()
