"""All errors of this package, in one tree.

::

    NbjobsError
    ├── InvalidNotebookJobError      the request is wrong; nothing was sent (also a ValueError)
    ├── CredentialsError             there is no access token
    ├── ApiError                     a call failed
    │   ├── TransportError           no answer: connection refused, reset, timed out, name not resolved
    │   ├── UnexpectedAnswerError    the service did not send this answer: an HTML page, other JSON, a redirect
    │   ├── InvalidArgumentError     400, and each 4xx that is not listed here
    │   │   └── FailedPreconditionError   status FAILED_PRECONDITION; 409 for a read or a deletion
    │   ├── UnauthenticatedError     401
    │   ├── PermissionDeniedError    403
    │   ├── NotFoundError            404
    │   ├── AlreadyExistsError       409
    │   ├── AbortedError             409 with status ABORTED
    │   ├── RateLimitedError         429, RESOURCE_EXHAUSTED: too many requests in a minute
    │   ├── NoCapacityError          the same for machines: another try soon does not help
    │   ├── NotImplementedByServiceError   501, UNIMPLEMENTED
    │   └── UnavailableError         408, 499 and the other 5xx
    ├── LostAnswerError              a create was sent, and it is unknown whether it was carried out
    ├── RenderError                  a notebook cannot be shown as HTML
    └── NotebookJobError             the job did not succeed
        ├── NotebookJobFailedError   it ended in a state other than SUCCEEDED
        ├── NotebookJobTimeoutError  it did not end in time
        └── NotebookJobGoneError     it was deleted while a task waited for it

All of them survive pickling: their only positional argument is the message. Each has a ``kind``, by which
:class:`~airflow_nbjobs.retry_policy.NotebookRetryPolicy` decides.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Self

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "ApiError",
    "CredentialsError",
    "FailedPreconditionError",
    "FailureKind",
    "InvalidArgumentError",
    "InvalidNotebookJobError",
    "LostAnswerError",
    "NbjobsError",
    "NoCapacityError",
    "NotFoundError",
    "NotImplementedByServiceError",
    "NotebookJobError",
    "NotebookJobFailedError",
    "NotebookJobGoneError",
    "NotebookJobTimeoutError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RenderError",
    "TransportError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnexpectedAnswerError",
]


class FailureKind(Enum):
    """What kind of failure an error is. The values are clauses."""

    NOTEBOOK = "a cell raised, or its results cannot be used"
    REQUEST = "an argument is wrong"
    PERMISSION = "a permission is missing"
    QUOTA = "too many requests were sent in a minute"
    CAPACITY = "there is no machine for the job, or no quota for one"
    OUTAGE = "the service did not answer"
    OTHER = "the reason is another one"

    @classmethod
    def of(cls, error: BaseException) -> FailureKind:
        """Return the kind of any error; ``OTHER`` if it is not one of this package."""
        return error.kind if isinstance(error, NbjobsError) else cls.OTHER


class NbjobsError(Exception):
    """The base class of all of them.

    :ivar kind: what kind of failure it is.
    """

    kind = FailureKind.OTHER


class InvalidNotebookJobError(NbjobsError, ValueError):
    """The request is wrong and was not sent."""

    def __init__(self, message: str = "", *, kind: FailureKind = FailureKind.REQUEST) -> None:
        super().__init__(message)
        self.kind = kind

    @property
    def is_final(self) -> bool:
        """Whether no retry corrects it. A notebook that could not be read may be there or be readable later."""
        return self.kind is FailureKind.REQUEST


class CredentialsError(NbjobsError):
    """There is no access token.

    :ivar is_transient: whether the same call may succeed later (the token service did not answer).
    """

    def __init__(self, message: str = "", *, is_transient: bool = False) -> None:
        super().__init__(message)
        self.is_transient = is_transient
        self.kind = FailureKind.OUTAGE if is_transient else FailureKind.PERMISSION


class ApiError(NbjobsError):
    """A call failed.

    :cvar is_transient: whether the same call may succeed later.
    :ivar message: the service's own words.
    :ivar http_status: the HTTP status, or ``None`` if there was no answer.
    :ivar status: the canonical name of the error, such as ``"NOT_FOUND"``; empty if the answer has no status.
    :ivar details: ``error.details`` of the answer.
    :ivar retry_after: seconds that the service asked to wait (``Retry-After``), or ``None``.
    """

    is_transient = False

    def __init__(
        self,
        message: str = "",
        *,
        http_status: int | None = None,
        status: str = "",
        details: tuple[Any, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.http_status = http_status
        self.status = status
        self.details = details
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Return the HTTP status, the canonical name and the service's own words."""
        known = " ".join(str(part) for part in (self.http_status, self.status) if part)
        return f"{known}: {self.message}" if known else self.message

    def with_message(self, message: str) -> Self:
        """Return the same error with another message; its class and all of its attributes are kept."""
        error = type(self)(message)
        error.__dict__ |= {**self.__dict__, "message": message}
        return error


