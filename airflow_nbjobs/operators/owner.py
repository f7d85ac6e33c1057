"""An operator that owns a remote job: it waits for it, is resumed for it, and ends it when nobody wants it any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import conf

from airflow_nbjobs.links import publish
from airflow_nbjobs.operators.operator import NotebookJobOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.api.ending import KillPolicy
    from airflow_nbjobs.api.job import NotebookExecutionJob, Operation
    from airflow_nbjobs.exceptions import NotebookJobTimeoutError

__all__ = ["NotebookJobOwner"]

# The trigger looks at its own deadline; Airflow's deferral timeout is the net below it, for a triggerer that is gone.
_NET = timedelta(minutes=2)


class NotebookJobOwner(NotebookJobOperator):
    """Waiting for a job and ending it.

    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: seconds between two looks at the job. Default 30; a run takes minutes to begin.
    :param kill: what becomes of the job when its task is killed or runs out of time. Default ``"cancel"``: its create
        operation is cancelled, and the job deleted if that does not end it. ``"delete"`` deletes it, ``"leave"`` lets
        it run.
    """

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 30,
        kill: KillPolicy = "cancel",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.kill = kill
        self._owned: tuple[str, str | None] | None = None
        self._is_killed = False

    def check_waiting(self) -> None:
        """Check the arguments that nothing looks at until it is too late.

        :raises InvalidNotebookJobError: naming the argument, its value and the remedy.
        """
        from airflow_nbjobs.api.ending import check_kill_policy
        from airflow_nbjobs.api.pacing import positive_seconds

        check_kill_policy(self.kill)
        positive_seconds("poll_interval", self.poll_interval)

    def own(self, request: NotebookExecutionJob, operation: Operation, context: Context) -> NotebookExecutionJob:
        """Publish the name and the links of a job that was just submitted, and return the job as the service has it."""
        from airflow_nbjobs.api.names import job_of_operation
        from airflow_nbjobs.api.waiting import first_look
        from airflow_nbjobs.deferral import JOB_XCOM, VERSION
        from airflow_nbjobs.settle import describe

        name = job_of_operation(operation.name)
        self._owned = (str(name), operation.name)
        if self._is_killed:  # while the answer was on its way
            self.on_kill()
        submitted = replace(request, name=str(name))
        kept = {"v": VERSION, "name": str(name), "operation": operation.name}
        context["ti"].xcom_push(key=JOB_XCOM, value=kept)
        publish(context["ti"], submitted, self.project_id or self.hook.project_id)
        self.log.info("%s was submitted: %s", describe(submitted), name)
        return self.hook.follow(name.location, first_look(str(name)))

    def wait(self, job: NotebookExecutionJob, context: Context) -> dict[str, Any]:
        """Wait for the job, here or in the triggerer, and settle it."""
        from airflow_nbjobs.api.names import JobName
        from airflow_nbjobs.api.pacing import ENDURING
        from airflow_nbjobs.api.waiting import wait_for_job
        from airflow_nbjobs.settle import settle

        if self.deferrable and not job.job_state.is_terminal:
            self._defer(job, context)
        waiting = wait_for_job(job, float(self.poll_interval), changed=self._log_change)
        return settle(self.hook.follow(JobName.parse(job.name).location, waiting, ENDURING))

    def _log_change(self, job: NotebookExecutionJob) -> None:
        from airflow_nbjobs.settle import describe

        self.log.info("%s is %s.", describe(job), job.job_state.word)

    def _defer(self, job: NotebookExecutionJob, context: Context) -> NoReturn:
        from airflow_nbjobs.triggers import NotebookExecutionJobTrigger

        deadline = self._deadline(context)
        operation = self._owned[1] if self._owned else None
        trigger = NotebookExecutionJobTrigger(
            job_name=job.name or "",
            operation_name=operation,
            created_at=job.create_time.isoformat() if job.create_time else None,
            deadline=deadline.isoformat() if deadline else None,
            kill=self.kill,
            gcp_conn_id=self.gcp_conn_id,
            impersonation_chain=self.impersonation_chain,
            poll_interval=float(self.poll_interval),
        )
        net = None if deadline is None else max(deadline - datetime.now(deadline.tzinfo), timedelta(0)) + _NET
        self.defer(trigger=trigger, method_name="execute_complete", timeout=net)

    def _deadline(self, context: Context) -> datetime | None:
        """Return when ``execution_timeout`` is over: Airflow itself does not bound a deferral by it."""
        if self.execution_timeout is None:
            return None
        return context["ti"].start_date + self.execution_timeout

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Resume: look at the job, whatever the event says of it, and settle or wait on."""
        from airflow_nbjobs.deferral import Event, check_agreement
        from airflow_nbjobs.exceptions import NotebookJobGoneError, NotFoundError

        told = Event.from_payload(event, self.location)
        self._owned = (told.job_name, told.operation_name)
        try:
            job = self.hook.get_job(told.job_name)
        except NotFoundError as error:
            raise NotebookJobGoneError(
                f"The notebook job {told.job_name} is not there any more: was it deleted? {error}",
                job_name=told.job_name,
            ) from error
        if told.outcome == "timeout" and not job.job_state.is_terminal:
            raise self._timed_out(job)
        check_agreement(told, job)
        return self.wait(job, context)

    def _timed_out(self, job: NotebookExecutionJob) -> NotebookJobTimeoutError:
        from airflow_nbjobs.exceptions import NotebookJobTimeoutError
        from airflow_nbjobs.settle import describe

        return NotebookJobTimeoutError(
            f"{describe(job)} was still {job.job_state.word} when execution_timeout={self.execution_timeout} was over; "
            f"it {self._end(patiently=True)}. The job: {job.name}",
            job_name=job.name or "",
            state=job.job_state.value,
        )

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume, and end the job first where Airflow's own deferral timeout resumes the task to fail it."""
        # Airflow calls no on_kill on this way out; "__fail__" is also how it reports a trigger that failed, and then
        # the job goes on. Seen in 3.1.8 and 3.3.2, `BaseOperator.resume_execution`.
        if next_method == "__fail__" and (next_kwargs or {}).get("error") == "Trigger timeout":
            self._owned = self._published(context)
            self.log.error("The deferral timed out; the remote job %s.", self._end(patiently=True))
        return super().resume_execution(next_method, next_kwargs, context)

    def _published(self, context: Context) -> tuple[str, str | None] | None:
        from airflow_nbjobs.deferral import JOB_XCOM

        ti = context["ti"]
        kept = ti.xcom_pull(key=JOB_XCOM, task_ids=ti.task_id, map_indexes=ti.map_index)
        return (kept["name"], kept.get("operation")) if isinstance(kept, dict) and kept.get("name") else None

    def on_kill(self) -> None:
        """End the job by the kill policy; Airflow kills the process five seconds later."""
        self._is_killed = True
        if self._owned is not None:
            self.log.info("The task is killed: the remote job %s %s.", self._owned[0], self._end())

    def _end(self, *, patiently: bool = False) -> str:
        """End the owned job, and return what became of it, as the rest of a sentence."""
        from airflow_nbjobs.api.ending import check_kill_policy, end_job
        from airflow_nbjobs.api.names import JobName
        from airflow_nbjobs.api.pacing import BRISK, PATIENT
        from airflow_nbjobs.exceptions import NbjobsError

        if self._owned is None:
            return "is not known, and may still run"
        name, operation = self._owned
        try:
            # Its own client: a signal can arrive in the middle of any request of the other one, which holds its locks.
            with self.hook.new_client(JobName.parse(name).location) as client:
                ending = end_job(name, operation, check_kill_policy(self.kill))
                return client.follow(ending, PATIENT if patiently else BRISK)
        except NbjobsError as error:
            return f"could not be ended and may still run ({error})"
