"""The operator that runs a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import conf

from airflow_nbjobs.links import LINKS, NotebookScheduleLink
from airflow_nbjobs.operators.operator import NotebookJobOperator
from airflow_nbjobs.operators.parsing import default_arguments
from airflow_nbjobs.operators.run import NotebookRunOperator
from airflow_nbjobs.outlets import with_asset
from airflow_nbjobs.run.argument_rules import KillPolicy
from airflow_nbjobs.run.arguments import RunArguments, check_known
from airflow_nbjobs.run.sources import InlineNotebook, Notebook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, AssetAlias, Context

__all__ = ["CreateNotebookExecutionJobOperator"]

_NOT_TEXT = {"notebook", "parameters", "custom_environment_spec", "workbench_runtime", "job_timeout", "job_body"}
"""Template fields that may be something else than text."""


class CreateNotebookExecutionJobOperator(NotebookRunOperator):
    """Run a notebook on Vertex AI / Colab Enterprise, and wait for it.

    Returns a dict: ``name`` and ``job_id`` of the job, its ``state``, ``executed_notebook`` (the ``gs://`` URI to which
    the service writes the notebook with its outputs), ``notebook_version`` (the generation, commit or content hash of
    the notebook that ran), and ``results``: the values that the notebook reports, by scrapbook's ``glue`` or as the
    JSON output of a cell tagged ``xcom`` or ``result``. With ``do_xcom_push=False`` the results are not read.

    Fields and rules of the job: REST reference of ``projects.locations.notebookExecutionJobs``, v1. Where the job runs
    and who creates it: :class:`~airflow_nbjobs.operators.operator.NotebookJobOperator`.

    :param notebook: what to run: ``gs://bucket/report.ipynb``, with ``#1700000000000000`` for a pinned generation;
        ``projects/p/locations/l/repositories/r`` (Dataform), with ``@commit`` for a pinned commit; another string is a
        path relative to the DAG file or its bundle, whose content is sent; a dict is the notebook itself. The string is
        templated, content never is. A mapped task stores its arguments with the DAG: wrap a dict in
        :class:`~airflow_nbjobs.operators.InlineNotebook` there, and only its hash is stored.
    :param parameters: names and values for the notebook. They are set as papermill sets them: in a cell after the one
        tagged ``parameters`` (templated to any depth). JSON types, dates and datetimes (as ISO 8601 text).
    :param unknown_parameters: what to do about parameters that the notebook does not declare in a cell tagged
        ``parameters``: ``"fail"`` (default), or ``"warn"`` as papermill does. The notebook may then use its own values.
    :param gcs_output_uri: ``gs://bucket`` or ``gs://bucket/folder``. The executed notebook is written to
        ``{gcs_output_uri}/{job id}/`` (templated).
    :param runtime_template: the notebook runtime template, as a name or an id (templated). Give either this or
        ``custom_environment_spec``.
    :param fallback_runtime_templates: templates to use in turn, in the same try of the task, if there is no machine or
        quota for the job (templated).
    :param capacity_retries: how many times, at most, a job without a machine or quota is submitted again in the same
        try. ``0`` means never. A number above the number of fallbacks starts again with ``runtime_template``. Default
        ``None``: once for each fallback. A create request that the service refuses for the same reason counts too. A
        job in which a cell ran is never submitted again.
    :param custom_environment_spec: machine, disk and network instead of a template, as in the REST API (templated).
    :param service_account: e-mail of the account that the notebook runs as (templated). Without it and without
        ``execution_user``, the notebook runs as the connection's own service account.
    :param execution_user: e-mail of the person that the notebook runs as; only for Colab runtimes (templated).
    :param display_name: the readable part of the job's display name, at most 128 characters. Default: the ids of the
        DAG and the task (templated). A key of 17 characters is appended, by which the task finds its job.
    :param labels: labels of the job, at most 55, or 52 with ``cost_labels`` (templated). Labels that begin with
        ``nbjobs-`` are reserved.
    :param sanitize_labels: make ``labels`` valid (lower case, other characters as ``_``, at most 64) instead of
        failing. Default ``False``.
    :param cost_labels: also label the job with the ids of DAG, task and run (``airflow-dag``, ``airflow-task``,
        ``airflow-run``), made valid, for the billing export. ``labels`` of the same keys win. Default ``False``.
    :param kernel_name: Jupyter kernel; by default the service picks one (templated).
    :param workbench_runtime: run in a Workbench environment, configured as in the REST API; ``{}`` for the default
        image (templated).
    :param kms_key_name: customer-managed key, ``projects/p/locations/l/keyRings/r/cryptoKeys/k`` (templated).
    :param schedule_resource_name: schedule under which the job is shown (templated).
    :param job_timeout: seconds, or a timedelta, after which the service ends the job (templated). Default: the task's
        ``execution_timeout``, which bounds the waiting as well; without both, the service's 24 hours.
    :param job_body: fields of the resource for which there is no other argument, as in the REST API (templated).
    :param job_id: id of the job, instead of one that the service picks (templated). Not recommended: jobs with such
        an id were reported to stay pending forever. An id can be used once: retries and clears then fail with
        ``AlreadyExistsError``, unless it contains ``{{ ti.try_number }}``.
    :param deterministic_job_id: give the job an id made from the task's identity. Then even a create request that a
        dead worker sent cannot lead to a second job. Default ``False``, since jobs with a chosen id were reported to
        stay pending.
    :param wait_for_completion: wait for the job to end. Default ``True``. With ``False`` the task succeeds when the job
        is submitted.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: seconds between two looks at the job. Default 30.
    :param retry_on_notebook_error: use the task's retries if a cell raised. Default ``True``. With ``False`` such a
        failure is final. If Airflow retries it nevertheless, because it lost track of the task, the retry only reads
        the notebook of that job.
    :param kill: what happens to the job when its task is killed, runs out of time, or fails without a retry. Default
        ``"cancel"``: the create operation is canceled, and the job is deleted if it stays active. ``"delete"`` deletes
        it, ``"leave"`` lets it run.
    :param log_output: which outputs are written to the task's log when the job has ended: ``"errors"``, those of cells
        that raised (the default), ``"all"``, or ``"none"``.
    :param asset: an asset that the executed notebook is: a name, a URI, an ``Asset``, or an ``AssetAlias``. It becomes
        an outlet of the task: DAGs that are scheduled on it run when the job has SUCCEEDED, and the event carries name,
        state, executed notebook, its generation, and the results. Outlets that are given as ``outlets`` carry the same.
    :param unusable_results: what to do about results that are too large (``[nbjobs] result_bytes``, 48 KiB), that are
        not JSON, or that the connection's account may not read: ``"fail"`` (the default), or ``"omit"``; ``results`` is
        then ``None``. A value is never cut. A job without an executed notebook has no results: a warning, and ``None``.
    :param html: write the executed notebook also as one safe HTML file beside it, with the suffix ``.html``. The result
        then has the key ``executed_html``: its URI, or ``None`` with a warning if it could not be written. A failed job
        has the file too. Needs the extra ``ui``. Default ``False``.
    :raises InvalidNotebookJobError: if the request is wrong in a way that can be known before it is sent.
    :raises ApiError: if the service refuses; with the service's own words.
    :raises NotebookJobError: if the job ends in any other state than SUCCEEDED, or not in time.
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
    text_fields = tuple(name for name in template_fields if name not in _NOT_TEXT)
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
        unknown_parameters: Literal["fail", "warn"] = "fail",
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
        cost_labels: bool = False,
        kernel_name: str | None = None,
        workbench_runtime: Mapping[str, Any] | None = None,
        kms_key_name: str | None = None,
        schedule_resource_name: str | None = None,
        job_timeout: float | timedelta | None = None,
        job_body: Mapping[str, Any] | None = None,
        job_id: str | None = None,
        deterministic_job_id: bool = False,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 30,
        retry_on_notebook_error: bool = True,
        kill: KillPolicy = "cancel",
        log_output: Literal["errors", "all", "none"] = "errors",
        unusable_results: Literal["fail", "omit"] = "fail",
        asset: str | Asset | AssetAlias | None = None,
        html: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.notebook = notebook
        self.parameters = parameters
        self.unknown_parameters = unknown_parameters
        self.gcs_output_uri = gcs_output_uri
        self.runtime_template = runtime_template
        self.fallback_runtime_templates = fallback_runtime_templates
        self.capacity_retries = capacity_retries
        self.custom_environment_spec = custom_environment_spec
        self.service_account = service_account
        self.execution_user = execution_user
        self.display_name = display_name
        self.labels = labels
        self.sanitize_labels = sanitize_labels
        self.cost_labels = cost_labels
        self.kernel_name = kernel_name
        self.workbench_runtime = workbench_runtime
        self.kms_key_name = kms_key_name
        self.schedule_resource_name = schedule_resource_name
        self.job_timeout = job_timeout
        self.job_body = job_body
        self.job_id = job_id
        self.deterministic_job_id = deterministic_job_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.retry_on_notebook_error = retry_on_notebook_error
        self.kill = kill
        self.log_output = log_output
        self.unusable_results = unusable_results
        self.html = html
        if schedule_resource_name is None and job_body is None:
            self.operator_extra_links = tuple(link for link in LINKS if not isinstance(link, NotebookScheduleLink))
        self.check_early(lambda: self._add_outlet(asset))
        self.check_early(self._check_arguments)

    def _check_arguments(self) -> None:
        from airflow_nbjobs.run.early import check_known_job

        known = self.parsing.known({name: getattr(self, name, None) for name in RunArguments.names()})
        check_known(known)
        check_known_job(known)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Return the operator for a mapped task, as Airflow does, with ``asset`` as one of its outlets."""
        return super().partial(**with_asset(kwargs, default_arguments(kwargs)))

    def _add_outlet(self, asset: str | Asset | AssetAlias | None) -> None:
        given = {"outlets": self.outlets, "asset": asset, "wait_for_completion": self.wait_for_completion}
        self.outlets = with_asset(given)["outlets"]

    @property
    def notebook(self) -> Notebook | None:
        """The notebook; one that was given as a dict is wrapped, which keeps it from the template engine and the UI."""
        return self._notebook

    @notebook.setter
    def notebook(self, value: str | Mapping[str, Any] | InlineNotebook | None) -> None:
        self._notebook = InlineNotebook(value) if isinstance(value, Mapping) else value

    def run_arguments(self, context: Context) -> RunArguments:  # noqa: ARG002 - subclasses need it
        """Return the rendered arguments as one value."""
        return RunArguments(**{name: getattr(self, name) for name in RunArguments.names()})
