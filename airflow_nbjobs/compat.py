"""What older versions of Airflow and of its common-compat provider lack.

Each entry says which version makes it unnecessary: delete it when the floor in ``pyproject.toml`` reaches that version.
Airflow's own modules are imported when an entry is used, so that DAG files pay nothing for this module.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

__all__ = [
    "calls_on_kill",
    "determine_kwargs",
    "earlier_tries",
    "finding_connection",
    "get_async_connection",
    "get_async_extra_dejson",
    "retry_policy",
]


def determine_kwargs(function: Callable[..., Any], args: Collection[Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments among ``known`` that a function takes.

    Unnecessary with common-compat 1.15.0, whose ``sdk`` has it.

    :param function: what will be called.
    :param args: its positional arguments.
    :param known: values by name, such as Airflow's context.
    :raises ValueError: if a positional argument has a name that ``known`` has too.
    """
    try:
        from airflow.providers.common.compat.sdk import determine_kwargs as of_airflow
    except ImportError:
        from airflow.utils.operator_helpers import determine_kwargs as of_airflow
    return dict(of_airflow(function, args, known))


@contextmanager
def finding_connection(conn_id: str) -> Iterator[None]:
    """Raise ``AirflowNotFoundException`` for a connection that is missing, outside of a task too.

    Unnecessary with Airflow 3.1.1. Before it, a look-up outside of a task ends with an ``ImportError``.

    :param conn_id: id of the connection that the block looks up.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    try:
        yield
    except ImportError as error:
        if "SUPERVISOR_COMMS" not in str(error):
            raise
        raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined") from error


async def get_async_connection(conn_id: str) -> Connection:
    """Look a connection up without blocking the event loop.

    Unnecessary with common-compat 1.23.0. Before Airflow 3.3.2 ``aget_connection`` masks the secrets of the connection
    with a blocking call, which fails while another call to Airflow is under way on the same loop.

    :param conn_id: id of the connection.
    :raises AirflowNotFoundException: if there is no such connection.
    """
    from airflow.providers.common.compat.sdk import BaseHook
    from asgiref.sync import sync_to_async

    if _masks_asynchronously():
        return await BaseHook.aget_connection(conn_id)
    with finding_connection(conn_id):
        connection: Connection = await sync_to_async(BaseHook.get_connection)(conn_id)
    return connection


async def get_async_extra_dejson(connection: Connection) -> dict[str, Any]:
    """Return the extras of a connection, their secrets masked in logs, without blocking the event loop.

    Unnecessary with common-compat 1.21.0, whose ``connection`` module has it.

    :param connection: as :func:`get_async_connection` returns it.
    """
    from asgiref.sync import sync_to_async

    if _masks_asynchronously():
        return dict(await connection.aextra_dejson())
    return dict(await sync_to_async(lambda: connection.extra_dejson)())


def _masks_asynchronously() -> bool:
    from airflow.providers.common.compat.sdk import Connection

    return hasattr(Connection, "aextra_dejson")  # of Airflow 3.3.2


def calls_on_kill() -> bool:
    """Tell whether Airflow calls ``on_kill`` of a trigger when a person ends the deferred task.

    Unnecessary with Airflow 3.3. Earlier versions cancel such a trigger like any other.
    """
    from airflow.triggers.base import BaseTrigger

    return hasattr(BaseTrigger, "on_kill")


def retry_policy(task: Any) -> Any:
    """Return the retry policy of a task, or ``None``.

    Unnecessary with Airflow 3.3, whose operators have the attribute.

    :param task: the operator.
    """
    return getattr(task, "retry_policy", None)


def earlier_tries(session: Any, ti: Any) -> list[tuple[int, str | None]]:
    """Return number and state of the earlier tries of a task instance, the oldest first.

    Airflow 3.4 keeps them as rows of the same table; before it, they are in a table of their own.

    :param session: of Airflow's database.
    :param ti: the row of the current try.
    """
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    try:
        from airflow.models.taskinstancehistory import TaskInstanceHistory
    except ImportError:
        earlier: Any = TaskInstance
    else:
        earlier = TaskInstanceHistory
    query = select(earlier.try_number, earlier.state).where(
        earlier.dag_id == ti.dag_id,
        earlier.run_id == ti.run_id,
        earlier.task_id == ti.task_id,
        earlier.map_index == ti.map_index,
        earlier.try_number < ti.try_number,
    )
    found = session.execute(query.execution_options(include_all_attempts=True)).all()
    return sorted({row.try_number: row.state for row in found}.items())
