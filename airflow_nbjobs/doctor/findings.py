"""What a check finds, and what errors of the service mean for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.exceptions import (
    ApiError,
    CredentialsError,
    InvalidNotebookJobError,
    NotFoundError,
    PermissionDeniedError,
    TransportError,
    UnauthenticatedError,
)
from airflow_nbjobs.hints import hint_for

__all__ = ["BRIEF", "Finding", "Verdict", "asked"]

BRIEF = Patience(tries=2, seconds=15.0, timeout=10.0)
"""How often and how long each request is tried."""

T = TypeVar("T")

_LOG_IN = "Run `gcloud auth application-default login`, or correct the key of the connection."
_REACH = "Check the location, the network, the proxy and the firewall of this machine."


class Verdict(StrEnum):
    """What a check concludes."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    :ivar check: what was checked, in a few words.
    :ivar verdict: unknown, if the check needs a permission that is not needed to run notebooks.
    :ivar detail: what was found.
    :ivar remedy: what to do; empty if there is nothing to do.
    :ivar is_blocking: whether the later checks of the service would find the same fault.
    """

    check: str
    verdict: Verdict
    detail: str
    remedy: str = ""
    is_blocking: bool = False


def asked(
    check: str,
    ask: Callable[[], T],
    answered: Callable[[T], Finding | str],
    *,
    grant: str,
    missing: str = "",
    is_optional: bool = False,
) -> Finding:
    """Send a request and return what its answer or its error means.

    :param check: what is checked.
    :param ask: sends the request.
    :param answered: returns the finding, or the detail of a good one.
    :param grant: the remedy if the request is forbidden.
    :param missing: the remedy if the resource does not exist.
    :param is_optional: whether notebooks run without the permission for the request: a refusal is unknown, not bad.
    """
    try:
        found = answered(ask())
    except (ApiError, CredentialsError, InvalidNotebookJobError) as error:
        verdict, remedy = _meaning(error, grant, missing)
        if is_optional and not isinstance(error, NotFoundError):
            verdict = Verdict.UNKNOWN
        is_blocking = isinstance(error, CredentialsError | UnauthenticatedError | TransportError)
        return Finding(check, verdict, " ".join(str(error).split())[:500], remedy, is_blocking)
    return found if isinstance(found, Finding) else Finding(check, Verdict.GOOD, found)


def _meaning(error: Exception, grant: str, missing: str) -> tuple[Verdict, str]:
    match error:
        case InvalidNotebookJobError():
            return Verdict.BAD, ""  # its message says what to do
        case CredentialsError() | UnauthenticatedError():
            return Verdict.BAD, _LOG_IN
        case PermissionDeniedError():
            return Verdict.BAD, hint_for(str(error)) or grant
        case NotFoundError():
            return Verdict.BAD, missing
        case TransportError():
            return Verdict.BAD, _REACH
    return Verdict.UNKNOWN, "Try again later."
