"""The states of a job and the moves between them (``google/cloud/aiplatform/v1/job_state.proto``)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

UNSPECIFIED = "JOB_STATE_UNSPECIFIED"
QUEUED = "JOB_STATE_QUEUED"
PENDING = "JOB_STATE_PENDING"
RUNNING = "JOB_STATE_RUNNING"
SUCCEEDED = "JOB_STATE_SUCCEEDED"
FAILED = "JOB_STATE_FAILED"
CANCELLING = "JOB_STATE_CANCELLING"
CANCELLED = "JOB_STATE_CANCELLED"
PAUSED = "JOB_STATE_PAUSED"
EXPIRED = "JOB_STATE_EXPIRED"
UPDATING = "JOB_STATE_UPDATING"
PARTIALLY_SUCCEEDED = "JOB_STATE_PARTIALLY_SUCCEEDED"

# The names in the order of their numbers in the proto.
BY_NUMBER = (
    UNSPECIFIED, QUEUED, PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLING, CANCELLED, PAUSED, EXPIRED, UPDATING,
    PARTIALLY_SUCCEEDED,
)  # fmt: skip
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED, EXPIRED, PARTIALLY_SUCCEEDED})

# The proto's comments bind CANCELLING and UPDATING; the others are what their descriptions allow.
_MOVES: Mapping[str, tuple[str, ...]] = {
    QUEUED: (PENDING, CANCELLING, FAILED, EXPIRED),
    PENDING: (RUNNING, CANCELLING, FAILED, EXPIRED),
    RUNNING: (SUCCEEDED, FAILED, PARTIALLY_SUCCEEDED, CANCELLING, EXPIRED, PAUSED, UPDATING),
    PAUSED: (QUEUED, CANCELLING, FAILED, EXPIRED),
    UPDATING: (RUNNING, CANCELLING, FAILED),
    CANCELLING: (CANCELLED, SUCCEEDED, FAILED),
    **dict.fromkeys(TERMINAL, ()),
}


def is_legal(old: str, new: str) -> bool:
    """Say whether a job may go from one state to another.

    A state that is not documented (a future one, or UNSPECIFIED), which only a fault brings about, may follow and
    precede every state that is not terminal.
    """
    if old in _MOVES and new in _MOVES:
        return new in _MOVES[old]
    return old not in TERMINAL and old != new


def route(old: str, new: str) -> list[str]:
    """Find the shortest legal way between two states: those to pass, ``new`` the last; empty if there is none."""
    ways = deque([[old]])
    seen = {old}
    while ways:
        way = ways.popleft()
        for state in (new, *_MOVES.get(way[-1], ())):
            if not is_legal(way[-1], state) or state in seen:
                continue
            if state == new:
                return [*way[1:], state]
            seen.add(state)
            ways.append([*way, state])
    return []
