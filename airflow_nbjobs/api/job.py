"""The resource ``NotebookExecutionJob`` of Vertex AI, API v1, as one frozen value.

Fields and their meaning: Google's discovery document ``aiplatform.v1``, revision 20261106. Every field of the
resource has its own name in snake case. Fields that Google adds later are kept and sent back unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from airflow_nbjobs.api.wire import BYTES, DURATION, JSON, LABELS, TEXT, TIMESTAMP, Codec, Message, message, wired

__all__ = [
    "DataformRepositorySource",
    "DirectNotebookSource",
    "EncryptionSpec",
    "GcsNotebookSource",
    "JobState",
    "NotebookExecutionJob",
    "Operation",
    "Status",
]


class JobState(StrEnum):
    """The state of a job.

    An unknown string becomes a new member, which is neither terminal nor a success: a job in a state that Google adds
    later counts as active.
    """

    UNSPECIFIED = "JOB_STATE_UNSPECIFIED"
    QUEUED = "JOB_STATE_QUEUED"
    PENDING = "JOB_STATE_PENDING"
    RUNNING = "JOB_STATE_RUNNING"
    SUCCEEDED = "JOB_STATE_SUCCEEDED"
    FAILED = "JOB_STATE_FAILED"
    CANCELLING = "JOB_STATE_CANCELLING"
    CANCELLED = "JOB_STATE_CANCELLED"
    PAUSED = "JOB_STATE_PAUSED"
    EXPIRED = "JOB_STATE_EXPIRED"
    UPDATING = "JOB_STATE_UPDATING"
    PARTIALLY_SUCCEEDED = "JOB_STATE_PARTIALLY_SUCCEEDED"

    @classmethod
    def _missing_(cls, value: object) -> JobState | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = value
        unknown._value_ = value
        return unknown

    @property
    def is_success(self) -> bool:
        """Whether the notebook ran to its end: only SUCCEEDED."""
        return self == JobState.SUCCEEDED

    @property
    def is_terminal(self) -> bool:
        """Whether the job is over: SUCCEEDED, FAILED, CANCELLED, EXPIRED or PARTIALLY_SUCCEEDED."""
        cls = JobState
        return self in {cls.SUCCEEDED, cls.FAILED, cls.CANCELLED, cls.EXPIRED, cls.PARTIALLY_SUCCEEDED}

    @property
    def word(self) -> str:
        """The state without its prefix, for messages: ``"SUCCEEDED"``."""
        return self.value.removeprefix("JOB_STATE_")


STATE = Codec(
    lambda value: JobState(value) if isinstance(value, str) and value else JobState.UNSPECIFIED,
    lambda state: state.value,
)


@dataclass(frozen=True, kw_only=True)
class GcsNotebookSource(Message):
    """A notebook in Cloud Storage: ``gs://bucket/notebook.ipynb``, and the object's generation if it is pinned."""

    uri: str | None = wired("uri", TEXT)
    generation: str | None = wired("generation", TEXT)


@dataclass(frozen=True, kw_only=True)
class DataformRepositorySource(Message):
    """A notebook in a Dataform repository with one file, at a commit or at HEAD."""

    dataform_repository_resource_name: str | None = wired("dataformRepositoryResourceName", TEXT)
    commit_sha: str | None = wired("commitSha", TEXT)


@dataclass(frozen=True, kw_only=True)
class DirectNotebookSource(Message):
    """A notebook sent with the request: the bytes of an ``.ipynb`` file."""

    content: bytes | None = wired("content", BYTES, secret=True)


@dataclass(frozen=True, kw_only=True)
class EncryptionSpec(Message):
    """The customer-managed key: ``projects/p/locations/l/keyRings/r/cryptoKeys/k``."""

    kms_key_name: str | None = wired("kmsKeyName", TEXT)


@dataclass(frozen=True, kw_only=True)
class Status(Message):
    """``google.rpc.Status``: a code of ``google.rpc.Code`` (0 means success), the service's message, and details."""

    code: int | None = wired("code", Codec(lambda value: value if type(value) is int else None, int))
    message: str | None = wired("message", TEXT)
    details: list[Any] | None = wired("details", JSON)


