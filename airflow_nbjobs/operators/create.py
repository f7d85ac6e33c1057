"""The operator that runs a notebook."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_nbjobs.operators.operator import NotebookJobOperator, closing_hook
from airflow_nbjobs.operators.owner import NotebookJobOwner
from airflow_nbjobs.sources import InlineNotebook, Notebook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.operators.attempts import Attempts
    from airflow_nbjobs.operators.request import Built
    from airflow_nbjobs.submission import TaskIdentity

__all__ = ["CreateNotebookExecutionJobOperator"]

_STARTED: set[tuple[str | None, int]] = set()
"""The tries, by the task instance's id and the number, that this process has submitted for."""

# The limit on a request is not documented; these are words that Google's front ends have for it.
_SIZE = re.compile(
    r"(?:body|content|entity|message|notebook|payload|request)(?: size)? (?:is )?"
    r"(?:too large|exceeds the (?:limit|maximum)|larger than max)|(?:payload|request) size",
    re.IGNORECASE,
)

_ONE_ID = (
    "job_id={!r} is the id of one job: have {{{{ ti.try_number }}}} in it, so that each try has its own, leave it out, "
    "or set deterministic_job_id=True instead."
)


class CreateNotebookExecutionJobOperator(NotebookJobOwner):
    """Run a notebook on Vertex AI / Colab Enterprise, and wait for it.

    Returns a dict: ``name`` and ``job_id`` of the job, its ``state``, and ``executed_notebook``, the ``gs://`` URI at
    which the service writes the notebook with its outputs; ``results``, the values that it reports;
    ``notebook_version``, the generation, commit or content hash of what ran. Fields and rules of the job: REST
    reference of ``projects.locations.notebookExecutionJobs``, v1. Where the job is and who asks for it:
    :class:`~airflow_nbjobs.operators.operator.NotebookJobOperator`. What is read of the executed notebook:
    :class:`~airflow_nbjobs.operators.reader.NotebookJobReader`. How the job is waited for and ended:
    :class:`~airflow_nbjobs.operators.owner.NotebookJobOwner` and
    :class:`~airflow_nbjobs.operators.keeper.NotebookJobKeeper`.

    :param notebook: what to run, told by its shape: ``gs://bucket/report.ipynb``, with ``#1700000000000000`` for a
        pinned generation; ``projects/p/locations/l/repositories/r`` (Dataform), with ``@commit`` for a pinned commit;
        another string is a path relative to the DAG file or its bundle, whose content is sent; a dict is the notebook
        itself. The string is templated, content never is. A mapped task stores its arguments with the DAG: wrap a dict
        in :class:`~airflow_nbjobs.sources.InlineNotebook` there, and its hash is stored instead.
    :param parameters: names and values that the notebook gets, as papermill gives them: in a cell after the one tagged
        ``parameters`` (templated to any depth). JSON's types, dates and datetimes (as ISO 8601 text).
    :param unknown_parameters: what to do about parameters that the notebook does not declare: ``"warn"`` (default) or
        ``"fail"``.
    :param send_outputs: send the outputs that a local or inline notebook holds already. Default ``False``.
    :param gcs_output_uri: ``gs://bucket`` or ``gs://bucket/folder``; the executed notebook is written to
        ``{gcs_output_uri}/{job id}/`` (templated).
    :param runtime_template: the notebook runtime template to run in, as a name or a bare id (templated). Either this
        or ``custom_environment_spec``.
    :param fallback_runtime_templates: templates to use in turn, in the same try of the task, when there is no machine
        or quota for the job (templated).
    :param capacity_retries: how often such a job is submitted again in the same try at most: ``0`` for never, and more
        often than there are fallbacks begins with ``runtime_template`` again. Default ``None``: once for each fallback,
        and never without any. A create that the service refuses for the same reason counts too. A job in which a cell
        ran is never submitted again.
    :param custom_environment_spec: machine, disk and network instead of a template, as the REST API spells them
        (templated).
    :param service_account: e-mail of the account that the notebook runs as (templated). Without this and
        ``execution_user``, the connection's own service account.
    :param execution_user: e-mail of the person that the notebook runs as; Colab runtimes only (templated).
    :param display_name: the readable part of the job's display name, at most 128 characters; the DAG's and the task's
        id by default (templated). A key is appended by which the task knows its job, and takes 17 of the 128.
    :param labels: labels of the job, 55 at most (templated). Those that begin with ``nbjobs-`` are the provider's own.
    :param sanitize_labels: make ``labels`` valid (lower case, other characters as ``_``, at most 64) instead of
        failing on those that are not. Default ``False``.
    :param kernel_name: Jupyter kernel to use; the service's choice by default (templated).
    :param workbench_runtime: run in a Workbench environment, configured as the REST API spells it; ``{}`` for the
        default image (templated).
    :param kms_key_name: customer-managed key, ``projects/p/locations/l/keyRings/r/cryptoKeys/k`` (templated).
    :param schedule_resource_name: schedule that the job shall be shown under (templated).
    :param job_timeout: seconds, or a timedelta, after which the service ends the job. By default the task's
        ``execution_timeout``, which bounds the waiting as well; without either, the service's 24 hours.
    :param job_body: further fields of the resource that have no argument of their own, as the REST API spells them
        (templated).
    :param job_id: id of the job, instead of one that the service picks (templated). Not recommended: a job with an id
        of its own was seen to stay pending for good. A fixed one is for one job: a retry after it FAILED, and a clear,
        find it taken, and the clear of a running task ends its job before it fails. Have ``{{ ti.try_number }}`` in it.
    :param deterministic_job_id: give the job an id made of the task's identity, so that even a create that a dead
        worker sent and nobody saw cannot make a second job. Default ``False``, for the same reason.
    :param wait_for_completion: wait for the job to end. Default ``True``; with ``False`` the task succeeds when the job
        is submitted.
    :raises InvalidNotebookJobError: when the request is wrong in a way that can be known before it is sent.
    :raises ApiError: when the service refuses; with the service's own words.
    :raises NotebookJobError: when the job ends in any other state than SUCCEEDED, or not in time.
    """

    template_fields: Sequence[str] = (
        *NotebookJobOperator.template_fields,
        "notebook",
        "parameters",
        "gcs_output_uri",
        "runtime_template",
        "fallback_runtime_templates",
        "custom_environment_spec",
        "service_account",
        "execution_user",
        "display_name",
        "labels",
        "kernel_name",
        "workbench_runtime",
        "kms_key_name",
        "schedule_resource_name",
        "job_timeout",
        "job_body",
        "job_id",
    )
    template_fields_renderers = {  # noqa: RUF012 - Airflow declares it so
        "custom_environment_spec": "json",
        "labels": "json",
        "workbench_runtime": "json",
        "job_body": "json",
        "parameters": "json",
    }

    def __init__(
        self,
        *,
        notebook: str | Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        unknown_parameters: Literal["warn", "fail"] = "warn",
        send_outputs: bool = False,
        gcs_output_uri: str | None = None,
        runtime_template: str | None = None,
        fallback_runtime_templates: Sequence[str] = (),
        capacity_retries: int | None = None,
        custom_environment_spec: Mapping[str, Any] | None = None,
        service_account: str | None = None,
        execution_user: str | None = None,
        display_name: str | None = None,
        labels: Mapping[str, str] | None = None,
        sanitize_labels: bool = False,
        kernel_name: str | None = None,
        workbench_runtime: Mapping[str, Any] | None = None,
        kms_key_name: str | None = None,
        schedule_resource_name: str | None = None,
        job_timeout: float | timedelta | None = None,
        job_body: Mapping[str, Any] | None = None,
        job_id: str | None = None,
        deterministic_job_id: bool = False,
        wait_for_completion: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.notebook = notebook
        self.gcs_output_uri = gcs_output_uri
        self.runtime_template = runtime_template
        self.custom_environment_spec = custom_environment_spec
        self.service_account = service_account
        self.execution_user = execution_user
        self.display_name = display_name
        self.labels = labels
        self.sanitize_labels = sanitize_labels
        self.kernel_name = kernel_name
        self.workbench_runtime = workbench_runtime
        self.kms_key_name = kms_key_name
        self.schedule_resource_name = schedule_resource_name
        self.job_timeout = job_timeout
        self.job_body = job_body
        self.parameters = parameters
        self.unknown_parameters = unknown_parameters
        self.send_outputs = send_outputs
        self.fallback_runtime_templates = fallback_runtime_templates
        self.capacity_retries = capacity_retries
        self.job_id = job_id
        self.deterministic_job_id = deterministic_job_id
        self.wait_for_completion = wait_for_completion
        self.warned_of: set[str] = set()

    @property
    def notebook(self) -> Notebook | None:
        """The notebook; one that was given as a dict is wrapped, so that no template engine and no UI sees it."""
        return self._notebook

    @notebook.setter
    def notebook(self, value: str | Mapping[str, Any] | InlineNotebook | None) -> None:
        self._notebook = InlineNotebook(value) if isinstance(value, Mapping) else value

    @closing_hook
    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the job or re-attach to it, publish its name and links, and wait for it or defer."""
        with self._succeeding(context):
            self.check_waiting()
            return self.start(context)

    def check_waiting(self) -> None:
        """Check the arguments that nothing looks at until it is too late."""
        from airflow_nbjobs.operators.request import check_attempts

        super().check_waiting()
        check_attempts(self)

    @property
    def takes_failed(self) -> bool:
        """Whether a retry looks why the job before it has FAILED; a task that does not wait for it does not."""
        return self.wait_for_completion and super().takes_failed

    def attempts(self) -> Attempts:
        """Return how often a try may submit the notebook for want of a machine, and with which templates."""
        from airflow_nbjobs.operators.attempts import Attempts

        fallbacks, retries = self.fallback_runtime_templates, self.capacity_retries
        return Attempts(
            templates=(self.runtime_template, *fallbacks), retries=len(fallbacks) if retries is None else retries
        )

    def start(self, context: Context, *, anew: bool = False, attempt: int = 0) -> dict[str, Any]:
        """Submit the notebook, and wait for it."""
        from airflow_nbjobs.settle import result

        job = self.submit_where_there_is_a_machine(context, anew=anew, attempt=attempt)
        return self.wait(job, context) if self.wait_for_completion else result(job)

    def submit_attempt(self, context: Context, *, anew: bool, attempt: int) -> NotebookExecutionJob:
        """Submit the notebook with the runtime template of an attempt, or adopt the job that there is."""
        from airflow_nbjobs.exceptions import AlreadyExistsError
        from airflow_nbjobs.operators.renewer import saying
        from airflow_nbjobs.operators.request import build_job, task_identity

        task = task_identity(context)
        # Ids are counted over the whole generation, also by a try that adopts nothing.
        job_ids = tuple(task.job_ids()) if self.deterministic_job_id else (self.job_id,)
        if os.environ.get("AIRFLOW_TEST_MODE") == "True":  # `airflow tasks test` runs a try once more that is over
            task = replace(task, first_try=task.try_number + 1, instance=None)
        elif anew or (task.instance, task.try_number) in _STARTED:  # what this process itself asks for again is wanted
            task = replace(task, first_try=task.try_number + 1)
        if task.instance is not None:
            _STARTED.add((task.instance, task.try_number))
        built = build_job(self, task, context, self.attempts().template(attempt), attempt=attempt)
        try:
            return self._submit_or_stage(built, task, job_ids, context)
        except AlreadyExistsError as error:
            raise saying(_ONE_ID.format(self.job_id) if self.job_id else "", error) from None

    def _submit_or_stage(
        self, built: Built, task: TaskIdentity, job_ids: Iterable[str | None], context: Context
    ) -> NotebookExecutionJob:
        """Submit the job; a notebook that is too large to be sent with it is put into Cloud Storage first."""
        from airflow_nbjobs import settings
        from airflow_nbjobs.exceptions import InvalidArgumentError, NbjobsError
        from airflow_nbjobs.preparation import stage

        direct = built.job.direct_notebook_source
        if direct is None or len(direct.content or b"") <= settings.staging_bytes():
            try:
                return self.submit(built.job, task, job_ids, context)
            except InvalidArgumentError as error:
                if direct is None or not (error.http_status == 413 or _SIZE.search(error.message)):
                    raise
                self.log.warning("The service does not take a notebook of this size: %s", error)
        staged = stage(built.job, built.file, self.hook)
        try:
            job = self.submit(staged, task, job_ids, context)
        except NbjobsError as error:
            if not self._may_have_made(staged, error):
                self.tidy(staged)
            raise
        if job.labels.get("nbjobs-submit") != staged.labels["nbjobs-submit"]:
            self.tidy(staged)  # an adopted job has one of its own
        return job

    def _may_have_made(self, job: NotebookExecutionJob, error: Exception) -> bool:
        """Tell whether a job that could not be submitted may be there all the same, and read its notebook."""
        from airflow_nbjobs.exceptions import LostAnswerError

        is_known = self._asked is job and self._held is not None
        return is_known or getattr(error, "is_transient", False) or isinstance(error.__cause__, LostAnswerError)
