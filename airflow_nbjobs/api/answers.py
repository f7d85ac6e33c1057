"""An HTTP answer, or the lack of one, becomes a value or one of our errors."""

from __future__ import annotations

import email.utils
import json
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx2

from airflow_nbjobs.api.calls import Call
from airflow_nbjobs.api.capacity import is_about_machines
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.redacting import redacted, redacted_json
from airflow_nbjobs.exceptions import (
    AbortedError,
    AlreadyExistsError,
    ApiError,
    FailedPreconditionError,
    InvalidArgumentError,
    NoCapacityError,
    NotFoundError,
    NotImplementedByServiceError,
    PermissionDeniedError,
    RateLimitedError,
    TransportError,
    UnauthenticatedError,
    UnavailableError,
    UnexpectedAnswerError,
)

__all__ = ["no_answer", "read_answer"]

T = TypeVar("T")

# The HTTP status decides, and where it says too little the canonical name does: https://google.aip.dev/193
_BY_NAME: dict[str, type[ApiError]] = {"ABORTED": AbortedError, "FAILED_PRECONDITION": FailedPreconditionError}
_BY_HTTP_STATUS: dict[int, type[ApiError]] = {
    400: InvalidArgumentError,
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: UnavailableError,
    409: AlreadyExistsError,
    429: RateLimitedError,
    499: UnavailableError,  # CANCELLED: somebody on the way has hung up, which says as little as a 504
    501: NotImplementedByServiceError,
}
# What these say of a job is believed only of the service: a proxy's page, or a front end that knows no such host, says
# 404 too, and no job is gone for that.
_SAID_BY_THE_SERVICE = frozenset({NotFoundError, AlreadyExistsError})


def read_answer(call: Call[T], response: httpx2.Response) -> T:
    """Return the parsed answer.

    :raises ApiError: the error that the answer is.
    """
    if response.is_redirect:
        raise UnexpectedAnswerError(
            f"{_what(call)} was redirected to {_kept(response, response.headers.get('location', ''))!r}, which is not "
            "followed.",
            http_status=response.status_code,
        )
    if not response.is_success:
        raise _error(call, response)
    try:
        return call.parse(response.content if call.is_raw else json.loads(response.content))
    except Exception as error:  # whatever Python has against it (`RecursionError`), it is not the service's answer
        raise UnexpectedAnswerError(
            f"{_what(call)} was answered with something other than the service's JSON: {_beginning(response)!r}",
            http_status=response.status_code,
        ) from error


def no_answer(call: Call[Any], endpoint: Endpoint, error: httpx2.HTTPError) -> TransportError:
    """Return the error for a request that got no answer."""
    was_sent = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
    reason = str(error) or type(error).__name__
    if endpoint.is_loopback and not was_sent:
        reason += ". Does `nbjobs emulator` run where NBJOBS_EMULATOR_HOST and STORAGE_EMULATOR_HOST say?"
    return TransportError(f"{_what(call)} at {endpoint.url} got no answer: {redacted(reason)}", was_sent=was_sent)


def _what(call: Call[Any]) -> str:
    return f"{call.verb} {call.path}"


def _error(call: Call[Any], response: httpx2.Response) -> ApiError:
    told = _told(response)
    name = told.get("status") if isinstance(told.get("status"), str) else ""
    details = told.get("details")
    kind = _BY_NAME.get(name or "") or _BY_HTTP_STATUS.get(response.status_code)
    if kind is None:
        kind = UnavailableError if response.status_code >= 500 else InvalidArgumentError
    if kind in _SAID_BY_THE_SERVICE and not told and not call.is_raw:
        kind = UnexpectedAnswerError
    if kind is AlreadyExistsError and call.verb in {"GET", "DELETE"}:
        kind = FailedPreconditionError  # nothing is created, so that no id is taken
    if not call.may_repeat and kind is RateLimitedError and is_about_machines(str(told.get("message"))):
        kind = NoCapacityError
    return kind(
        str(told.get("message") or f"{_what(call)} was refused without a reason: {_beginning(response)!r}"),
        http_status=response.status_code,
        status=name or "",
        details=tuple(details) if isinstance(details, list) else (),
        retry_after=_retry_after(response.headers.get("retry-after")),
    )


def _told(response: httpx2.Response) -> dict[str, Any]:
    try:
        answer = json.loads(response.content.decode("utf-8-sig", errors="replace"))
        if isinstance(answer, list) and answer:  # some of Google's front ends wrap the error in a list
            answer = answer[0]
        error = answer.get("error") if isinstance(answer, dict) else None
        return redacted_json(error, *_sent(response)) if isinstance(error, dict) else {}
    except (ValueError, RecursionError):
        return {}


def _beginning(response: httpx2.Response) -> str:
    """Return how an answer begins, whatever it is; the ``charset`` that it names may be none, or no charset of text."""
    return _kept(response, response.content[:20_000].decode(errors="replace"))[:200]


def _kept(response: httpx2.Response, text: str) -> str:
    """Return what errors may repeat of an answer, which may repeat its request: not its token."""
    return redacted(text, *_sent(response))


def _sent(response: httpx2.Response) -> tuple[str, str]:
    """Return what was sent as authorization, and the token in it."""
    try:
        sent = response.request.headers.get("authorization", "")
    except RuntimeError:  # it was made without one
        sent = ""
    return sent, sent.partition(" ")[2]


def _retry_after(value: str | None) -> float | None:
    """Read seconds or an HTTP date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    if re.fullmatch(r"[0-9]+", value.strip()):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
