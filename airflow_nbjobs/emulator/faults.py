"""Failures on request, counted: what was asked for, and how often it was met."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.emulator import states
from airflow_nbjobs.emulator.errors import ApiError, invalid
from airflow_nbjobs.emulator.execution import OK, UNKNOWN, Failure
from airflow_nbjobs.emulator.ids import project_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OF_JOBS = (
    "create", "get", "list", "delete", "cancel",
    "get_operation", "list_operations", "delete_operation", "wait_operation",
)  # fmt: skip
_OF_DATAFORM = (
    "create_repository", "get_repository", "list_repositories", "delete_repository",
    "commit", "read_file", "query_directory_contents", "fetch_history",
)  # fmt: skip
METHODS = (*_OF_JOBS, *_OF_DATAFORM)
"""Those whose answers can be spoiled; quotas are of the first alone."""


@dataclass
class Fault:
    """One thing asked for: an answer that goes wrong, or an outcome that is played.

    :param asked: the request as it came.
    :param times: how many requests, or jobs, it is for; None for a quota, which stands until it is cleared.
    :param met: how many have met it.
    """

    asked: dict[str, Any]
    times: int | None = 1
    met: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it still waits for a request or a job."""
        return self.times is None or self.met < self.times

    @property
    def method(self) -> str | None:
        """The method whose answers it spoils; None for a played outcome and a quota."""
        return self.asked.get("method")

    def is_for(self, project: str) -> bool:
        """Whether it is for requests and jobs of this project, by number; one that names none is for all."""
        asked = self.asked.get("project")
        return asked is None or project_number(asked) == project

    @property
    def delay_seconds(self) -> float:
        """How long the request is held."""
        return float(self.asked.get("delay_seconds", 0))

    @property
    def drops(self) -> bool:
        """Whether the connection is closed without an answer."""
        return bool(self.asked.get("drop", False))

    @property
    def breaks_off(self) -> bool:
        """Whether the connection is closed in the middle of the answer."""
        return bool(self.asked.get("truncate", False))

    @property
    def text(self) -> str | None:
        """What is answered in place of JSON, as a proxy's page would be; None for Google's own shape."""
        return self.asked.get("body")

    @property
    def acts_first(self) -> bool:
        """Whether the request is carried out before its answer is spoiled."""
        return self.asked.get("phase") == "after"

    @property
    def states(self) -> list[str]:
        """The states that a job is led to, one after the other; empty when no outcome is played."""
        played = self.asked.get("job_state", [])
        return [played] if isinstance(played, str) else list(played)

    @property
    def step_seconds(self) -> float:
        """How long a played job stays in its state before it goes on to the next that was asked for."""
        return float(self.asked.get("seconds", 0))

    def failure(self) -> Failure | None:
        """Make the status that a played job ends with."""
        return played_failure(self.states[-1], self.asked.get("status_message"))

    def error(self) -> ApiError | None:
        """Make the error to answer with; None when the fault only delays."""
        if "status" not in self.asked:
            return None
        message = self.asked.get("message", f"The emulator was asked to fail this {self.method}.")
        return ApiError(self.asked["status"], message, retry_after=self.asked.get("retry_after"))

    def account(self) -> dict[str, Any]:
        """Tell what was asked and what was met."""
        return {"fault": self.asked, "asked": self.times, "met": self.met}


