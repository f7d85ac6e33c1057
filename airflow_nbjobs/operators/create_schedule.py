"""The operator that creates a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.pacing import ENDURING
from airflow_nbjobs.links import NotebookScheduleLink, publish_schedule
from airflow_nbjobs.operators.operator import NotebookJobOperator, entry_point
from airflow_nbjobs.operators.text_templates import NOTHING, is_whole_template
from airflow_nbjobs.run.arguments import RunArguments
from airflow_nbjobs.run.window import as_time

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["CreateNotebookScheduleOperator"]


class CreateNotebookScheduleOperator(NotebookJobOperator):
    """Create a schedule that runs a notebook, to deploy it from a DAG.

    A retry or a clear of the task finds the schedule that it has created, unless the arguments have changed: then it
    creates another one. Each run of the DAG also creates another one. Returns the schedule as JSON of the REST API.

    :param display_name: name of the schedule, at most 128 characters (templated).
    :param cron: five fields, with a time zone before them if it is not UTC: ``TZ=Europe/Berlin 0 6 * * *`` (templated).
    :param job: what is run: a dict of arguments of ``CreateNotebookExecutionJobOperator`` that describe the job, as
        ``notebook``, ``gcs_output_uri``, ``runtime_template`` and ``service_account`` (templated to any depth). The
        notebook is in Cloud Storage or Dataform; without a generation or commit, each run takes the newest.
    :param start_time: no run before it, with a time zone. Default: now (templated, then as ISO 8601).
    :param end_time: no run after it, with a time zone. Default: no end (templated, then as ISO 8601).
    :param max_run_count: the schedule is COMPLETED after so many runs. Default: no limit.
    :param max_concurrent_run_count: how many runs may be started at a time. It does not limit running jobs. Default 1.
    :param allow_queueing: queue runs beyond that number instead of skipping them. Default ``False``.
    :raises InvalidNotebookJobError: if an argument is wrong in a way that can be known before it is sent.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    template_fields: Sequence[str] = (
        *NotebookJobOperator.template_fields,
        "display_name",
        "cron",
        "job",
        "start_time",
        "end_time",
    )
    text_fields = (*NotebookJobOperator.text_fields, "display_name", "cron")
    template_fields_renderers = {"job": "json"}  # noqa: RUF012 - Airflow declares it so
    operator_extra_links = (NotebookScheduleLink(),)
    needs_location = True

    def __init__(
        self,
        *,
        display_name: str,
        cron: str,
        job: Mapping[str, Any],
        start_time: datetime | str | None = None,
        end_time: datetime | str | None = None,
        max_run_count: int | None = None,
        max_concurrent_run_count: int = 1,
        allow_queueing: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.display_name = display_name
        self.cron = cron
        self.job = job
        self.start_time = start_time
        self.end_time = end_time
        self.max_run_count = max_run_count
        self.max_concurrent_run_count = max_concurrent_run_count
        self.allow_queueing = allow_queueing
        self.check_arguments(
            display_name=display_name or "",
            cron=cron,
            start_time=start_time,
            end_time=end_time,
            max_run_count=max_run_count,
            max_concurrent_run_count=max_concurrent_run_count,
            allow_queueing=allow_queueing,
        )
        self.check_early(self._check_job)

    def _check_job(self) -> None:
        from airflow_nbjobs.run.early import as_scheduled, check_known_schedule

        if not isinstance(self.job, Mapping):
            for job in self.parsing.known({"job": self.job}).values():
                as_scheduled(job)
            return
        known = self.parsing.known(self.job, inside="job")
        check_known_schedule(known, self.job.keys() - known.keys(), self.parsing.known({"location": self.location}))

    def render_template(
        self, content: Any, context: Context, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render the templates of a value; those of the job's text arguments as text."""
        if content is not self.job or not isinstance(content, dict):
            return super().render_template(content, context, jinja_env, seen_oids)
        from airflow_nbjobs.run.early import NOT_TEXT

        rendered = {}
        for name, item in content.items():
            self._is_rendering_text = name not in NOT_TEXT and not is_whole_template(name, item)
            rendered[name] = super().render_template(item, context, jinja_env, seen_oids)
        self._is_rendering_text = False
        return {name: None if item is NOTHING else item for name, item in rendered.items()}

    @entry_point
    def execute(self, context: Context) -> dict[str, Any]:
        """Create the schedule, and publish its link."""
        from airflow_nbjobs.api.schedule import Schedule
        from airflow_nbjobs.run.scheduled import asked_schedule, create_once
        from airflow_nbjobs.run.task import TaskContext

        schedule = Schedule(
            display_name=self.display_name,
            cron=self.cron,
            start_time=as_time("start_time", self.start_time),
            end_time=as_time("end_time", self.end_time),
            max_run_count=self.max_run_count,
            max_concurrent_run_count=self.max_concurrent_run_count,
            allow_queueing=self.allow_queueing,
        )
        place = RunArguments(location=self.location, project_id=self.project_id)
        asked = asked_schedule(schedule, self.job, place, self.hook, self.log)
        key = TaskContext.of(context).identity.key
        made = self.hook.run_flow(self.location or "", create_once(self._parent(), asked, key), ENDURING)
        self.log.info("The schedule %r is %s: %s", made.display_name, made.state, made.name)
        publish_schedule(context["ti"], made.name or "", self.project_id or self.hook.project_id)
        return made.to_wire()
