"""What a task needs to defer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.run.arguments import RunArguments
    from airflow_nbjobs.run.deadline import Deadline
    from airflow_nbjobs.run.note import JobNote

__all__ = ["DEFERRAL_MARGIN", "Deferral"]

DEFERRAL_MARGIN = timedelta(minutes=2)
"""
Airflow's deferral timeout comes so much after the trigger's own deadline. It is for a triggerer that is gone.
"""


@dataclass(frozen=True, kw_only=True)
class Deferral:
    """What a task needs to defer.

    :ivar trigger: arguments of the trigger, except those that say how to connect.
    :ivar timeout: Airflow's deferral timeout; ``None`` without a deadline.
    """

    trigger: dict[str, Any]
    timeout: timedelta | None

    @classmethod
    def of(
        cls, job: NotebookExecutionJob, note: JobNote | None, arguments: RunArguments, deadline: Deadline
    ) -> Deferral:
        """Return what is needed to wait for a job in the triggerer.

        :param note: the run's note of the job.
        """
        left = timedelta(seconds=max(0.0, deadline.seconds_left())) + DEFERRAL_MARGIN if deadline.at else None
        return cls(
            trigger={
                "job_name": job.name or "",
                "operation_name": note.operation_name if note else None,
                "created_at": job.create_time.isoformat() if job.create_time else None,
                "deadline": deadline.at.isoformat() if deadline.at else None,
                "kill": arguments.kill,
                "poll_interval": float(arguments.poll_interval),
            },
            timeout=left,
        )
