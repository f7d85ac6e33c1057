"""Why the tab has nothing to show: one sentence about what happened, and one about what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException

from airflow_nbjobs.exceptions import (
    ApiError,
    CredentialsError,
    InvalidNotebookJobError,
    PermissionDeniedError,
    UnauthenticatedError,
)

__all__ = ["Unavailable", "explaining"]


class Unavailable(Exception):  # noqa: N818 - it is an answer
    """There is nothing to show.

    :ivar code: for programs, such as ``no_job``.
    :ivar may_change: whether it is worth to look again soon.
    """

    def __init__(self, code: str, message: str, *, may_change: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.may_change = may_change


@contextmanager
def explaining(what: str, connection: str, role: str) -> Iterator[None]:
    """Turn errors of the connection and of the services into sentences of the tab.

    :param what: what is read, as a part of a sentence.
    :param connection: id of the connection.
    :param role: the role that allows it.
    :raises Unavailable: for every expected error.
    """
    try:
        yield
    except AirflowNotFoundException as error:
        raise Unavailable(
            "no_connection",
            f"The connection {connection!r}, with which this page reads {what}, does not exist. Create it, or set "
            "[nbjobs] ui_gcp_conn_id of the API server to another connection.",
        ) from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise Unavailable(
            "no_permission",
            f"The connection {connection!r} may not read {what}. Grant its account {role}, or set [nbjobs] "
            "ui_gcp_conn_id of the API server to a connection that may.",
        ) from error
    except CredentialsError as error:
        raise Unavailable(
            "no_credentials",
            f"The connection {connection!r}, with which this page reads {what}, has no valid credentials. Correct the "
            "connection.",
            may_change=error.is_transient,
        ) from error
    except ApiError as error:
        raise Unavailable(
            "no_answer", f"Google Cloud did not answer when this page read {what}. Try again.", may_change=True
        ) from error
    except (InvalidNotebookJobError, AirflowException) as error:
        raise Unavailable("invalid", f"This page cannot read {what}: {error}") from error
