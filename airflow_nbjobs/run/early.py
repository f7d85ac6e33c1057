"""What can be known of a job when its DAG is parsed: from the arguments whose values contain no template.

A wrong argument is then an import error of the DAG file, and no run fails for it. Airflow parses DAG files again and
again: no more is loaded than the checks need (15 ms).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

from airflow_nbjobs.api.checks import check, valid_labels
from airflow_nbjobs.api.job import GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.api.names import check_location, parent, template_name
from airflow_nbjobs.api.pacing import positive_seconds
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.parameters import plain_parameters
from airflow_nbjobs.run.arguments import RunArguments, as_text, is_template
from airflow_nbjobs.run.identity import check_user_labels
from airflow_nbjobs.run.sources import SourceFields, is_local, source_fields

__all__ = [
    "as_dict",
    "check_fallbacks",
    "check_job_early",
    "checked_body",
    "full_template",
    "job_bound",
    "text_labels",
]

_ATTEMPTS = ("capacity_retries", "fallback_runtime_templates", "runtime_template", "job_id")
_ACCOUNT, _FOLDER, _NAME = "known@later", "gs://known-later", "known later"


def check_job_early(arguments: Mapping[str, Any]) -> None:
    """Check the arguments of a job that are known when a DAG is parsed.

    :param arguments: fields of :class:`RunArguments`, before templates are rendered.
    :raises InvalidNotebookJobError: names the arguments, their values and the remedies.
    """
    known = {name: value for name, value in arguments.items() if not is_template(value)}
    if "location" in known:
        check_location(known["location"])
    if all(name in known for name in _ATTEMPTS):
        RunArguments(**{name: known[name] for name in _ATTEMPTS}).check_attempts()
    if {"location", "fallback_runtime_templates"} <= known.keys():
        check_fallbacks(known["fallback_runtime_templates"] or (), parent("project", known["location"]))
    plain_parameters(as_dict("parameters", known.get("parameters")))
    check(_known_job(known))


def _known_job(known: Mapping[str, Any]) -> NotebookExecutionJob:
    """Return a job of the fields that are known, with valid ones in place of the others."""
    user = as_text("execution_user", known.get("execution_user")) or None
    account = as_text("service_account", known.get("service_account")) or None
    is_custom_known = "custom_environment_spec" in known
    custom = known["custom_environment_spec"] if is_custom_known else {}
    template = as_text("runtime_template", known.get("runtime_template", "later")) or None
    if template is not None and "location" in known:
        template = full_template(template, parent("project", known["location"]))
    may_be_custom = is_custom_known and custom is not None and "runtime_template" not in known
    labels = as_text("labels", as_dict("labels", known.get("labels")))
    labels = valid_labels(labels) if known.get("sanitize_labels") else text_labels(labels)
    check_user_labels(labels)
    return NotebookExecutionJob(
        wire=checked_body(known.get("job_body")),
        **_source(known),
        # What is not known is taken to be the one of two that is needed.
        notebook_runtime_template_resource_name=None if may_be_custom else template,
        custom_environment_spec=custom if template is None or is_custom_known else None,
        service_account=account or (None if user else _ACCOUNT),
        execution_user=user,
        workbench_runtime=known.get("workbench_runtime"),
        display_name=as_text("display_name", known.get("display_name")) or _NAME,
        gcs_output_uri=as_text("gcs_output_uri", known.get("gcs_output_uri", _FOLDER)),
        execution_timeout=job_bound(known.get("job_timeout"), known.get("execution_timeout")),
        labels=labels,
    )


def _source(known: Mapping[str, Any]) -> SourceFields:
    notebook = known.get("notebook", "")
    if "notebook" not in known or (isinstance(notebook, str) and is_local(notebook)):
        return {"gcs_notebook_source": GcsNotebookSource(uri=f"{_FOLDER}/x.ipynb")}  # a file is looked for in a run
    return source_fields(notebook, ())


def job_bound(job_timeout: float | timedelta | None, execution_timeout: timedelta | None) -> timedelta | None:
    """Return the bound of the job: ``job_timeout``, or Airflow's own ``execution_timeout``.

    :raises InvalidNotebookJobError: if it leaves no time.
    """
    if job_timeout is None:
        if execution_timeout is not None and execution_timeout <= timedelta(0):
            raise InvalidNotebookJobError(f"execution_timeout={execution_timeout!r} leaves no time: give more than 0.")
        return execution_timeout
    if isinstance(job_timeout, timedelta):
        return job_timeout
    return timedelta(seconds=positive_seconds("job_timeout", job_timeout))


def full_template(template: str | None, parent: str) -> str | None:
    """Return the full name of a runtime template; ``None`` for ``None``.

    :param parent: ``projects/p/locations/l``.
    :raises InvalidNotebookJobError: if it is not a template of that place.
    """
    project, location = parent.split("/")[1::2]
    return template and template_name(template, project, location)


def check_fallbacks(templates: Sequence[str], parent: str) -> None:
    """Check the fallback templates.

    :param parent: ``projects/p/locations/l``.
    :raises InvalidNotebookJobError: names all of them, and what is wrong with one.
    """
    for template in templates:
        try:
            full_template(as_text("fallback_runtime_templates", template), parent)
        except InvalidNotebookJobError as error:
            raise InvalidNotebookJobError(f"fallback_runtime_templates={templates!r} is invalid: {error}") from error


def text_labels(labels: Mapping[str, Any]) -> dict[str, str]:
    """Return labels whose keys and values are text.

    :raises InvalidNotebookJobError: if one is not.
    """
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidNotebookJobError(
                f"The label {key!r}={value!r} is not text: write it as a string, or set sanitize_labels=True."
            )
    return dict(labels)


def checked_body(body: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields that have no argument of their own.

    :raises InvalidNotebookJobError: if another field is among them.
    """
    given = as_dict("job_body", body)
    known = {field.metadata["key"] for field in fields(NotebookExecutionJob) if "key" in field.metadata}
    if taken := sorted(known & given.keys()):
        raise InvalidNotebookJobError(
            f"job_body contains {taken}, which have arguments of their own or are set by the service: use the "
            "arguments."
        )
    return given


def as_dict(argument: str, value: object) -> dict[str, Any]:
    """Return a dict, an empty one for ``None``.

    :raises InvalidNotebookJobError: if it is something else.
    """
    if value is None or isinstance(value, Mapping):
        return dict(value or {})
    raise InvalidNotebookJobError(f"{argument}={value!r} is not a dict: give keys and values.")
