"""The rules for a job that is well-formed JSON.

They come from the discovery document's field comments. Where the service's behavior is not documented, the emulator
takes the stricter reading, so that what passes locally passes there: exactly one environment and one identity are
required, and a template or a Dataform repository must be in the job's location. ``docs/assumptions.md`` lists these
readings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_nbjobs.emulator.errors import ServiceError, invalid
from airflow_nbjobs.emulator.json_format import duration_nanoseconds
from airflow_nbjobs.emulator.resources import Parent

_SOURCES = ("gcsNotebookSource", "directNotebookSource", "dataformRepositorySource")
_ENVIRONMENTS = ("notebookRuntimeTemplateResourceName", "customEnvironmentSpec")
_IDENTITIES = ("serviceAccount", "executionUser")
_BUCKET = r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
_JOB_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SYSTEM_LABELS = "aiplatform.googleapis.com/"


def check_job_id(job_id: str) -> None:
    """Check an id that the user chose: lower-case letters, digits and inner dashes, at most 63.

    The service documents no format; this is the one that known clients use.

    :raises ServiceError: 400 for any other form.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise invalid("notebook_execution_job_id", f"Invalid notebook_execution_job_id: {job_id!r}")


def check_job(job: Mapping[str, Any], parent: Parent) -> None:
    """Check a job as :func:`~airflow_nbjobs.emulator.jobs.schema.read_job` returns it.

    :raises ServiceError: 400 that names the field, its value and the rule.
    """
    _check("display_name", job.get("displayName", ""), r"(?s).{1,128}", "it is required and has at most 128 characters")
    _check_source(job, parent)
    _check_environment(job, parent)
    _check_identity(job)
    rule = "it is required, as gs://bucket or gs://bucket/folder"
    _check("gcs_output_uri", job.get("gcsOutputUri", ""), _BUCKET + r"(/[^\r\n]*)?", rule)
    if "executionTimeout" in job and duration_nanoseconds(job["executionTimeout"]) <= 0:
        raise _bad("execution_timeout", job["executionTimeout"], "it must be positive")
    if schedule := job.get("scheduleResourceName"):
        _check_resource("schedule_resource_name", schedule, "schedules", None)
    check_labels(job.get("labels", {}), "notebook_execution_job")


def check_labels(labels: Mapping[str, str], resource: str) -> None:
    """Check the labels of a resource.

    :param resource: its name in errors, such as ``notebook_execution_job``.
    :raises ServiceError: 400 that names the label and the rule.
    """
    for key, value in labels.items():
        if not (1 <= len(key) <= 64 and (key.startswith(_SYSTEM_LABELS) or _is_label(key))):
            rule = "a key has 1 to 64 lower-case letters, digits, underscores and dashes"
            raise invalid(f"{resource}.labels", f"Invalid labels {key!r}: {rule}.")
        if not (len(value) <= 64 and _is_label(value)):
            rule = "a value has at most 64 lower-case letters, digits, underscores and dashes"
            raise invalid(f"{resource}.labels", f"Invalid labels {value!r}: {rule}.")
    if len(labels) > 64:
        raise invalid(f"{resource}.labels", f"Invalid labels {len(labels)}: there are at most 64 labels.")


def _bad(field: str, value: object, rule: str) -> ServiceError:
    return invalid(f"notebook_execution_job.{field}", f"Invalid {field} {value!r}: {rule}.")


def _check(field: str, value: str, pattern: str, rule: str) -> None:
    if not re.fullmatch(pattern, value):
        raise _bad(field, value, rule)


def _one_of(job: Mapping[str, Any], fields: Sequence[str], what: str, oneof: str) -> str:
    """Return the only one of the fields that the job has; the schema refuses a second one."""
    for field in fields:
        if field in job:
            return field
    raise invalid(f"notebook_execution_job.{oneof}", f"One {what} is required: {' or '.join(fields)}.")


def _check_source(job: Mapping[str, Any], parent: Parent) -> None:
    given = _one_of(job, _SOURCES, "notebook source", "notebook_source")
    source = job[given]
    if given == "directNotebookSource" and not source.get("content"):
        raise invalid("notebook_execution_job.direct_notebook_source.content", "The content of the notebook is empty.")
    if given == "gcsNotebookSource":
        rule = "it must be gs://bucket/object, the bucket of at least 3 characters"
        _check("gcs_notebook_source.uri", source.get("uri", ""), _BUCKET + r"/[^\r\n]+", rule)
        _check("gcs_notebook_source.generation", source.get("generation", ""), r"[0-9]*", "it must be a number")
    if given == "dataformRepositorySource":
        field = "dataform_repository_source.dataform_repository_resource_name"
        _check_resource(field, source.get("dataformRepositoryResourceName", ""), "repositories", parent.location)


def _check_environment(job: Mapping[str, Any], parent: Parent) -> None:
    given = _one_of(job, _ENVIRONMENTS, "environment", "environment_spec")
    if given == "notebookRuntimeTemplateResourceName":
        field = "notebook_runtime_template_resource_name"
        _check_resource(field, job[given], "notebookRuntimeTemplates", parent.location)


def _check_identity(job: Mapping[str, Any]) -> None:
    given = _one_of(job, _IDENTITIES, "identity", "execution_identity")
    field = "execution_user" if given == "executionUser" else "service_account"
    _check(field, job[given], r"[^@\s/]+@[^@\s/]+", "it must be an e-mail address")
    if given == "executionUser" and "workbenchRuntime" in job:
        raise _bad(field, job[given], "it is supported by Colab runtimes only, not by Workbench ones")


def _check_resource(field: str, name: str, collection: str, location: str | None) -> None:
    match = re.fullmatch(rf"projects/[^/\s]+/locations/([a-z0-9-]+)/{collection}/[^/\s]+", name)
    if not match:
        raise _bad(field, name, f"it must be projects/PROJECT/locations/LOCATION/{collection}/ID")
    if location and match[1] != location:
        raise _bad(field, name, f"it must be in the location of the job, {location}")


def _is_label(text: str) -> bool:
    return all(letter in "_-" or (letter.isalnum() and letter == letter.lower()) for letter in text)
