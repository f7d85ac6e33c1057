"""Failures on request, counted: what was asked for, and how often it was met."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from airflow_nbjobs.emulator.errors import ServiceError, invalid
from airflow_nbjobs.emulator.jobs import states
from airflow_nbjobs.emulator.jobs.states import JobStatus
from airflow_nbjobs.emulator.resources import project_number

_OF_JOBS = ("create", "get", "list", "delete", "cancel", "get_operation", "list_operations")
_OF_DATAFORM = (
    "create_repository", "get_repository", "list_repositories", "delete_repository",
    "commit", "read_file", "query_directory_contents", "fetch_history",
)  # fmt: skip
_OF_SCHEDULES = (
    "create_schedule", "get_schedule", "list_schedules", "patch_schedule", "delete_schedule",
    "pause_schedule", "resume_schedule",
)  # fmt: skip
_OF_TEMPLATES = ("create_template", "get_template", "list_templates", "patch_template", "delete_template")
_OF_ADMINISTRATION = ("test_account_permissions", "get_service", "list_quotas")
METHODS = (*_OF_JOBS, *_OF_DATAFORM, *_OF_SCHEDULES, *_OF_TEMPLATES, *_OF_ADMINISTRATION)
"""The methods whose answers a fault can change; a quota is for the methods of jobs only."""


@dataclass(kw_only=True)
class Fault:
    """One failure that was asked for: a wrong answer, the states of a new job, or a quota.

    :param asked: the request as it was received; the other fields below ``met`` are its own.
    :param times: how many requests, or jobs, it is for; None for a quota, which stays until it is cleared.
    :param met: how many have met it.
    :param method: the method whose answers it changes.
    :param project: its id or number; None for all projects.
    :param phase: ``before`` answers without acting, ``after`` acts first.
    :param delay_seconds: how long the request is held.
    :param drop: close the connection without an answer.
    :param truncate: close the connection in the middle of the answer.
    :param body: the text of the answer in place of JSON, as of a proxy's page.
    :param job_state: the state or states that a new job goes through.
    :param seconds: from one state that was asked for to the next.
    :param quota: for each method, its requests per minute and project.
    """

    asked: dict[str, Any]
    times: int | None = 1
    met: int = 0
    method: str | None = None
    project: str | None = None
    status: int | None = None
    message: str | None = None
    retry_after: float | None = None
    phase: str = "before"
    delay_seconds: float = 0.0
    drop: bool = False
    truncate: bool = False
    body: str | None = None
    job_state: str | list[str] = field(default_factory=list)
    status_message: str | None = None
    seconds: float = 0.0
    quota: Mapping[str, int] = field(default_factory=dict)

    @property
    def states(self) -> list[str]:
        """The states that a job goes through, in their order; empty for the other kinds of fault."""
        return [self.job_state] if isinstance(self.job_state, str) else self.job_state

    def final_status(self) -> JobStatus | None:
        """Return the status of a job in the last of :attr:`states`."""
        return requested_status(self.states[-1], self.status_message)

    def error(self) -> ServiceError | None:
        """Return the error to answer with; None when the fault has no HTTP status."""
        if self.status is None:
            return None
        message = self.message or f"The emulator was asked to fail this {self.method}."
        return ServiceError(self.status, message, retry_after=self.retry_after)


class Faults:
    """The faults of one emulator since the last :meth:`clear`."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._calls: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def add(self, asked: object) -> None:
        """Add a fault, described as in the body of ``POST /_emulator/faults``.

        :raises ServiceError: 400 that names the malformed field.
        """
        if not isinstance(asked, dict) or not asked:
            raise invalid("", f"A fault is a JSON object with one of {', '.join(_SHAPES)}, not {asked!r}.")
        shape = next((key for key in _SHAPES if key in asked), None)
        if shape is None:
            raise invalid("", f"A fault has one of {', '.join(_SHAPES)}; this one has {', '.join(asked)}.")
        for name, value in asked.items():
            if name not in _SHAPES[shape]:
                raise invalid(name, f"Unknown field {name!r} of a fault with {shape!r}.")
            if wrong := _SHAPES[shape][name](value):
                raise invalid(name, f"Invalid {name} {value!r}: {wrong}.")
        if shape == "method" and not asked.keys() & _EFFECTS.keys():
            raise invalid("status", f"A fault with 'method' needs one of {', '.join(_EFFECTS)}.")
        if shape == "clear":
            self.clear()
        elif shape == "quota":
            self._faults = [fault for fault in self._faults if not fault.quota]
            self._faults.append(Fault(asked=asked, times=None, **asked))
        else:
            self._faults.append(Fault(asked=asked, **asked))

    def clear(self) -> None:
        """Remove every fault, met or not, and the quota."""
        self._faults.clear()
        self._calls.clear()

    def accounts(self) -> list[dict[str, Any]]:
        """Return ``{"fault", "asked", "met"}`` for each fault, oldest first; ``asked`` is None for a quota."""
        return [{"fault": fault.asked, "asked": fault.times, "met": fault.met} for fault in self._faults]

    def meet(self, method: str, project: str) -> Fault | None:
        """Return the first open fault for a request of this method to this project, and count it as met.

        :param project: the project's number.
        """
        return self._meet(project, lambda fault: fault.method == method)

    def play(self, project: str) -> Fault | None:
        """Return the first open fault that gives a new job of this project its states, and count it as met."""
        return self._meet(project, lambda fault: bool(fault.states))

    def _meet(self, project: str, fits: Callable[[Fault], bool]) -> Fault | None:
        for fault in self._faults:
            is_for_project = fault.project is None or project_number(fault.project) == project
            if fits(fault) and is_for_project and (fault.times is None or fault.met < fault.times):
                fault.met += 1
                return fault
        return None

    def check_quota(self, method: str, project: str) -> None:
        """Count a call against its project's quota of the last 60 seconds.

        :raises ServiceError: 429 RESOURCE_EXHAUSTED with ``Retry-After`` when the quota is used up.
        """
        fault = next((fault for fault in self._faults if method in fault.quota), None)
        if fault is None:
            return
        limit, now, calls = fault.quota[method], time.monotonic(), self._calls[method, project]
        while calls and calls[0] <= now - 60:
            calls.popleft()
        if len(calls) < limit:
            calls.append(now)
            return
        fault.met += 1
        wait = calls[0] + 60 - now if calls else 60.0
        raise _exhausted(method, project, limit, wait)


