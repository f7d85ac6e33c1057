"""The Airflow task around a run: who asks, whether a retry follows.

The only module here that imports Airflow, and it does so when a task runs: a run outside of a task needs no Airflow.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_nbjobs import metrics, settings
from airflow_nbjobs.compat import has_ended_iteration, is_rescheduled_by, loop_iteration, retry_policy
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NbjobsError
from airflow_nbjobs.run.identity import TaskIdentity
from airflow_nbjobs.run.note import JOB_XCOM, JobNote

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.metrics import JobMetric
    from airflow_nbjobs.run.result import Executed

__all__ = ["COMMAND_LINE", "NoRetry", "TaskContext", "task_state"]

COMMAND_LINE = "nbjobs run"
"""The name in place of a deployment's for jobs of the command line."""


class NoRetry(Enum):
    """Why Airflow does not retry a failure; the values are clauses."""

    USED_UP = "no retry is left"
    FINAL = "the failure is final"
    POLICY = "the task's retry policy allows no retry"


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What a run needs to know about its task.

    :ivar identity: the task instance and its try.
    :ivar folders: folders that a local notebook may be in: the DAG file's and the bundle's.
    :ivar started_at: when the try started.
    :ivar airflow: Airflow's context; ``None`` outside of Airflow. Then there are no XComs and no retries.
    """

    identity: TaskIdentity
    folders: tuple[Path, ...]
    started_at: datetime
    airflow: Context | None = None

    @classmethod
    def of(cls, context: Context) -> TaskContext:
        """Return what a run needs of Airflow's context."""
        identity = _identity(context)
        # `airflow tasks test` runs a try again that is over. It adopts nothing.
        if os.environ.get("AIRFLOW_TEST_MODE") == "True":
            identity = replace(identity, is_adopting=False, instance=None)
        return cls(
            identity=identity,
            folders=_folders(context),
            started_at=context["ti"].start_date or datetime.now(UTC),
            airflow=context,
        )

    @classmethod
    def alone(cls, folder: Path) -> TaskContext:
        """Return the context of a run outside of Airflow, which shares its jobs with no other run.

        :param folder: the folder of the notebook.
        """
        now = datetime.now(UTC)
        identity = TaskIdentity(
            deployment=COMMAND_LINE,
            dag_id="nbjobs",
            run_id=f"{now.isoformat()}-{uuid.uuid4().hex}",
            task_id="run",
            map_index=-1,
            try_number=1,
            first_try=1,
            run_started=now,
            is_certain=True,
        )
        return cls(identity=identity, folders=(folder,), started_at=now)

    def read_note(self, log: Any) -> JobNote | None:
        """Return the note of this task instance; ``None`` if it has no note, or it cannot be read."""
        if self.airflow is None:
            return None
        ti = self.airflow["ti"]
        try:
            return JobNote.from_payload(ti.xcom_pull(key=JOB_XCOM, task_ids=ti.task_id, map_indexes=ti.map_index))
        except Exception as error:  # noqa: BLE001 - for any error of Airflow, the job must be dealt with
            log.warning("Failed to read the task's note of its job: %s", error)
            return None

    def remember_links(self, job: NotebookExecutionJob, project: str) -> None:
        """Let Airflow write the links of a job again at the end of a resumed task."""
        if self.airflow is not None:
            from airflow_nbjobs import links

            links.publish(self.airflow["ti"], job, project, push=False)

    def publish(self, note: JobNote | None, job: NotebookExecutionJob, project: str) -> None:
        """Push the note and the links of a job.

        :param project: project of the links to Google's console.
        """
        if self.airflow is not None and note is not None:
            from airflow_nbjobs import links

            self.airflow["ti"].xcom_push(key=JOB_XCOM, value=note.to_payload())
            links.publish(self.airflow["ti"], job, project)

    def publish_executed(self, job: NotebookExecutionJob, project: str, uri: str) -> None:
        """Push the link to the executed notebook again if it was found under another URI than expected."""
        if self.airflow is not None:
            from airflow_nbjobs import links

            links.publish_executed(self.airflow["ti"], job, project, uri)

    def publish_outlets(self, result: Mapping[str, Any], executed: Executed | None, log: Any) -> None:
        """Let the task's asset events carry its result.

        :param executed: the executed notebook; ``None`` if the job was not waited for.
        """
        if self.airflow is None:
            return
        from airflow_nbjobs import outlets

        if executed is None:
            outlets.publish_outlets(self.airflow, result, log)
        else:
            has_executed = not executed.is_missing
            outlets.publish_outlets(
                self.airflow, result, log, generation=executed.generation, has_executed=has_executed
            )

    def count(self, metric: JobMetric, jobs: int = 1) -> None:
        """Count what happened to jobs of the task, in Airflow's metrics."""
        if self.airflow is not None:
            metrics.count_job(metric, self._tags, jobs)

    def record_end(self, job: NotebookExecutionJob, running_since: datetime | None) -> None:
        """Count a job of the task that has ended, and send its times, in Airflow's metrics.

        :param running_since: when it was RUNNING first, if that was seen.
        """
        if self.airflow is not None:
            metrics.record_end(job, running_since, self._tags)

    @property
    def _tags(self) -> dict[str, str]:
        return {"dag_id": self.identity.dag_id, "task_id": self.identity.task_id}

    def has_retry(self) -> bool:
        """Return whether Airflow has a retry left for the task."""
        return self.airflow is not None and self.airflow["ti"].try_number <= self.airflow["ti"].max_tries

    def why_no_retry(self, error: Exception) -> NoRetry | None:
        """Return why Airflow does not run the task again after an error; ``None`` if it does."""
        if self.airflow is None:
            return NoRetry.USED_UP
        from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

        is_wrong = isinstance(error, InvalidNotebookJobError) and error.is_final
        is_final = is_wrong or isinstance(error, AirflowFailException | AirflowSkipException)
        decision = None if is_final else _ask_retry_policy(error, self.airflow)
        if decision is not None and is_rescheduled_by(decision, self.airflow):
            return None
        if not self.has_retry():
            return NoRetry.USED_UP
        if is_final:
            return NoRetry.FINAL
        return NoRetry.POLICY if decision is not None and decision.action.value == "fail" else None

    def state(self) -> str | None:
        """Return the task's state in Airflow's database; ``None`` if it has none, as for a loop's ended iteration.

        It blocks until the supervisor answers.
        """
        if self.airflow is None:
            return None
        state = task_state(self.airflow["ti"])
        return None if has_ended_iteration(self.airflow) else state

    def is_timing_out(self) -> bool:
        """Return whether ``execution_timeout`` is being handled: Airflow calls ``on_kill`` for it too."""
        if self.airflow is None:
            return False
        from airflow.providers.common.compat.sdk import AirflowTaskTimeout

        return isinstance(sys.exception(), AirflowTaskTimeout)

    @staticmethod
    def final(message: str) -> Exception:
        """Return the exception that fails the task without a retry."""
        from airflow.providers.common.compat.sdk import AirflowFailException

        return AirflowFailException(message)


