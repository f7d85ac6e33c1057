"""Check a job before it is sent.

Each rule is documented for API v1 (discovery document revision 20261106), or followed by every client of Google's. The
service decides the rest.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = ["DISPLAY_NAME_LIMIT", "LABEL_LIMIT", "check", "valid_labels"]

DISPLAY_NAME_LIMIT = 128
"""Maximum characters of a display name, by the field's documentation."""

LABEL_LIMIT = 64
"""Maximum characters of a label's key and of its value, and maximum number of labels, by the field's documentation."""

_BUCKET = r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
_GCS_OBJECT = re.compile(rf"gs://{_BUCKET}/[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f/]")
_GCS_FOLDER = re.compile(rf"gs://{_BUCKET}(?:/[^\x00-\x1f\x7f]*)?")
_REPOSITORY = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/repositories/[^/\s@]+")
_GENERATION = re.compile(r"[0-9]{1,19}")
_COMMIT = re.compile(r"[0-9a-fA-F]{4,64}")
_EMAIL = re.compile(r"[^@\s:/]+@[^@\s:/]+")  # "serviceAccount:…" is a member of a policy
_KERNEL = re.compile(r"[A-Za-z0-9._-]+")  # Jupyter installs no other
_KMS_KEY = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+")
_SCHEDULE = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/schedules/[^/\s]+")
_RESERVED_BY_GOOGLE = "aiplatform.googleapis.com/"
# What a job has exactly one of: fields, and the arguments that set them.
_CHOICES = (
    (
        "notebook source",
        "notebook sources",
        {
            "gcs_notebook_source": "notebook='gs://…'",
            "dataform_repository_source": "notebook='projects/…/repositories/…'",
            "direct_notebook_source": "notebook=<a local path or a notebook's JSON>",
        },
    ),
    (
        "environment",
        "environments",
        {
            "notebook_runtime_template_resource_name": "runtime_template",
            "custom_environment_spec": "custom_environment_spec",
        },
    ),
    ("identity", "identities", {"service_account": "service_account", "execution_user": "execution_user"}),
)


