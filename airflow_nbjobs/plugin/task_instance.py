"""What Airflow's database says about a task instance: its tries, the note of its job, its rendered fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from airflow_nbjobs import settings
from airflow_nbjobs.links import LINKS
from airflow_nbjobs.plugin.regions import earlier_tries, identity_in_loops, region_of, within_region, xcom_region
from airflow_nbjobs.run.identity import TaskIdentity
from airflow_nbjobs.run.note import JOB_XCOM, JobNote

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["Place", "TaskRecord", "Try", "read_task"]

_UNMAPPED = "{MAP_INDEX}"
"""What Airflow's UI leaves in the address of a task that is not mapped."""


@dataclass(frozen=True)
class Place:
    """Which task instance a request is about.

    :ivar map_index: -1 for a task that is not mapped.
    :ivar region: of a mapped task or a task in a loop, Airflow's id of the expansion or the pass, and the index in it.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    region: tuple[UUID, int] | None = None

    @classmethod
    def parse(
        cls, dag_id: str, run_id: str, task_id: str, map_index: str, region: tuple[UUID, int] | None = None
    ) -> Place | None:
        """Read the parts of an address; ``None`` if the map index is not valid.

        :param region: as Airflow 3.4 names it.
        """
        if map_index == _UNMAPPED:
            return cls(dag_id, run_id, task_id, -1, region)
        digits = map_index.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
            return None
        return cls(dag_id, run_id, task_id, int(map_index), region)


@dataclass(frozen=True)
class Try:
    """One try of a task instance.

    :ivar number: from 1; 0 before the task has started.
    :ivar state: Airflow's; ``None`` before it is scheduled.
    """

    number: int
    state: str | None


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """A task instance as Airflow's database has it.

    :ivar map_index: -1 for a task that is not mapped.
    :ivar iteration: the iteration of the loop that the task is in; ``None`` outside of loops.
    :ivar operator: name of the operator, as Airflow's UI shows it.
    :ivar tries: the oldest first, the current one last.
    :ivar is_waiting: whether the current try waits for its start. XComs are those of the try before then.
    :ivar note: the note of the current try's job. Who may write XComs can forge it.
    :ivar results: the results that the current try has returned. They may be forged too.
    :ivar links: addresses that the current try has pushed, by the names of their links. They may be forged too.
    :ivar fields: the rendered fields; empty when Airflow has removed them.
    """

    place: Place
    map_index: int
    iteration: str | None
    operator: str
    tries: tuple[Try, ...]
    is_waiting: bool
    note: JobNote | None
    results: Any
    links: Mapping[str, str]
    fields: Mapping[str, Any]

    @property
    def current(self) -> Try:
        """The current try."""
        return self.tries[-1]

    @property
    def key(self) -> str:
        """What the display names of this task instance's jobs end in."""
        return TaskIdentity(
            deployment=settings.deployment(),
            dag_id=self.place.dag_id,
            run_id=self.place.run_id,
            task_id=self.place.task_id,
            map_index=self.map_index,
            iteration=self.iteration,
            try_number=self.current.number,
            first_try=1,
            run_started=None,
            is_certain=settings.is_deployment_certain(),
        ).key

    def text_field(self, name: str) -> str | None:
        """Return a rendered field if it is a text that is not empty."""
        value = self.fields.get(name)
        return value if isinstance(value, str) and value else None


def read_task(place: Place) -> TaskRecord | None:
    """Return a task instance; ``None`` if it does not exist."""
    with create_session(scoped=False) as session:
        ti = session.scalar(
            select(TaskInstance)
            .where(
                TaskInstance.dag_id == place.dag_id,
                TaskInstance.run_id == place.run_id,
                TaskInstance.task_id == place.task_id,
                *within_region(TaskInstance, place.map_index, place.region),
            )
            .options(joinedload(TaskInstance.rendered_task_instance_fields))
        )
        if ti is None:
            return None
        try:
            map_index, iteration = identity_in_loops(session, ti)
        except ValueError:
            return None
        rendered = ti.rendered_task_instance_fields
        xcoms = _xcoms(session, ti)
        returned = xcoms.get("return_value")
        return TaskRecord(
            place=place,
            map_index=map_index,
            iteration=iteration,
            operator=ti.operator_name or "",
            tries=(
                *(Try(number, _text(state)) for number, state in earlier_tries(session, ti)),
                Try(ti.try_number, _text(ti.state)),
            ),
            # Airflow deletes the XComs of the try before when a try starts, but not when it resumes.
            is_waiting=_text(ti.state) in ("scheduled", "queued") and ti.next_method is None,
            note=JobNote.from_payload(xcoms.get(JOB_XCOM)),
            results=returned.get("results") if isinstance(returned, Mapping) else None,
            links={link.name: url for link in LINKS if isinstance(url := xcoms.get(link.xcom_key), str)},
            fields=dict(rendered.rendered_fields or {}) if rendered is not None else {},
        )


def _xcoms(session: Session, ti: TaskInstance) -> dict[str, Any]:
    """Return the XComs that the tab needs, by key, as they are stored.

    Objects in them are not made: their classes would be imported here.
    """
    query = XComModel.get_many(
        run_id=ti.run_id, dag_ids=ti.dag_id, task_ids=ti.task_id, **xcom_region(ti.map_index, region_of(ti))
    ).where(XComModel.key.in_([JOB_XCOM, "return_value", *(link.xcom_key for link in LINKS)]))
    found: Any = session.scalars(query)
    return {each.key: _parsed(each.value) for each in found}


def _parsed(value: Any) -> Any:
    if isinstance(value, str):  # as a person wrote it in the UI; what tasks push is JSON already
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _text(state: object) -> str | None:
    return None if state is None else str(getattr(state, "value", state))