def requested_status(state: str, message: str | None) -> JobStatus | None:
    """Return the status of a job in a requested state; without a message, a standard one where the state needs it."""
    if message is None and state in states.TERMINAL - {states.SUCCEEDED}:
        message = f"The emulator was asked to end this job as {state}."
    code = states.OK if state == states.SUCCEEDED else states.UNKNOWN
    return JobStatus(code, message) if message else None


def _exhausted(method: str, project: str, limit: int, wait: float) -> ServiceError:
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
    return ServiceError(429, text, details=[reason], retry_after=wait)


def read_move(asked: object) -> tuple[str, str | None]:
    """Read the state and the status message of the body of ``POST /_emulator/jobs/{id}``.

    :raises ServiceError: 400 that names the malformed field.
    """
    if not isinstance(asked, dict) or not asked.keys() <= {"state", "message"}:
        raise invalid("", f"A move is a JSON object with state and message, not {asked!r}.")
    for name, value in {"state": asked.get("state"), "message": asked.get("message", "")}.items():
        if wrong := _text(value):
            raise invalid(name, f"Invalid {name} {value!r}: {wrong}.")
    return asked["state"], asked.get("message")


_Check = Callable[[object], str]
"""Returns what is wrong with a value; an empty text when it is right."""


def _number(low: float, high: float, *, whole: bool = False) -> _Check:
    kinds = int if whole else (int, float)
    text = f"it must be {'a whole number' if whole else 'a number'} from {low:g} to {high:g}"
    return lambda value: (
        "" if isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high else text
    )


def _one_of(*known: object) -> _Check:
    return lambda value: "" if value in known else f"it must be one of {list(known)}"


def _text(value: object) -> str:
    return "" if isinstance(value, str) else "it must be a string"


def _boolean(value: object) -> str:
    return "" if isinstance(value, bool) else "it must be true or false"


def _quota(value: object) -> str:
    if not isinstance(value, dict) or not value or not value.keys() <= set(_OF_JOBS):
        return f"it must be an object whose keys are methods, of {', '.join(_OF_JOBS)}"
    return next(filter(None, map(_number(0, 1_000_000, whole=True), value.values())), "")


def _job_state(value: object) -> str:
    played = value if isinstance(value, list) else [value]
    if not played or not all(isinstance(state, str) and state for state in played):
        return "it must be a state, or a list of them in their order"
    wrong = next((move for move in pairwise(played) if not states.route_between(*move)), None)
    return f"a job cannot go from {wrong[0]} to {wrong[1]}" if wrong else ""


_SECONDS = _number(0, 3600)
_SHARED: Mapping[str, _Check] = {"times": _number(1, 1_000_000, whole=True), "project": _text}
_EFFECTS: Mapping[str, _Check] = {
    "status": _number(400, 599, whole=True),
    "delay_seconds": _SECONDS,
    "drop": _boolean,
    "truncate": _boolean,
    "body": _text,
}
_METHOD: Mapping[str, _Check] = {
    "method": _one_of(*METHODS),
    "message": _text,
    "phase": _one_of("before", "after"),
    "retry_after": _SECONDS,
}
_SHAPES: Mapping[str, Mapping[str, _Check]] = {
    "method": {**_SHARED, **_EFFECTS, **_METHOD},
    "job_state": {**_SHARED, "job_state": _job_state, "status_message": _text, "seconds": _SECONDS},
    "quota": {"quota": _quota},
    "clear": {"clear": lambda value: "" if value is True else "it must be true"},
}
