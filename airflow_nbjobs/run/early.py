"""What can be known of a job when its DAG is parsed: from the arguments whose values contain no template.

A wrong argument is then an import error of the DAG file, and no run fails for it. Airflow parses DAG files again and
again: no more is loaded than the checks need (15 ms).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow_nbjobs.api.checks import check, valid_labels
from airflow_nbjobs.api.job import EncryptionSpec, GcsNotebookSource, NotebookExecutionJob
from airflow_nbjobs.api.names import check_location, parent, template_name
from airflow_nbjobs.api.pacing import positive_seconds
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.run.argument_rules import as_dict, as_text, check_values
from airflow_nbjobs.run.arguments import RunArguments
from airflow_nbjobs.run.identity import RESERVED_PREFIX, check_user_labels
from airflow_nbjobs.run.sources import SourceFields, is_local, source_fields

__all__ = [
    "NOT_TEXT",
    "as_scheduled",
    "check_fallbacks",
    "check_known_job",
    "check_known_schedule",
    "full_template",
    "plain_fields",
    "text_labels",
]

_ATTEMPTS = ("capacity_retries", "fallback_runtime_templates", "runtime_template", "job_id")
_TEXTS = (
    "display_name", "execution_user", "kernel_name", "kms_key_name", "schedule_resource_name", "service_account",
)  # fmt: skip
_ACCOUNT, _FOLDER, _NAME = "known@later", "gs://known-later", "known later"

_SCHEDULED = frozenset(
    {
        "notebook", "gcs_output_uri", "runtime_template", "custom_environment_spec", "service_account",
        "execution_user", "display_name", "labels", "sanitize_labels", "kernel_name", "workbench_runtime",
        "kms_key_name", "job_timeout", "job_body",
    }
)  # fmt: skip
"""Arguments that describe the job of a schedule."""
NOT_TEXT = frozenset(
    {"custom_environment_spec", "workbench_runtime", "job_timeout", "job_body", "notebook", "sanitize_labels"}
)
"""Those of them that are not text."""


def as_scheduled(job: object) -> dict[str, Any]:
    """Return the arguments of a schedule's job, with those that are text as text.

    :raises InvalidNotebookJobError: names the argument that is wrong, its value and the remedy.
    """
    if not isinstance(job, Mapping) or (unknown := job.keys() - _SCHEDULED):
        wrong = sorted(map(str, unknown)) if isinstance(job, Mapping) else job
        raise InvalidNotebookJobError(
            f"job={wrong!r} is not possible: give a dict of the create operator's arguments "
            f"{', '.join(sorted(_SCHEDULED))}."
        )
    notebook = job.get("notebook")
    if not isinstance(notebook, str) or not notebook.startswith(("gs://", "projects/")):
        raise InvalidNotebookJobError(
            f"notebook={notebook!r} cannot be scheduled: give one in Cloud Storage or Dataform."
        )
    if taken := sorted(key for key in as_dict("labels", job.get("labels")) if str(key).startswith(RESERVED_PREFIX)):
        raise InvalidNotebookJobError(f"The labels {taken} are reserved: use keys without {RESERVED_PREFIX!r}.")
    check_values(job)
    return {name: value if name in NOT_TEXT else as_text(name, value) for name, value in job.items()}


def check_known_schedule(known: Mapping[str, Any], later: Collection[str], place: Mapping[str, Any]) -> None:
    """Check the job of a schedule when a DAG is parsed.

    :param known: arguments of the job whose values will not change.
    :param later: names of the others.
    :param place: the location, if it is known.
    :raises InvalidNotebookJobError: names the arguments, their values and the remedies.
    """
    given: dict[str, Any] = {**dict.fromkeys(_SCHEDULED), "sanitize_labels": False, **known}
    for name in later:
        if name in _SCHEDULED:
            del given[name]
        else:
            given[name] = None  # it is refused below
    if "notebook" in later:
        given["notebook"] = f"{_FOLDER}/x.ipynb"
    check_known_job({**as_scheduled(given), **place})


def check_known_job(known: Mapping[str, Any]) -> None:
    """Check the arguments of a job when a DAG is parsed.

    :param known: fields of :class:`RunArguments` whose values will not change.
    :raises InvalidNotebookJobError: names the arguments, their values and the remedies.
    """
    if "location" in known:
        check_location(known["location"])
    if all(name in known for name in _ATTEMPTS):
        RunArguments(**{name: known[name] for name in _ATTEMPTS}).check_attempts()
    if {"location", "fallback_runtime_templates"} <= known.keys():
        check_fallbacks(known["fallback_runtime_templates"] or (), parent("project", known["location"]))
    check(_known_job(known))


def _known_job(known: Mapping[str, Any]) -> NotebookExecutionJob:
    """Return a job of the fields that are known, with valid ones in place of the others."""
    texts = {name: as_text(name, known.get(name)) for name in _TEXTS}
    user, account = texts["execution_user"] or None, texts["service_account"] or None
    is_custom_known = "custom_environment_spec" in known
    custom = known["custom_environment_spec"] if is_custom_known else {}
    template = as_text("runtime_template", known.get("runtime_template", "later")) or None
    if template is not None and "location" in known:
        template = full_template(template, parent("project", known["location"]))
    may_be_custom = is_custom_known and custom is not None and "runtime_template" not in known
    name = texts["display_name"]
    return NotebookExecutionJob(
        **plain_fields({**known, **texts, "execution_user": user}),
        **_source(known),
        # What is not known is taken to be the one of two that is needed.
        notebook_runtime_template_resource_name=None if may_be_custom else template,
        custom_environment_spec=custom if template is None or is_custom_known else None,
        service_account=account or (None if user else _ACCOUNT),
        display_name=_NAME if name is None else name,
        gcs_output_uri=as_text("gcs_output_uri", known.get("gcs_output_uri", _FOLDER)),
        labels=_labels(known),
    )


def plain_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a job that each depend on one or two arguments alone.

    :param given: fields of :class:`RunArguments`; the fields of those that are missing are ``None``.
    :raises InvalidNotebookJobError: names the argument that is wrong, its value and the remedy.
    """
    key = given.get("kms_key_name")
    return {
        "wire": _checked_body(given.get("job_body")),
        "execution_user": given.get("execution_user"),
        "kernel_name": given.get("kernel_name"),
        "workbench_runtime": given.get("workbench_runtime"),
        "execution_timeout": _job_bound(given.get("job_timeout"), given.get("execution_timeout")),
        "encryption_spec": EncryptionSpec(kms_key_name=key) if key else None,
        "schedule_resource_name": given.get("schedule_resource_name"),
    }


