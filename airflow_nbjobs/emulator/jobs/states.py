"""The states of a job, the moves between them (``google/cloud/aiplatform/v1/job_state.proto``), and its status."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

# In the order of their numbers in the proto.
BY_NUMBER = (
    UNSPECIFIED, QUEUED, PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLING, CANCELLED, PAUSED, EXPIRED, UPDATING,
    PARTIALLY_SUCCEEDED,
)  # fmt: skip
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED, EXPIRED, PARTIALLY_SUCCEEDED})

# The proto's comments define the moves of CANCELLING and UPDATING; the others follow from the states' descriptions.
_MOVES: Mapping[str, tuple[str, ...]] = {
    QUEUED: (PENDING, CANCELLING, FAILED, EXPIRED),
    PENDING: (RUNNING, CANCELLING, FAILED, EXPIRED),
    RUNNING: (SUCCEEDED, FAILED, PARTIALLY_SUCCEEDED, CANCELLING, EXPIRED, PAUSED, UPDATING),
    PAUSED: (QUEUED, CANCELLING, FAILED, EXPIRED),
    UPDATING: (RUNNING, CANCELLING, FAILED),
    CANCELLING: (CANCELLED, SUCCEEDED, FAILED),
    **dict.fromkeys(TERMINAL, ()),
}


# google/rpc/code.proto. Which code the service sets is not known, only that the message gives the reason.
OK, CANCELLED_CODE, UNKNOWN, FAILED_PRECONDITION, INTERNAL = 0, 1, 2, 9, 13


@dataclass(frozen=True)
class JobStatus:
    """The status of a job, which says why it failed: a ``google.rpc`` code and a message for a person."""

    code: int
    message: str

    def to_wire(self) -> dict[str, Any]:
        """Return the job's ``status``."""
        return {"code": self.code, "message": self.message}


def is_legal(old: str, new: str) -> bool:
    """Say whether a job may go from one state to another.

    A state that is not documented (a future one, or UNSPECIFIED) is possible by a fault only; it may follow and precede
    every state that is not terminal.
    """
    if old in _MOVES and new in _MOVES:
        return new in _MOVES[old]
    return old not in TERMINAL and old != new


def route_between(old: str, new: str) -> list[str]:
    """Return the shortest series of legal moves: the states after ``old``, ``new`` the last; empty if impossible."""
    routes = deque([[old]])
    seen = {old}
    while routes:
        route = routes.popleft()
        for state in (new, *_MOVES.get(route[-1], ())):
            if not is_legal(route[-1], state) or state in seen:
                continue
            if state == new:
                return [*route[1:], state]
            seen.add(state)
            routes.append([*route, state])
    return []
