"""The end of a job for its task: the executed notebook is read, its text logged, its results or its failure told.

It happens on the worker, whichever way the task has waited.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_nbjobs import settings
from airflow_nbjobs.exceptions import (
    ApiError,
    CredentialsError,
    InvalidNotebookJobError,
    NotebookJobError,
    NotFoundError,
)
from airflow_nbjobs.hints import hint_for, is_capacity
from airflow_nbjobs.links import NotebookExecutionJobListLink, NotebookLogsLink
from airflow_nbjobs.notebooks import storage
from airflow_nbjobs.settle import describe, executed_notebook, settle
from airflow_nbjobs.stores import storage_client

if TYPE_CHECKING:
    from airflow_nbjobs.api.client import Client
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.hooks import NotebookExecutionJobHook
    from airflow_nbjobs.notebooks.log_lines import LogOutput
    from airflow_nbjobs.notebooks.outcome import Outcome

__all__ = ["Executed", "conclude", "look_for_executed"]

_GRACE = (0.5, 1.5)
"""Seconds before each further look for an executed notebook on whose absence something depends."""


@dataclass(frozen=True, kw_only=True)
class Executed:
    """The executed notebook of a job.

    :ivar uri: where it is; ``None`` when there is none.
    :ivar outcome: what came of it; ``None`` when it was not read.
    :ivar problem: why it was not read.
    :ivar is_missing: whether it was looked for, and there is none: no cell ran.
    """

    uri: str | None = None
    outcome: Outcome | None = None
    problem: str | None = None
    is_missing: bool = False


def look_for_executed(
    job: NotebookExecutionJob,
    hook: NotebookExecutionJobHook,
    *,
    has_results: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> Executed:
    """Find and read the executed notebook of a job that is over; what goes wrong is told.

    :param has_results: whether somebody waits for what the notebook reports.
    :raises ApiError: when they do, the job SUCCEEDED and Cloud Storage does not answer: a retry takes the same job's
        result.
    """
    # Of a job that got no machine none is expected, and another job follows if there is none.
    is_crucial = job.job_state.is_success or is_capacity(job.status)
    try:
        with storage_client(hook) as client:
            for pause in (0.0, *(_GRACE if is_crucial else ())):
                sleep(pause)
                executed = _find_and_read(job, client)
                if executed is not None:
                    return executed
            return Executed(problem="there is none", is_missing=True)
    except (ApiError, CredentialsError, InvalidNotebookJobError) as error:
        if has_results and job.job_state.is_success and getattr(error, "is_transient", False):
            raise
        # What is wrong with our own settings has its remedy with it.
        what_to_do = "" if isinstance(error, InvalidNotebookJobError) else ". Let the connection's account read it"
        return Executed(problem=f"{str(error).rstrip('.')}{what_to_do}")


def _find_and_read(job: NotebookExecutionJob, client: Client) -> Executed | None:
    from airflow_nbjobs.notebooks.outcome import read_outcome

    def find() -> storage.StoredObject | None:
        job_id = (job.name or "").rpartition("/")[2]
        return storage.find_executed(client, job.gcs_output_uri or "", job_id, executed_notebook(job))

    def read(found: storage.StoredObject) -> Executed:
        outcome = read_outcome(storage.read_chunks(client, found), result_bytes=settings.result_bytes())
        return Executed(uri=found.uri, outcome=outcome)

    found = find()
    if found is None:
        return None
    try:
        return read(found)
    except NotFoundError:  # written anew meanwhile, and the generation that was found is gone
        return read(find() or found)


def conclude(
    job: NotebookExecutionJob,
    executed: Executed,
    log: Any,
    *,
    project: str,
    log_output: LogOutput,
    fail_on_results: bool,
) -> dict[str, Any]:
    """Log what the notebook printed, and return the task's result.

    :param project: whose console to point at after a failure.
    :param fail_on_results: raise when the results are too large or no JSON, or the executed notebook is there and may
        not be read, rather than leave them out.
    :raises NotebookJobFailedError: for a job that did not SUCCEED.
    :raises NotebookJobError: for results that cannot be had.
    """
    outcome = executed.outcome
    if outcome is not None:
        from airflow_nbjobs.notebooks.log_lines import log_lines

        for line in log_lines(outcome, log_output, executed.uri):
            log.info("%s", line)
        for note in outcome.notes:
            log.warning("%s", note)
    if not job.job_state.is_success:
        _log_failure(job, outcome, log, project, is_shown=log_output != "none")
        return settle(job, outcome, executed.uri)
    return {**settle(job, outcome, executed.uri), "results": _results(job, executed, log, fail=fail_on_results)}


def _log_failure(job: NotebookExecutionJob, outcome: Outcome | None, log: Any, project: str, *, is_shown: bool) -> None:
    """Log what the error itself is too short for: the traceback, the code around the line, what to do, where to look.

    :param is_shown: whether the outputs of cells that failed were logged; a traceback among them is not logged again.
    """
    if outcome is not None and outcome.failure is not None:
        from airflow_nbjobs.notebooks.log_lines import source_lines, traceback_lines

        if not (is_shown and outcome.shows_failure()):
            for line in traceback_lines(outcome.failure):
                log.error("%s", line)
        for line in source_lines(outcome.failure):
            log.error("%s", line)
    words = f"{job.status.message} {job.status.details}" if job.status else ""
    if hint := hint_for(words, is_exhausted=is_capacity(job.status)):
        log.error("%s", hint)
    for link in (NotebookLogsLink(), NotebookExecutionJobListLink()):
        log.error("%s: %s", link.name, link.address(job, project))


def _results(job: NotebookExecutionJob, executed: Executed, log: Any, *, fail: bool) -> dict[str, Any] | None:
    outcome = executed.outcome
    if outcome is None and (executed.is_missing or not fail):
        log.warning("The executed notebook could not be read, so there are no results: %s", executed.problem)
        return None
    if outcome is None:
        raise NotebookJobError(
            f"The results of {describe(job)} cannot be had, since its executed notebook cannot be read: "
            f"{executed.problem}. To do without them, set unusable_results='omit' or do_xcom_push=False.",
            job_name=job.name or "",
            state=job.job_state.value,
        )
    if outcome.errors:
        log.warning("The job SUCCEEDED, and %d of its cells hold an error that it allowed.", outcome.errors)
    if outcome.results_problem is None:
        return dict(outcome.results)
    problem = f"The results of {describe(job)} cannot be had: {outcome.results_problem}. They are in {executed.uri}."
    if fail:
        raise NotebookJobError(
            f"{problem} Correct what it reports, raise [nbjobs] result_bytes, or set unusable_results='omit'.",
            job_name=job.name or "",
            state=job.job_state.value,
        )
    log.warning("%s", problem)
    return None