def _is(form: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def check(job: NotebookExecutionJob) -> NotebookExecutionJob:
    """Return the job if it is valid.

    :raises InvalidNotebookJobError: names every wrong argument, its value and the remedy.
    """
    problems = [*_choices(job), *_source(job), *_runtime(job), *_texts(job), *_labels(job.labels)]
    problems = problems or [*_json(job)]
    if problems:
        raise InvalidNotebookJobError("The notebook job cannot be submitted. " + " ".join(problems))
    return job


def valid_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return valid labels: lower case, invalid characters replaced by ``_``, cut to 64 characters, values as text.

    Keys that the service reserves (``aiplatform.googleapis.com/…``) stay unchanged. If two keys become one, the last
    value wins.
    """
    return {
        key if str(key).startswith(_RESERVED_BY_GOOGLE) else _made_valid(key): _made_valid(value)
        for key, value in labels.items()
    }


def _made_valid(text: object) -> str:
    return "".join(letter if _may_label(letter) else "_" for letter in str(text).lower())[:LABEL_LIMIT]


def _may_label(letter: str) -> bool:
    # "Lowercase letters, numeric characters, underscores and dashes. International characters are allowed."
    return letter in "_-" or unicodedata.category(letter) in {"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"}


def _choices(job: NotebookExecutionJob) -> Iterator[str]:
    for one, several, arguments in _CHOICES:
        given = [field for field in arguments if getattr(job, field) is not None]
        if len(given) > 1:
            both = " and ".join(f"{arguments[field]}={_shown(getattr(job, field))}" for field in given)
            yield f"It has {len(given)} {several}: {both}. Leave all but one out."
        if not given:
            yield f"It has no {one}: give {' or '.join(arguments.values())}."


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _source(job: NotebookExecutionJob) -> Iterator[str]:
    if gcs := job.gcs_notebook_source:
        if not _is(_GCS_OBJECT, gcs.uri):
            yield f"notebook={gcs.uri!r} names no object: write 'gs://bucket/folder/notebook.ipynb'."
        if gcs.generation is not None and not _is(_GENERATION, gcs.generation):
            yield f"The generation {gcs.generation!r} of {gcs.uri!r} is not a number: write 'gs://…#1700000000000000'."
    if dataform := job.dataform_repository_source:
        repository = dataform.dataform_repository_resource_name
        if not _is(_REPOSITORY, repository):
            yield f"notebook={repository!r} is not a repository: write 'projects/p/locations/l/repositories/r'."
        if dataform.commit_sha is not None and not _is(_COMMIT, dataform.commit_sha):
            yield f"The commit {dataform.commit_sha!r} of {repository!r} is not a SHA: write its hexadecimal digits."
    if (direct := job.direct_notebook_source) and not direct.content:
        yield "The notebook that would be sent with the request is empty."


def _runtime(job: NotebookExecutionJob) -> Iterator[str]:
    for field in ("custom_environment_spec", "workbench_runtime"):
        value = getattr(job, field)
        if value is not None and not isinstance(value, Mapping):
            yield f"{field}={_shown(value)} is not a dict in the REST API's spelling."
    for field in ("service_account", "execution_user"):
        email = getattr(job, field)
        if email is not None and not _is(_EMAIL, email):
            yield f"{field}={email!r} is not an e-mail address: give that alone, like 'name@example.com'."
    if job.execution_user is not None and job.workbench_runtime is not None:
        yield (
            f"execution_user={job.execution_user!r} does not go with workbench_runtime: only Colab runtimes run as a "
            "user. Give service_account instead."
        )


def _texts(job: NotebookExecutionJob) -> Iterator[str]:
    name = job.display_name
    if not isinstance(name, str) or not 0 < len(name) <= DISPLAY_NAME_LIMIT:
        length = f" has {len(name)} characters" if isinstance(name, str) else " is not text"
        yield f"display_name={_shown(name)}{length}: give 1 to {DISPLAY_NAME_LIMIT} characters."
    if not _is(_GCS_FOLDER, job.gcs_output_uri):
        yield (
            f"gcs_output_uri={job.gcs_output_uri!r} is not a folder in Cloud Storage: write 'gs://bucket' or "
            "'gs://bucket/folder'; the executed notebook is written below it."
        )
    key = job.encryption_spec.kms_key_name if job.encryption_spec else None
    if key and not _is(_KMS_KEY, key):
        yield f"kms_key_name={key!r} is not a key: write 'projects/p/locations/l/keyRings/r/cryptoKeys/k'."
    if job.schedule_resource_name and not _is(_SCHEDULE, job.schedule_resource_name):
        yield (
            f"schedule_resource_name={job.schedule_resource_name!r} is not a schedule: write "
            "'projects/p/locations/l/schedules/s'."
        )
    if job.kernel_name and not _is(_KERNEL, job.kernel_name):
        yield f"kernel_name={job.kernel_name!r} is not the name of a kernel: write one like 'python3'."
    timeout = job.execution_timeout
    if timeout is not None and timeout <= timedelta(0):
        yield f"job_timeout={timeout.total_seconds():g} seconds is not possible: give more than 0."


def _labels(labels: Mapping[str, str]) -> Iterator[str]:
    if len(labels) > LABEL_LIMIT:
        yield f"There are {len(labels)} labels: give at most {LABEL_LIMIT}."
    for key, value in labels.items():
        if not key:
            yield f"The label key {key!r} is empty: give it a name."
        if not key.startswith(_RESERVED_BY_GOOGLE):
            yield from _label_problem(f"The label key {key!r}", key)
        yield from _label_problem(f"The value {value!r} of the label {key!r}", value)


def _label_problem(what: str, text: str) -> Iterator[str]:
    if len(text) > LABEL_LIMIT:
        yield f"{what} has {len(text)} characters: give at most {LABEL_LIMIT}, or set sanitize_labels=True."
    elif wrong := next((letter for letter in text if _made_valid(letter) != letter), None):
        yield f"{what} has {wrong!r} in it: use lower-case letters, digits, '_' and '-', or set sanitize_labels=True."


def _json(job: NotebookExecutionJob) -> Iterator[str]:
    """Find values that JSON cannot represent: NaN, half of a surrogate pair, a date in a dict."""
    names = {field.metadata["key"]: field.name for field in fields(job) if "key" in field.metadata}
    for key, value in job.to_request().items():
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            name = names.get(key, f"job_body[{key!r}]")
            yield f"{name}={_shown(value)} cannot be written as JSON ({error}): use text, numbers, lists and dicts."
