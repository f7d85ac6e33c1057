"""One connection for all jobs that are ended at the same time: a user may mark a thousand deferred tasks at once."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook

__all__ = ["borrow_hook", "share_hook"]

_CONCURRENCY = 10
"""Jobs of one connection that are ended at the same time; the others wait."""


@dataclass
class _Shared:
    """A hook and the number of its users, those that wait included."""

    hook: NotebookExecutionJobAsyncHook
    users: int = 0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CONCURRENCY))


_Key = tuple[str, str | tuple[str, ...] | None]
_SHARED: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, _Shared]] = weakref.WeakKeyDictionary()


@asynccontextmanager
async def borrow_hook(
    gcp_conn_id: str, impersonation_chain: str | Sequence[str] | None
) -> AsyncIterator[NotebookExecutionJobAsyncHook]:
    """Lend the hook of this connection on this event loop; it is closed after its last user.

    :param gcp_conn_id: the Google Cloud connection.
    :param impersonation_chain: service account to impersonate, or a chain of them.
    :returns: the hook, after at most nine other users of it are left.
    """
    async with _sharing(gcp_conn_id, impersonation_chain) as shared, shared.turns:
        yield shared.hook


@asynccontextmanager
async def share_hook(
    gcp_conn_id: str, impersonation_chain: str | Sequence[str] | None
) -> AsyncIterator[NotebookExecutionJobAsyncHook]:
    """Lend the same hook to somebody who waits: the number of its users has no limit.

    :param gcp_conn_id: the Google Cloud connection.
    :param impersonation_chain: service account to impersonate, or a chain of them.
    """
    async with _sharing(gcp_conn_id, impersonation_chain) as shared:
        yield shared.hook


@asynccontextmanager
async def _sharing(gcp_conn_id: str, impersonation_chain: str | Sequence[str] | None) -> AsyncIterator[_Shared]:
    chain = impersonation_chain
    key = (gcp_conn_id, chain if chain is None or isinstance(chain, str) else tuple(chain))
    lent = _SHARED.setdefault(asyncio.get_running_loop(), {})
    shared = lent.get(key) or lent.setdefault(key, _Shared(NotebookExecutionJobAsyncHook(gcp_conn_id, chain)))
    shared.users += 1
    try:
        yield shared
    finally:
        shared.users -= 1
        if not shared.users:
            del lent[key]
            await shared.hook.close()
