"""What older versions of Airflow and of its common-compat provider lack.

Each entry says which version makes it unnecessary: delete it when the floor in ``pyproject.toml`` reaches that version.
Airflow's own modules are imported when an entry is used, so that DAG files pay nothing for this module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

__all__ = [
    "calls_on_kill",
    "decide_to_run_again",
    "determine_kwargs",
    "finding_connection",
    "get_async_connection",
    "get_async_extra_dejson",
    "has_ended_iteration",
    "is_about_finished_try",
    "is_rescheduled_by",
    "loop_iteration",
    "retry_policy",
    "stats",
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
    """Return whether Airflow calls ``on_kill`` of a trigger when a person ends the deferred task.

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


def loop_iteration(context: Any) -> str | None:
    """Return what distinguishes the iterations of a looped task; ``None`` outside of loops.

    Unnecessary with Airflow 3.4, whose task groups can loop. The number of the iteration is not enough: if a clear
    replaces later iterations, the new ones have the same numbers and begin with try 1 again, in another region. The
    region is not enough either: a task has the same one in several iterations, and mapped tasks have one too.

    :param context: Airflow's context of the task.
    """
    loop = context.get("loop")
    return None if loop is None else f"{context['ti'].region_id}/{loop.index}"


def is_about_finished_try(error: Exception) -> bool:
    """Return whether Airflow refused to show a trigger an XCom because the trigger's try was cleared or retried.

    Unnecessary with Airflow 3.4. Before it, XComs belong to the task instance and not to its try, and are shown.

    :param error: of the look at the XCom.
    """
    detail = getattr(getattr(error, "error", None), "detail", None)
    return isinstance(detail, dict) and detail.get("status_code") == 403


def has_ended_iteration(context: Any) -> bool:
    """Return whether the task is in a loop and this iteration of it has ended; it blocks until the supervisor answers.

    Unnecessary with Airflow 3.4. Asked for the state of a looped task, it gives the state of the latest iteration.

    :param context: Airflow's context of the task.
    """
    if context.get("loop") is None:
        return False
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    ti = context["ti"]
    own = (ti.task_id, str(ti.region_id), ti.region_index)
    ended = RuntimeTaskInstance.get_task_breadcrumbs(dag_id=ti.dag_id, run_id=ti.run_id)
    return any((each["task_id"], str(each.get("region_id")), each.get("region_index")) == own for each in ended)


def is_rescheduled_by(decision: Any, context: Any) -> bool:
    """Return whether Airflow runs a failed task again without using a retry.

    Unnecessary with Airflow 3.4, whose retry policies can decide so, within bounds.

    :param decision: what the task's retry policy decided.
    :param context: Airflow's context of the task.
    """
    if decision.action.value != "reschedule":
        return False
    if decision.max_reschedules is not None and (context.get("task_reschedule_count") or 0) >= decision.max_reschedules:
        return False
    if decision.reschedule_timeout is None:
        return True
    first = context["ti"].get_first_reschedule_date(context)
    return first is None or datetime.now(UTC) - first < decision.reschedule_timeout


def decide_to_run_again(delay: timedelta, *, within: timedelta, reason: str) -> Any:
    """Return the decision of a retry policy to run a task again: without using a retry, where Airflow can.

    Unnecessary with Airflow 3.4. Airflow 3.3 uses a retry.

    :param delay: before the task runs again.
    :param within: how long after the first of these runs retries are used.
    :param reason: what people read in the task's log.
    """
    from airflow.sdk.definitions.retry_policy import RetryDecision

    decision: Any = RetryDecision
    if hasattr(decision, "reschedule"):
        return decision.reschedule(delay, reschedule_timeout=within, reason=reason)
    return decision.retry(delay, reason)


@cache
def stats() -> Any:
    """Return what sends metrics; it has ``incr``, ``gauge`` and ``timing``.

    From Airflow 3.2, the task SDK has its own ``stats`` module. Airflow sets it up in the processes of tasks, and
    not always in a triggerer: then it is set up here. Before 3.3, it contains a class; before 3.2, there is one class.
    """
    try:
        from airflow.sdk.observability import stats as of_sdk
        from airflow.sdk.observability.metrics import stats_utils
    except ImportError:
        from airflow.stats import Stats

        return Stats
    from airflow.providers.common.compat.sdk import conf

    module: Any = of_sdk
    factory: Any = stats_utils.get_stats_factory
    if not hasattr(module, "incr"):
        if module.Stats.factory is None:
            module.Stats.initialize(factory=factory(module.Stats))
        return module.Stats
    # Airflow has no public name for it. Set up twice, OpenTelemetry would have two senders.
    if getattr(sys.modules[module.incr.__module__], "_factory", None) is None:
        names = conf.getboolean("metrics", "legacy_names_on", fallback=True)
        module.initialize(factory=factory(), export_legacy_names=names)
    return module