class TransportError(ApiError):
    """There was no complete answer.

    :ivar was_sent: whether the request may have reached the service. ``False`` only when no connection was made.
    """

    is_transient = True
    kind = FailureKind.OUTAGE

    def __init__(self, message: str = "", *, was_sent: bool = True, **known: Any) -> None:
        super().__init__(message, **known)
        self.was_sent = was_sent


class UnexpectedAnswerError(ApiError):
    """The service did not send this answer: it is not JSON, unrelated JSON, or a redirect."""

    is_transient = True
    kind = FailureKind.OUTAGE


class InvalidArgumentError(ApiError):
    """400, or a 4xx without a class of its own: the service rejects the request."""

    kind = FailureKind.REQUEST


class FailedPreconditionError(InvalidArgumentError):
    """FAILED_PRECONDITION: the request is valid, but the state or policy of the resource or the project forbids it."""

    kind = FailureKind.OTHER  # the state may pass: Google may be still creating a service agent of the project


class UnauthenticatedError(ApiError):
    """401, after the token was refreshed once."""

    kind = FailureKind.PERMISSION


class PermissionDeniedError(ApiError):
    """403: the caller lacks a permission, or an API is not enabled."""

    kind = FailureKind.PERMISSION


class NotFoundError(ApiError):
    """404: the resource does not exist."""

    kind = FailureKind.REQUEST


class AlreadyExistsError(ApiError):
    """409 for a call that creates a resource: the id is taken."""


class AbortedError(ApiError):
    """409 ABORTED: the request conflicted with another one."""

    is_transient = True
    kind = FailureKind.OUTAGE


class RateLimitedError(ApiError):
    """429 RESOURCE_EXHAUSTED: too many requests for a quota. The request was not carried out."""

    is_transient = True
    kind = FailureKind.QUOTA


class NoCapacityError(ApiError):
    """429 RESOURCE_EXHAUSTED: no machine, or no quota for one, is available. The request was not carried out."""

    kind = FailureKind.CAPACITY


class NotImplementedByServiceError(ApiError):
    """501 UNIMPLEMENTED: the service does not know the method."""


class UnavailableError(ApiError):
    """408, 499 and 5xx except 501: the service could not answer. It is unknown whether the request was carried out."""

    is_transient = True
    kind = FailureKind.OUTAGE


class LostAnswerError(NbjobsError):
    """A create was sent, its answer was lost, and it is unknown whether there is a job."""

    kind = FailureKind.OUTAGE


class RenderError(NbjobsError):
    """A notebook cannot be shown as HTML: it is not a notebook or too large, or the extra ``ui`` is not installed."""


class NotebookJobError(NbjobsError):
    """A job did not succeed.

    :ivar job_name: resource name of the job.
    :ivar state: the job's last known state, such as ``"JOB_STATE_FAILED"``.
    """

    def __init__(
        self, message: str = "", *, job_name: str = "", state: str = "", kind: FailureKind = FailureKind.OTHER
    ) -> None:
        super().__init__(message)
        self.job_name = job_name
        self.state = state
        self.kind = kind


class NotebookJobFailedError(NotebookJobError):
    """The job ended in a state other than SUCCEEDED.

    :ivar cell: number of the cell that raised, from 1 among the code cells; ``None`` if it is unknown.
    :ivar ename: class of the exception.
    :ivar evalue: message of the exception.
    """

    def __init__(
        self,
        message: str = "",
        *,
        job_name: str = "",
        state: str = "",
        kind: FailureKind = FailureKind.OTHER,
        cell: int | None = None,
        ename: str | None = None,
        evalue: str | None = None,
    ) -> None:
        super().__init__(message, job_name=job_name, state=state, kind=kind)
        self.cell = cell
        self.ename = ename
        self.evalue = evalue


class NotebookJobTimeoutError(NotebookJobError):
    """The job did not end in time."""


class NotebookJobGoneError(NotebookJobError):
    """The job was deleted while a task waited for it."""
