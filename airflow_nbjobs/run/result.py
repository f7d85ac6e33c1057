"""The executed notebook of a job that has ended: found, read, logged, and turned into a result or an error.

This happens on the worker, in every way to wait: synchronous, deferred, resumed, sensor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_nbjobs import settings
from airflow_nbjobs.api.capacity import is_capacity
from airflow_nbjobs.api.job import JobState
from airflow_nbjobs.console_urls import emulator_url, executions_url, logs_url
from airflow_nbjobs.durations import in_words
from airflow_nbjobs.exceptions import (
    ApiError,
    CredentialsError,
    FailureKind,
    InvalidNotebookJobError,
    NotebookJobError,
    NotebookJobFailedError,
    NotFoundError,
)
from airflow_nbjobs.hints import hint_for
from airflow_nbjobs.lineage import report_read
from airflow_nbjobs.notebooks import storage
from airflow_nbjobs.run.summary import describe, duration_of, reason, result

if TYPE_CHECKING:
    from airflow_nbjobs.api.client import Client
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.notebooks.outcome import Outcome
    from airflow_nbjobs.run.html_page import PageWriter
    from airflow_nbjobs.service import JobService

__all__ = ["Executed", "ResultReader"]

_GRACE = (0.5, 1.5)
"""Seconds before each further look for an executed notebook whose absence has consequences."""

# Of google.rpc.Code: PERMISSION_DENIED and UNAVAILABLE.
_BY_CODE = {7: FailureKind.PERMISSION, 14: FailureKind.OUTAGE}

# What reads notebooks is imported when one is read: a task without results never loads it.


@dataclass(frozen=True, kw_only=True)
class Executed:
    """The executed notebook of a job.

    :ivar uri: ``gs://`` URI; ``None`` if it was not found.
    :ivar generation: the generation of the object that was read; ``None`` if it was not read.
    :ivar outcome: its content as far as it is needed; ``None`` if it was not read.
    :ivar problem: why it was not read.
    :ivar is_missing: whether it was looked for and does not exist, which means that no cell ran.
    :ivar kind: what kind of failure the problem is.
    """

    uri: str | None = None
    generation: str | None = None
    outcome: Outcome | None = None
    problem: str | None = None
    is_missing: bool = False
    kind: FailureKind = FailureKind.OTHER


@dataclass(frozen=True, kw_only=True)
class ResultReader:
    """Reads executed notebooks for one task.

    :ivar hook: the connection.
    :ivar log: the task's logger.
    :ivar log_output: which outputs are logged: ``errors``, ``all`` or ``none``.
    :ivar unusable_results: ``fail`` or ``omit`` results that cannot be read.
    :ivar has_results: whether the results are wanted at all (``do_xcom_push``).
    :ivar pages: writes the executed notebook as HTML too; ``None`` if that is not wanted.
    :ivar sleep: waits between two looks; seconds.
    """

    hook: JobService
    log: Any
    log_output: str
    unusable_results: str
    has_results: bool
    pages: PageWriter | None = None
    sleep: Callable[[float], None] = time.sleep

    def find(self, job: NotebookExecutionJob) -> Executed:
        """Find and read the executed notebook of a job that has ended.

        :raises ApiError: if the results are wanted, the job has SUCCEEDED and Cloud Storage does not answer: a retry
            can read the result of the same job.
        """
        if job.job_state.is_success and not (self.has_results or self.pages) and self.log_output != "all":
            return Executed(problem="no results are wanted (do_xcom_push=False)")
        # A job without a machine has no executed notebook, and another job follows then.
        is_crucial = job.job_state.is_success or is_capacity(job.status)
        try:
            with self.hook.storage_client() as client:
                for pause in (0.0, *(_GRACE if is_crucial else ())):
                    self.sleep(pause)
                    if (executed := _find_and_read(job, client)) is not None:
                        report_read(self.hook, executed.uri or "")
                        return executed
                return Executed(problem="it does not exist", is_missing=True)
        except (ApiError, CredentialsError, InvalidNotebookJobError) as error:
            if self.has_results and job.job_state.is_success and getattr(error, "is_transient", False):
                raise
            # An invalid setting of ours has its own remedy in its message.
            remedy = "" if isinstance(error, InvalidNotebookJobError) else ". Let the connection's account read it"
            return Executed(problem=f"{str(error).rstrip('.')}{remedy}", kind=error.kind)

    def conclude(self, job: NotebookExecutionJob, executed: Executed, project: str) -> dict[str, Any]:
        """Log what the notebook printed, and return the task's result.

        The result has the keys of :func:`~airflow_nbjobs.run.summary.result`, and ``results`` if they are wanted: a
        dict of JSON values by name, or ``None`` if they could not be read. If the notebook is written as HTML too,
        ``executed_html`` is its URI or path, or ``None`` if it could not be written.

        Nothing names what a temporary service has, since nobody can open it afterwards.

        :param project: project of the console links in the log.
        :raises NotebookJobFailedError: for a job that has not SUCCEEDED.
        :raises NotebookJobError: for results that cannot be read, unless ``unusable_results`` is ``omit``.
        """
        page = self.pages.write(job, executed) if self.pages else None
        if executed.outcome is not None:
            self._log_outputs(executed.outcome, None if self.hook.is_temporary else executed.uri)
        elif job.job_state.is_success and self.log_output == "all":
            self.log.warning("The executed notebook is not logged, since it could not be read: %s", executed.problem)
        if not job.job_state.is_success:
            self._log_failure(job, executed.outcome, project)
            raise _failed(job, executed, "" if self.hook.is_temporary else _where(job, executed))
        concluded = result(job, executed.uri)
        if self.pages:
            concluded["executed_html"] = page
        if self.has_results or executed.outcome is not None:
            concluded["results"] = self._results(job, executed)
        if not (executed.is_missing or self.hook.is_temporary):
            self.log.info("Executed notebook: %s", concluded["executed_notebook"])
        return concluded

    def _log_outputs(self, outcome: Outcome, uri: str | None) -> None:
        from airflow_nbjobs.notebooks.log_lines import log_lines

        for line in log_lines(outcome, self.log_output, uri):  # type: ignore[arg-type]  # checked before the run
            self.log.info("%s", line)
        for note in outcome.notes:
            self.log.warning("%s", note)

    def _log_failure(self, job: NotebookExecutionJob, outcome: Outcome | None, project: str) -> None:
        """Log what is too long for the error itself: traceback, code around the line, remedy, links."""
        if outcome is not None and outcome.failure is not None:
            from airflow_nbjobs.notebooks.log_lines import source_lines, traceback_lines

            is_logged = self.log_output != "none" and outcome.shows_failure()
            for line in () if is_logged else traceback_lines(outcome.failure):
                self.log.error("%s", line)
            for line in source_lines(outcome.failure):
                self.log.error("%s", line)
        words = f"{job.status.message} {job.status.details}" if job.status else ""
        words += f" {outcome.failure.ename}" if outcome is not None and outcome.failure is not None else ""
        if hint := hint_for(words, is_exhausted=is_capacity(job.status)):
            self.log.error("%s", hint)
        page = emulator_url()
        if page is None:
            self.log.info("Notebook logs: %s", logs_url(job, project))
        if not self.hook.is_temporary:
            self.log.info("Notebook executions: %s", page or executions_url(project))

    def _results(self, job: NotebookExecutionJob, executed: Executed) -> dict[str, Any] | None:
        outcome, is_strict = executed.outcome, self.unusable_results == "fail" and self.has_results
        if outcome is None:
            if is_strict and not executed.is_missing:
                raise NotebookJobError(
                    f"Failed to read the results of {describe(job)} from its executed notebook: {executed.problem}. To "
                    "do without them, set unusable_results='omit' or do_xcom_push=False.",
                    job_name=job.name or "",
                    state=job.job_state.value,
                    kind=executed.kind,
                )
            self.log.warning("There are no results, since the executed notebook was not read: %s", executed.problem)
            return None
        if outcome.errors:
            self.log.warning("The job SUCCEEDED, but %d of its cells have an error that it allowed.", outcome.errors)
        if outcome.results_problem is None:
            return dict(outcome.results)
        problem = f"Failed to read the results of {describe(job)}: {outcome.results_problem}."
        if not self.hook.is_temporary:
            problem += f" They are in {executed.uri}."
        if is_strict:
            raise NotebookJobError(
                f"{problem} Correct the cell, raise [nbjobs] result_bytes, or set unusable_results='omit'.",
                job_name=job.name or "",
                state=job.job_state.value,
                kind=FailureKind.NOTEBOOK,
            )
        self.log.warning("%s", problem)
        return None


def _find_and_read(job: NotebookExecutionJob, client: Client) -> Executed | None:
    from airflow_nbjobs.notebooks.outcome import read_outcome

    def find() -> storage.StoredObject | None:
        return storage.find_executed(client, job.gcs_output_uri or "", job.job_id, job.executed_notebook_uri)

    def read(found: storage.StoredObject) -> Executed:
        outcome = read_outcome(
            storage.read_chunks(client, found),
            since=job.create_time,
            has_failed=job.job_state is JobState.FAILED,
            result_bytes=settings.result_bytes(),
        )
        return Executed(uri=found.uri, generation=found.generation, outcome=outcome)

    found = find()
    if found is None:
        return None
    try:
        return read(found)
    except NotFoundError:  # the object was overwritten meanwhile, and this generation is gone
        return read(find() or found)


def _where(job: NotebookExecutionJob, executed: Executed) -> str:
    if executed.uri:
        return f"Executed notebook: {executed.uri}. "
    guess = job.executed_notebook_uri
    return f"If cells ran, the executed notebook is {guess}. " if guess else ""


def _failed(job: NotebookExecutionJob, executed: Executed, where: str) -> NotebookJobFailedError:
    failure = executed.outcome.failure if executed.outcome else None
    seconds = duration_of(job)
    after = "" if seconds is None else f" after {in_words(seconds)}"
    why = (f"C{str(failure)[1:]}" if failure else _stop(job, executed.outcome)).rstrip(". ")
    return NotebookJobFailedError(
        f"{why}. {describe(job)} {job.job_state.word}{after}. {where}Job: {job.name}",
        job_name=job.name or "",
        state=job.job_state.value,
        kind=FailureKind.NOTEBOOK if failure else _kind_of(job, executed),
        cell=failure.number if failure else None,
        ename=failure.ename if failure else None,
        evalue=failure.evalue if failure else None,
    )


def _kind_of(job: NotebookExecutionJob, executed: Executed) -> FailureKind:
    """Return what kind of failure the end of a job is whose notebook has no error."""
    if job.job_state is not JobState.FAILED or executed.uri is not None:
        return FailureKind.OTHER  # somebody ended it, or cells ran
    if is_capacity(job.status):
        return FailureKind.CAPACITY
    return _BY_CODE.get(job.status.code or 0, FailureKind.OTHER) if job.status else FailureKind.OTHER


def _stop(job: NotebookExecutionJob, outcome: Outcome | None) -> str:
    """Return why a job ended whose notebook has no error, or the cell in which it stopped."""
    stopped_in = outcome.stopped_in if outcome else None
    if stopped_in is None or (job.status and job.status.message):
        return reason(job)
    return f"cell {stopped_in} was the last to run and has no error output, and {reason(job)}"
