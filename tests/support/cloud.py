"""The emulator as one test sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_nbjobs.emulator import Emulator


@dataclass(frozen=True)
class Cloud:
    """The emulator, and the project that the test has for itself; what is not here is the emulator's own."""

    emulator: Emulator
    project: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.emulator, name)

    def book(self, project: str | None = None) -> list[dict[str, Any]]:
        """Return each job that there ever was in the test's project, or another one, the oldest first."""
        return self.emulator.book(project or self.project)

    def states(self) -> list[str]:
        """Return the states of these jobs; one that is being canceled counts as canceled."""
        states = [str(job["state"]).removeprefix("JOB_STATE_") for job in self.book()]
        return ["CANCELLED" if state == "CANCELLING" else state for state in states]