@dataclass(frozen=True, kw_only=True)
class NotebookExecutionJob(Message):
    """One run of one notebook.

    Exactly one source (``gcs_notebook_source``, ``dataform_repository_source``, ``direct_notebook_source``), one
    environment (``notebook_runtime_template_resource_name``, ``custom_environment_spec``) and one identity
    (``service_account``, ``execution_user``) make a job that can be created; :func:`airflow_nbjobs.api.checks.check`
    says what is wrong with one. ``name``, ``job_state``, ``status``, ``create_time`` and ``update_time`` are written by
    the service and not sent. ``execution_timeout`` is a timedelta (the service's default is 24 hours). Times are aware
    datetimes with microseconds; the service's nanoseconds are kept on the wire. ``custom_environment_spec`` and
    ``workbench_runtime`` are JSON objects in the service's own spelling.
    """

    name: str | None = wired("name", TEXT, output_only=True)
    display_name: str | None = wired("displayName", TEXT)
    gcs_notebook_source: GcsNotebookSource | None = wired("gcsNotebookSource", message(GcsNotebookSource))
    dataform_repository_source: DataformRepositorySource | None = wired(
        "dataformRepositorySource", message(DataformRepositorySource)
    )
    direct_notebook_source: DirectNotebookSource | None = wired("directNotebookSource", message(DirectNotebookSource))
    notebook_runtime_template_resource_name: str | None = wired("notebookRuntimeTemplateResourceName", TEXT)
    custom_environment_spec: Mapping[str, Any] | None = wired("customEnvironmentSpec", JSON)
    gcs_output_uri: str | None = wired("gcsOutputUri", TEXT)
    service_account: str | None = wired("serviceAccount", TEXT)
    execution_user: str | None = wired("executionUser", TEXT)
    kernel_name: str | None = wired("kernelName", TEXT)
    workbench_runtime: Mapping[str, Any] | None = wired("workbenchRuntime", JSON)
    execution_timeout: timedelta | None = wired("executionTimeout", DURATION)
    labels: Mapping[str, str] = wired("labels", LABELS)
    encryption_spec: EncryptionSpec | None = wired("encryptionSpec", message(EncryptionSpec))
    schedule_resource_name: str | None = wired("scheduleResourceName", TEXT)
    job_state: JobState = wired("jobState", STATE, output_only=True)
    status: Status | None = wired("status", message(Status), output_only=True)
    create_time: datetime | None = wired("createTime", TIMESTAMP, output_only=True)
    update_time: datetime | None = wired("updateTime", TIMESTAMP, output_only=True)

    @property
    def job_id(self) -> str:
        """The last segment of the name; empty if the job has no name yet."""
        return (self.name or "").rpartition("/")[2]

    @property
    def executed_notebook_uri(self) -> str | None:
        """The ``gs://`` URI of the executed notebook: ``{gcsOutputUri}/{job id}/{file}``; ``None`` if it is not known.

        The file has the name of the source object, or ``content.ipynb`` without one. This is not documented; Google's
        own Jupyter scheduler and dbt adapter rely on it.
        """
        if not self.gcs_output_uri or not self.name:
            return None
        source = self.gcs_notebook_source.uri if self.gcs_notebook_source else None
        file = source.rpartition("/")[2] if source else "content.ipynb"
        return f"{self.gcs_output_uri.rstrip('/')}/{self.job_id}/{file}"


@dataclass(frozen=True, kw_only=True)
class Operation(Message):
    """A long-running operation (``google.longrunning.Operation``).

    The operation of a create ends minutes after its job, and its ``error`` does not tell whether the notebook failed:
    use :attr:`NotebookExecutionJob.job_state`.
    """

    name: str = wired("name", Codec(lambda value: value if isinstance(value, str) else "", str))
    done: bool = wired("done", Codec(lambda value: value is True, bool))
    error: Status | None = wired("error", message(Status))
    metadata: Mapping[str, Any] | None = wired("metadata", JSON)
    response: Mapping[str, Any] | None = wired("response", JSON)

    @property
    def create_time(self) -> datetime | None:
        """When the operation was created, by its metadata; ``None`` if that is not known."""
        generic = (self.metadata or {}).get("genericMetadata")
        moment: datetime | None = TIMESTAMP.decode(generic.get("createTime") if isinstance(generic, Mapping) else None)
        return moment
