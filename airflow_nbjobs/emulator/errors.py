"""The errors of the emulator: one for the program that starts it, one that is an HTTP answer in Google's shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# HTTP status -> canonical code name (google/rpc/code.proto). Where several names share a status, the usual one is here.
STATUS_NAMES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 405: "UNIMPLEMENTED",
    409: "ALREADY_EXISTS", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED",
    503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


class EmulatorError(RuntimeError):
    """The emulator cannot start: a port or a data directory is in use, or its storage did not start."""


class ServiceError(Exception):
    """A request is refused; carries the content of Google's JSON error body.

    :param code: HTTP status.
    :param message: text for a person.
    :param status: canonical name of the code; by default the usual one of the HTTP status.
    :param details: ``google.rpc`` detail messages in their JSON form, each with ``@type``.
    :param retry_after: seconds for the ``Retry-After`` header; no header when None.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: str = "",
        details: Sequence[Mapping[str, Any]] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUS_NAMES.get(code, "UNKNOWN")
        self.details = list(details)
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """Return ``{"error": {"code", "message", "status"}}``, with ``details`` when there are any."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "status": self.status,
        }
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid(field: str, description: str) -> ServiceError:
    """Return the 400 INVALID_ARGUMENT that names a field, with the ``BadRequest`` detail of Google's front end."""
    violation = {"field": field, "description": description} if field else {"description": description}
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    return ServiceError(400, description, details=[detail])


def not_found(name: str) -> ServiceError:
    """Return the 404 NOT_FOUND for a resource name."""
    return ServiceError(404, f"{name} does not exist.")


def failed_precondition(message: str) -> ServiceError:
    """Return the 400 FAILED_PRECONDITION for a resource that is not in the state for a request."""
    return ServiceError(400, message, status="FAILED_PRECONDITION")
