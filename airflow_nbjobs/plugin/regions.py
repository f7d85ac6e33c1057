"""Which rows of Airflow's database belong to a task instance: Airflow 3.4 has other ones than the versions before.

All of this is unnecessary with Airflow 3.4. Its mapped tasks and tasks in loops have a region and an index in it, which
its UI names in its addresses. Before it, the map index is enough.
"""

from __future__ import annotations

from typing import Any

__all__ = ["earlier_tries", "has_regions", "identity_in_loops", "region_of", "within_region", "xcom_region"]


def has_regions() -> bool:
    """Return whether Airflow distinguishes task instances by regions."""
    from airflow.models.taskinstance import TaskInstance

    return hasattr(TaskInstance, "region_id")


def region_of(ti: Any) -> tuple[Any, int] | None:
    """Return the region of a task instance, and its index there; ``None`` outside of loops.

    :param ti: the row.
    """
    return (ti.region_id, ti.region_index) if has_regions() and ti.region_id.int else None


def within_region(table: Any, map_index: int, region: tuple[Any, int] | None) -> list[Any]:
    """Return the conditions that a row of a task instance meets besides its DAG, run and task.

    Without a region, the row is outside of loops.

    :param table: the class of the rows.
    :param region: id and index.
    """
    if region is not None:
        return [table.region_id == region[0], table.region_index == region[1]]
    if not has_regions():
        return [table.map_index == map_index]
    from airflow.models.dynamic_region import public_region_filter

    return [table.map_index == map_index, public_region_filter(table)]


def identity_in_loops(session: Any, ti: Any) -> tuple[int, str | None]:
    """Return the map index of a task instance and its iteration, as its task has them.

    A row has one index, which is that of the mapping or that of the loop. The iteration is what
    :func:`~airflow_nbjobs.compat.loop_iteration` returns.

    :param session: of Airflow's database.
    :param ti: the row.
    :raises ValueError: if the DAG's version, which says what is in a loop, was deleted.
    """
    if region_of(ti) is None:
        return ti.map_index, None
    from airflow.models.dagbag import DBDagBag
    from airflow.models.task_coordinates import TaskCoordinateResolver, get_public_map_index, is_plain_expansion

    if is_plain_expansion(ti, session=session):
        return ti.map_index, None
    loop = TaskCoordinateResolver(DBDagBag(load_op_links=False), session).loop_context(ti)
    return get_public_map_index(ti, session=session), None if loop is None else f"{ti.region_id}/{loop[1]}"


def earlier_tries(session: Any, ti: Any) -> list[tuple[int, str | None]]:
    """Return number and state of the earlier tries of a task instance, the oldest first.

    Airflow 3.4 keeps them as rows of the same table, older versions in a separate table.

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
        earlier.try_number < ti.try_number,
        *within_region(earlier, ti.map_index, region_of(ti)),
    )
    found = session.execute(query.execution_options(include_all_attempts=True)).all()
    return sorted({row.try_number: row.state for row in found}.items())


def xcom_region(map_index: int, region: tuple[Any, int] | None) -> dict[str, Any]:
    """Return the arguments of ``XComModel.get_many`` for the XComs of a task instance.

    :param region: what :func:`region_of` returns.
    """
    return {"map_indexes": map_index} if region is None else {"map_indexes": region[1], "region_id": region[0]}