@dataclass
class Faults:
    """All faults asked for since the last clearing."""

    _faults: list[Fault] = field(default_factory=list)
    _calls: dict[tuple[str, str], deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def ask(self, asked: object) -> None:
        """Take one request, as ``POST /_emulator/faults`` gets it.

        :raises ApiError: 400 that names the field when it is malformed.
        """
        if not isinstance(asked, dict) or not asked:
            raise invalid("", f"A fault is a JSON object with one of {', '.join(_SHAPES)}, not {asked!r}.")
        shape = next((key for key in _SHAPES if key in asked), None)
        if shape is None:
            raise invalid("", f"A fault has one of {', '.join(_SHAPES)}; this one has {', '.join(asked)}.")
        for name, value in asked.items():
            if name not in _SHAPES[shape]:
                raise invalid(name, f"Unknown field {name!r} of a fault with {shape!r}.")
            wrong = _SHAPES[shape][name](value)
            if wrong:
                raise invalid(name, f"Invalid {name} {value!r}: {wrong}.")
        if shape == "method" and not asked.keys() & _SPOILERS.keys():
            raise invalid("status", f"A fault with 'method' needs one of {', '.join(_SPOILERS)}.")
        if shape == "clear":
            self.clear()
        elif shape == "quota":
            self._faults = [fault for fault in self._faults if "quota" not in fault.asked]
            self._faults.append(Fault(asked, times=None))
        else:
            self._faults.append(Fault(asked, times=asked.get("times", 1)))

    def clear(self) -> None:
        """Forget every fault, met or not, and the quota."""
        self._faults.clear()
        self._calls.clear()

    def accounts(self) -> list[dict[str, Any]]:
        """Tell for each fault, in the order of asking, what was asked and what was met."""
        return [fault.account() for fault in self._faults]

    def meet(self, method: str, project: str) -> Fault | None:
        """Take the first open fault for a request of this method to this project, and count it as met."""
        return self._meet(lambda fault: fault.method == method and fault.is_for(project))

    def play(self, project: str) -> Fault | None:
        """Take the first open outcome for a new job of this project, and count it as met."""
        return self._meet(lambda fault: bool(fault.states) and fault.is_for(project))

    def _meet(self, fits: Callable[[Fault], bool]) -> Fault | None:
        found = next((fault for fault in self._faults if fault.is_open and fits(fault)), None)
        if found:
            found.met += 1
        return found

    def check_quota(self, method: str, project: str) -> None:
        """Count a call against its project's quota of the last 60 seconds.

        :raises ApiError: 429 RESOURCE_EXHAUSTED with ``Retry-After`` when the quota is used up.
        """
        fault = next((fault for fault in self._faults if method in fault.asked.get("quota", {})), None)
        if fault is None:
            return
        limit, now, calls = fault.asked["quota"][method], time.monotonic(), self._calls[method, project]
        while calls and calls[0] <= now - 60:
            calls.popleft()
        if len(calls) < limit:
            calls.append(now)
            return
        fault.met += 1
        wait = calls[0] + 60 - now if calls else 60.0
        raise _exhausted(method, project, limit, wait)


def played_failure(state: str, message: str | None) -> Failure | None:
    """Make the status of a job that is led to a state; None for the states that have none unless a message is given."""
    if message is None and state in states.TERMINAL - {states.SUCCEEDED}:
        message = f"The emulator was asked to end this job as {state}."
    return Failure(OK if state == states.SUCCEEDED else UNKNOWN, message) if message else None


def _exhausted(method: str, project: str, limit: int, wait: float) -> ApiError:
    metadata = {
        "service": "aiplatform.googleapis.com",
        "consumer": f"projects/{project}",
        "quota_limit_value": str(limit),
        "quota_metric": f"aiplatform.googleapis.com/notebook_execution_job_{method}_requests",
    }
    text = f"Quota exceeded: {limit} {method} requests per minute for project {project}."
    reason = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "domain": "googleapis.com",
        "metadata": metadata,
    }
    return ApiError(429, text, details=[reason], retry_after=wait)


def read_move(asked: object) -> tuple[str, str | None]:
    """Read where a job is to be led, as ``POST /_emulator/jobs/{id}`` gets it: a state and the status's message.

    :raises ApiError: 400 that names the field when it is malformed.
    """
    if not isinstance(asked, dict) or not asked.keys() <= {"state", "message"}:
        raise invalid("", f"A move is a JSON object with state and message, not {asked!r}.")
    for name, value in {"state": asked.get("state"), "message": asked.get("message", "")}.items():
        if _text(value):
            raise invalid(name, f"Invalid {name} {value!r}: {_text(value)}.")
    return asked["state"], asked.get("message")


# Each check says what is wrong with a value, or nothing.
def _number(value: object, low: float, high: float, *, whole: bool = False) -> str:
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        return f"it must be {'a whole number' if whole else 'a number'} from {low:g} to {high:g}"
    return ""


def _one_of(value: object, *known: object) -> str:
    return "" if value in known else f"it must be one of {list(known)}"


def _text(value: object) -> str:
    return "" if isinstance(value, str) else "it must be a string"


def _truth(value: object) -> str:
    return "" if isinstance(value, bool) else "it must be true or false"


def _quota(value: object) -> str:
    if not isinstance(value, dict) or not value or not value.keys() <= set(_OF_JOBS):
        return f"it must be an object whose keys are methods, of {', '.join(_OF_JOBS)}"
    return next(filter(None, (_number(limit, 0, 1_000_000, whole=True) for limit in value.values())), "")


def _job_state(value: object) -> str:
    played = value if isinstance(value, list) else [value]
    if not played or not all(isinstance(state, str) and state for state in played):
        return "it must be a state, or a list of them in their order"
    for old, new in pairwise(played):
        if not states.route(old, new):
            return f"no job goes from {old} to {new}"
    return ""


_TIMES: Mapping[str, Callable[[object], str]] = {"times": lambda value: _number(value, 1, 1_000_000, whole=True)}
_SPOILERS: Mapping[str, Callable[[object], str]] = {
    "status": lambda value: _number(value, 400, 599, whole=True),
    "delay_seconds": lambda value: _number(value, 0, 3600),
    "drop": _truth,
    "truncate": _truth,
    "body": _text,
}
_SHAPES: Mapping[str, Mapping[str, Callable[[object], str]]] = {
    "method": {
        **_TIMES,
        **_SPOILERS,
        "method": lambda value: _one_of(value, *METHODS),
        "project": _text,
        "message": _text,
        "phase": lambda value: _one_of(value, "before", "after"),
        "retry_after": lambda value: _number(value, 0, 3600),
    },
    "job_state": {
        **_TIMES,
        "job_state": _job_state,
        "project": _text,
        "status_message": _text,
        "seconds": lambda value: _number(value, 0, 3600),
    },
    "quota": {"quota": _quota},
    "clear": {"clear": lambda value: "" if value is True else "it must be true"},
}