def task_state(ti: Any) -> str | None:
    """Return the state of a task instance in Airflow's database; it blocks until the supervisor answers.

    In a loop, it is the state of the latest iteration.
    """
    # Airflow has no public name for it.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    key = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
    state = (states.get(ti.run_id) or {}).get(key)
    return None if state is None else str(state)


def _ask_retry_policy(error: Exception, context: Context) -> Any:
    """Return the decision of the task's retry policy; ``None`` if the task has no policy, or it raises."""
    policy, ti = retry_policy(context["task"]), context["ti"]
    if policy is None:
        return None
    try:
        with _as_raised_to_airflow(error):
            return policy.evaluate(exception=error, try_number=ti.try_number, max_tries=ti.max_tries, context=context)
    except Exception:  # noqa: BLE001 - it is the user's code; Airflow then goes by the number of retries
        return None


@contextmanager
def _as_raised_to_airflow(error: Exception) -> Iterator[None]:
    """Take the causes off an expected error for a while, as the operator does before Airflow sees it."""
    from airflow.providers.common.compat.sdk import AirflowException

    causes = error.__cause__, error.__context__
    if isinstance(error, NbjobsError | AirflowException):
        error.__cause__ = error.__context__ = None
    try:
        yield
    finally:
        error.__cause__, error.__context__ = causes


def _identity(context: Context) -> TaskIdentity:
    ti = context["ti"]
    return TaskIdentity(
        deployment=settings.deployment(),
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
        # Airflow's own formula: a clear sets max_tries to the number of the new try plus the retries.
        first_try=max(1, min(ti.max_tries - (context["task"].retries or 0) + 1, ti.try_number)),
        run_started=getattr(context.get("dag_run"), "start_date", None),
        is_certain=settings.is_deployment_certain(),
        instance=None if getattr(ti, "id", None) is None else str(ti.id),
        iteration=loop_iteration(context),
        is_rescheduled=bool(context.get("task_reschedule_count")),
    )


def _folders(context: Context) -> tuple[Path, ...]:
    folders = []
    if file := context["dag"].fileloc:
        folders.append(Path(file).parent)
    bundle = getattr(context["ti"], "bundle_instance", None)
    if bundle is not None:
        folders.append(Path(bundle.path))
    return tuple(folders)
