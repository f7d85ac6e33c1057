"""What the service refuses in a job that is well-formed JSON.

The rules come from the discovery document's field comments. Where the service's behaviour is not documented, the
stricter reading stands here, so that what passes locally passes there: exactly one environment and one identity are
asked for, and a template or a Dataform repository must be in the job's own location. ``docs/assumptions.md`` lists
these readings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.emulator.errors import ApiError, invalid
from airflow_nbjobs.emulator.schema import duration_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_nbjobs.emulator.ids import Parent

_SOURCES = ("gcsNotebookSource", "directNotebookSource", "dataformRepositorySource")
_BUCKET = r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
_EMAIL = re.compile(r"[^@\s/]+@[^@\s/]+")
_JOB_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SYSTEM_LABELS = "aiplatform.googleapis.com/"


def check_job_id(job_id: str) -> None:
    """Check an id that the user chose: lower-case letters, digits and inner dashes, at most 63.

    The service documents no format; this is the one that the clients seen in use keep to.

    :raises ApiError: 400 when it is anything else.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise invalid("notebook_execution_job_id", f"Invalid notebook_execution_job_id: {job_id!r}")


def check_job(job: Mapping[str, Any], parent: Parent) -> None:
    """Check a job as :func:`~airflow_nbjobs.emulator.schema.read_job` gave it.

    :raises ApiError: 400 that names the field, its value and the rule.
    """
    name = job.get("displayName", "")
    if not 1 <= len(name) <= 128:
        raise _bad("display_name", name, "it is required and has at most 128 characters")
    _check_source(job, parent)
    _check_environment(job, parent)
    _check_identity(job)
    if not re.fullmatch(_BUCKET + r"(/[^\r\n]*)?", job.get("gcsOutputUri", "")):
        raise _bad("gcs_output_uri", job.get("gcsOutputUri"), "it is required, as gs://bucket or gs://bucket/folder")
    if "executionTimeout" in job and duration_nanoseconds(job["executionTimeout"]) <= 0:
        raise _bad("execution_timeout", job["executionTimeout"], "it must be positive")
    _check_schedule(job)
    _check_labels(job.get("labels", {}))


def _bad(field: str, value: object, rule: str) -> ApiError:
    return invalid(f"notebook_execution_job.{field}", f"Invalid {field} {value!r}: {rule}.")


def _check_source(job: Mapping[str, Any], parent: Parent) -> None:
    given = [source for source in _SOURCES if source in job]
    if not given:
        raise invalid(
            "notebook_execution_job.notebook_source", f"One notebook source is required: {', '.join(_SOURCES)}."
        )
    source = job[given[0]]
    if given[0] == "directNotebookSource" and not source.get("content"):
        raise invalid("notebook_execution_job.direct_notebook_source.content", "The content of the notebook is empty.")
    if given[0] == "gcsNotebookSource":
        if not re.fullmatch(_BUCKET + r"/[^\r\n]+", source.get("uri", "")):
            raise _bad(
                "gcs_notebook_source.uri",
                source.get("uri"),
                "it must be gs://bucket/object, the bucket of at least 3 characters",
            )
        if not re.fullmatch(r"[0-9]*", source.get("generation", "")):
            raise _bad("gcs_notebook_source.generation", source["generation"], "it must be a number")
    if given[0] == "dataformRepositorySource":
        field = "dataform_repository_source.dataform_repository_resource_name"
        _check_resource(field, source.get("dataformRepositoryResourceName", ""), "repositories", parent.location)


def _check_environment(job: Mapping[str, Any], parent: Parent) -> None:
    template = job.get("notebookRuntimeTemplateResourceName")
    if template is not None:
        field = "notebook_runtime_template_resource_name"
        _check_resource(field, template, "notebookRuntimeTemplates", parent.location)
    elif "customEnvironmentSpec" not in job:
        text = "One environment is required: notebookRuntimeTemplateResourceName or customEnvironmentSpec."
        raise invalid("notebook_execution_job.environment_spec", text)


def _check_identity(job: Mapping[str, Any]) -> None:
    given = [field for field in ("executionUser", "serviceAccount") if field in job]
    if not given:
        text = "One identity is required: serviceAccount or executionUser."
        raise invalid("notebook_execution_job.execution_identity", text)
    if not _EMAIL.fullmatch(job[given[0]]):
        raise _bad(
            "execution_user" if given[0] == "executionUser" else "service_account", job[given[0]], "no e-mail address"
        )
    if given[0] == "executionUser" and "workbenchRuntime" in job:
        raise _bad(
            "execution_user", job["executionUser"], "it is supported by Colab runtimes only, not by Workbench ones"
        )


def _check_schedule(job: Mapping[str, Any]) -> None:
    schedule = job.get("scheduleResourceName", "")
    if schedule:
        _check_resource("schedule_resource_name", schedule, "schedules", None)


def _check_resource(field: str, name: str, collection: str, location: str | None) -> None:
    match = re.fullmatch(rf"projects/[^/\s]+/locations/([a-z0-9-]+)/{collection}/[^/\s]+", name)
    if not match:
        raise _bad(field, name, f"it must be projects/PROJECT/locations/LOCATION/{collection}/ID")
    if location and match[1] != location:
        raise _bad(field, name, f"it must be in the location of the job, {location}")


def _check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > 64:
        raise _bad("labels", len(labels), "there are at most 64 labels")
    for key, value in labels.items():
        if not (1 <= len(key) <= 64 and (key.startswith(_SYSTEM_LABELS) or _is_label(key))):
            raise _bad("labels", key, "a key has 1 to 64 lower-case letters, digits, underscores and dashes")
        if not (len(value) <= 64 and _is_label(value)):
            raise _bad("labels", value, "a value has at most 64 lower-case letters, digits, underscores and dashes")


def _is_label(text: str) -> bool:
    return all(letter in "_-" or (letter.isalnum() and letter == letter.lower()) for letter in text)
