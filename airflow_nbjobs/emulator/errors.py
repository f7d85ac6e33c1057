"""What the emulator says when it refuses: Google's error shape to clients, an exception to whoever starts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# HTTP status -> canonical code name, as google/rpc/code.proto pairs them. Where several names share one status, the
# usual one stands here and an error gives another one explicitly.
STATUS_NAMES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class EmulatorError(RuntimeError):
    """The emulator cannot start: a port or a data directory is in use, or its storage did not come up."""


class ApiError(Exception):
    """A request is refused; carries what Google's JSON error body needs.

    :param code: HTTP status.
    :param message: what a person should read.
    :param details: ``google.rpc`` detail messages in their JSON form, each with ``@type``.
    :param retry_after: seconds for the ``Retry-After`` header; no header when None.
    """

    def __init__(
        self, code: int, message: str, *, details: Sequence[Mapping[str, Any]] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = list(details)
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """Give the JSON body: ``{"error": {"code", "message", "status", "details"}}``, details when there are any."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "status": STATUS_NAMES.get(self.code, "UNKNOWN"),
        }
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid(field: str, description: str) -> ApiError:
    """Make the 400 INVALID_ARGUMENT that names a field, with the ``BadRequest`` detail of Google's front end."""
    violation = {"field": field, "description": description} if field else {"description": description}
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    return ApiError(400, description, details=[detail])


def not_found(name: str) -> ApiError:
    """Make the 404 NOT_FOUND for a resource name."""
    return ApiError(404, f"{name} does not exist.")
