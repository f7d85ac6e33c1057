"""One connection for all jobs that are ended at the same time: a user may mark a thousand deferred tasks at once."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from airflow_nbjobs.hooks import NotebookExecutionJobAsyncHook

__all__ = ["SharedHook", "share_hook"]


@dataclass
class SharedHook:
    """A hook that several users share.

    :ivar users: their number, those that wait included.
    :ivar turns: to be entered by who ends a job: at most ten users do so at the same time.
    """

    hook: NotebookExecutionJobAsyncHook
    users: int = 0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(10))


_Key = tuple[str, str | tuple[str, ...] | None]
_SHARED: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, SharedHook]] = weakref.WeakKeyDictionary()


@asynccontextmanager
async def share_hook(gcp_conn_id: str, impersonation_chain: str | Sequence[str] | None) -> AsyncIterator[SharedHook]:
    """Lend the hook of this connection on this event loop; it is closed after its last user.

    :param gcp_conn_id: the Google Cloud connection.
    :param impersonation_chain: service account to impersonate, or a chain of them.
    """
    chain = impersonation_chain
    key = (gcp_conn_id, chain if chain is None or isinstance(chain, str) else tuple(chain))
    lent = _SHARED.setdefault(asyncio.get_running_loop(), {})
    shared = lent.get(key) or lent.setdefault(key, SharedHook(NotebookExecutionJobAsyncHook(gcp_conn_id, chain)))
    shared.users += 1
    try:
        yield shared
    finally:
        shared.users -= 1
        if not shared.users:
            del lent[key]
            await shared.hook.close()
