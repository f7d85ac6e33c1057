"""How a killed worker task spends its last seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.run.cancel import CANCEL_SECONDS, FIND_SECONDS

__all__ = ["KILL_BUDGET", "KillBudget", "within"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class KillBudget:
    """How a killed worker task spends its last seconds, counted from the call of ``on_kill``.

    :ivar state: the question whether Airflow still wants the task is given up after this.
    :ivar cancel: a job that is still active after its cancellation is deleted after this.
    :ivar requests: no request starts after this.
    :ivar answer: ``on_kill`` returns after this, in any case.
    :ivar airflow: Airflow kills the process after this (``task_runner``: SIGKILL five seconds after SIGTERM).
    """

    state: float = 2.0
    cancel: float = 3.0
    requests: float = 4.3
    answer: float = 4.6
    airflow: float = 5.0

    def __post_init__(self) -> None:
        """Check that the parts fit.

        :raises ValueError: if a part does not end before the next one.
        """
        longest = max(self.state, CANCEL_SECONDS, FIND_SECONDS)
        if not 0 < longest < self.cancel < self.requests < self.answer < self.airflow:
            raise ValueError(f"The parts of {self} do not fit into each other.")

    @property
    def patience(self) -> Patience:
        """How long one call is tried during a kill."""
        return Patience(tries=3, seconds=3.5, timeout=2.5, queueing=3.5)


KILL_BUDGET = KillBudget()


def within(seconds: float, work: Callable[[], T], otherwise: T) -> T:
    """Return what the work returns, or ``otherwise`` if it takes longer or raises.

    It runs in a thread. A signal can arrive while the main thread holds a lock that the work needs, and no request's
    timeout covers an answer that arrives byte by byte or a token server that does not answer.
    """
    returned: list[T] = []

    def run() -> None:
        try:
            returned.append(work())
        except Exception:  # noqa: BLE001 - without an answer in time the caller has its own
            returned.append(otherwise)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    return returned[0] if returned else otherwise
