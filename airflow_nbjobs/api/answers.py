"""Turn an HTTP answer, or the lack of one, into a value or one of our errors."""

from __future__ import annotations

import email.utils
import json
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from airflow_nbjobs import exceptions
from airflow_nbjobs.api.calls import Call
from airflow_nbjobs.api.capacity import is_about_machines
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.redacting import redacted, redacted_json
from airflow_nbjobs.exceptions import ApiError, TransportError, UnexpectedAnswerError

__all__ = ["no_answer", "read_answer"]

T = TypeVar("T")

# The HTTP status decides; the canonical name does where one status has several meanings: https://google.aip.dev/193
_BY_NAME: dict[str, type[ApiError]] = {
    "ABORTED": exceptions.AbortedError,
    "FAILED_PRECONDITION": exceptions.FailedPreconditionError,
}
_BY_HTTP_STATUS: dict[int, type[ApiError]] = {
    400: exceptions.InvalidArgumentError,
    401: exceptions.UnauthenticatedError,
    403: exceptions.PermissionDeniedError,
    404: exceptions.NotFoundError,
    408: exceptions.UnavailableError,
    409: exceptions.AlreadyExistsError,
    429: exceptions.RateLimitedError,
    499: exceptions.UnavailableError,  # CANCELLED: something between us and the service has hung up, like a 504
    501: exceptions.NotImplementedByServiceError,
}
# Only believed with the service's error in the body: a proxy answers 404 too, which does not mean that a job is gone.
_NEEDS_BODY = frozenset({exceptions.NotFoundError, exceptions.AlreadyExistsError})


def read_answer(call: Call[T], response: httpx.Response) -> T:
    """Return the parsed answer.

    :raises ApiError: if the answer is an error, a redirect, or not the service's.
    """
    # A response and its stream refer to each other: the content would stay until Python collects its garbage.
    response.stream = httpx.ByteStream(b"")
    if response.is_redirect:
        to = _redacted(response, response.headers.get("location", ""))
        raise _unexpected(response, f"{_what(call)} was redirected to {to!r}, which is not followed.")
    if not response.is_success:
        raise _error(call, response)
    try:
        return call.parse(response.content if call.is_raw else json.loads(response.content))
    except Exception as error:  # any error, also RecursionError, means that the service did not send this
        raise _unexpected(response, f"{_what(call)} got an unexpected answer: {_beginning(response)!r}") from error


def _unexpected(response: httpx.Response, message: str) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(message, http_status=response.status_code)


def no_answer(call: Call[Any], endpoint: Endpoint, error: httpx.HTTPError) -> TransportError:
    """Return the error for a request that got no answer.

    :param error: of the HTTP client; it tells whether the request may have reached the service.
    """
    was_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    reason = str(error) or type(error).__name__
    if endpoint.is_loopback and not was_sent:
        reason += ". Start `nbjobs emulator` where NBJOBS_EMULATOR_HOST and STORAGE_EMULATOR_HOST point to."
    return TransportError(f"{_what(call)} at {endpoint.url} got no answer: {redacted(reason)}", was_sent=was_sent)


def _what(call: Call[Any]) -> str:
    return f"{call.verb} {call.path}"


def _error(call: Call[Any], response: httpx.Response) -> ApiError:
    body = _error_body(response)
    message = str(body.get("message") or "")
    name = body.get("status")
    name = name if isinstance(name, str) else ""
    details = body.get("details")
    kind = _BY_NAME.get(name) or _BY_HTTP_STATUS.get(response.status_code)
    if kind is None:
        kind = exceptions.UnavailableError if response.status_code >= 500 else exceptions.InvalidArgumentError
    if kind in _NEEDS_BODY and not body and not call.is_raw:
        kind = UnexpectedAnswerError
    if kind is exceptions.AlreadyExistsError and call.verb in {"GET", "DELETE"}:
        kind = exceptions.FailedPreconditionError  # these calls create nothing
    if not call.may_repeat and kind is exceptions.RateLimitedError and is_about_machines(message):
        kind = exceptions.NoCapacityError
    return kind(
        message or f"{_what(call)} was refused without a reason: {_beginning(response)!r}",
        http_status=response.status_code,
        status=name,
        details=tuple(details) if isinstance(details, list) else (),
        retry_after=_retry_after(response.headers.get("retry-after")),
    )


def _error_body(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = json.loads(response.content.decode("utf-8-sig", errors="replace"))
        if isinstance(answer, list) and answer:  # some of Google's front ends wrap the error in a list
            answer = answer[0]
        error = answer.get("error") if isinstance(answer, dict) else None
        return redacted_json(error, *_secrets(response)) if isinstance(error, dict) else {}
    except (ValueError, RecursionError):
        return {}


def _beginning(response: httpx.Response) -> str:
    # Always as UTF-8: the charset in the header may not exist, or not be one of text.
    return _redacted(response, response.content[:20_000].decode(errors="replace"))[:200]


def _redacted(response: httpx.Response, text: str) -> str:
    return redacted(text, *_secrets(response))


def _secrets(response: httpx.Response) -> tuple[str, str]:
    """Return the authorization that was sent, and the token in it: an answer may repeat its request."""
    sent = response.request.headers.get("authorization", "")
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