def _labels(known: Mapping[str, Any]) -> dict[str, str]:
    if "sanitize_labels" not in known:
        return {}
    labels = as_text("labels", as_dict("labels", known.get("labels")))
    labels = valid_labels(labels) if known["sanitize_labels"] else text_labels(labels)
    if "cost_labels" in known:  # a schedule has none, and needs no room for ours
        check_user_labels(labels, has_cost_labels=bool(known["cost_labels"]))
    return labels


def _source(known: Mapping[str, Any]) -> SourceFields:
    notebook = known.get("notebook", "")
    if "notebook" not in known or (isinstance(notebook, str) and is_local(notebook)):
        return {"gcs_notebook_source": GcsNotebookSource(uri=f"{_FOLDER}/x.ipynb")}  # a file is looked for in a run
    return source_fields(notebook, ())


def _job_bound(job_timeout: float | timedelta | None, execution_timeout: timedelta | None) -> timedelta | None:
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


def _checked_body(body: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields for which there is no other argument.

    :raises InvalidNotebookJobError: if another field is among them.
    """
    given = as_dict("job_body", body)
    if taken := sorted(NotebookExecutionJob.wired_keys() & given.keys()):
        raise InvalidNotebookJobError(
            f"job_body contains {taken}. Other arguments or the service set these fields: use the arguments."
        )
    return given
