"""The resource ``NotebookRuntimeTemplate`` of Vertex AI, API v1, as one frozen value.

Fields and their meaning: Google's discovery document ``aiplatform.v1``, revision 20261106.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_nbjobs.api.job import EncryptionSpec
from airflow_nbjobs.api.wire import BOOLEAN, JSON, LABELS, TEXT, TIMESTAMP, Message, message, wired
from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = ["NotebookRuntimeTemplate", "described_template"]


@dataclass(frozen=True, kw_only=True)
class NotebookRuntimeTemplate(Message):
    """The machine, disk, network and software that notebooks run on.

    Only ``display_name`` is required. ``name``, ``is_default``, ``create_time`` and ``update_time`` are written by the
    service. ``notebook_runtime_type`` is ``USER_DEFINED`` or ``ONE_CLICK`` (the project's default template). Fields
    that are mappings are JSON objects in the service's own spelling.
    """

    name: str | None = wired("name", TEXT, output_only=True)
    display_name: str | None = wired("displayName", TEXT)
    description: str | None = wired("description", TEXT)
    notebook_runtime_type: str | None = wired("notebookRuntimeType", TEXT)
    machine_spec: Mapping[str, Any] | None = wired("machineSpec", JSON)
    data_persistent_disk_spec: Mapping[str, Any] | None = wired("dataPersistentDiskSpec", JSON)
    network_spec: Mapping[str, Any] | None = wired("networkSpec", JSON)
    network_tags: list[str] | None = wired("networkTags", JSON)
    idle_shutdown_config: Mapping[str, Any] | None = wired("idleShutdownConfig", JSON)
    euc_config: Mapping[str, Any] | None = wired("eucConfig", JSON)
    shielded_vm_config: Mapping[str, Any] | None = wired("shieldedVmConfig", JSON)
    reservation_affinity: Mapping[str, Any] | None = wired("reservationAffinity", JSON)
    software_config: Mapping[str, Any] | None = wired("softwareConfig", JSON)
    encryption_spec: EncryptionSpec | None = wired("encryptionSpec", message(EncryptionSpec))
    service_account: str | None = wired("serviceAccount", TEXT)
    labels: Mapping[str, str] = wired("labels", LABELS)
    etag: str | None = wired("etag", TEXT)
    is_default: bool = wired("isDefault", BOOLEAN, output_only=True)
    create_time: datetime | None = wired("createTime", TIMESTAMP, output_only=True)
    update_time: datetime | None = wired("updateTime", TIMESTAMP, output_only=True)


def described_template(display_name: str, others: Mapping[str, Any]) -> NotebookRuntimeTemplate:
    """Return a template that can be created. Unless it says otherwise, notebooks run as service accounts.

    :param display_name: 1 to 128 characters.
    :param others: other fields of the resource, as in the REST API.
    :raises InvalidNotebookJobError: names the argument that is wrong, and the remedy.
    """
    if not isinstance(display_name, str) or not 0 < len(display_name) <= 128:
        raise InvalidNotebookJobError(f"display_name={display_name!r} is not a display name: give 1 to 128 characters.")
    if not isinstance(others, Mapping):
        raise InvalidNotebookJobError(f"template={others!r} is not a dict of fields: give keys and values.")
    if taken := sorted((NotebookRuntimeTemplate.output_only_keys() | {"displayName"}) & others.keys()):
        raise InvalidNotebookJobError(f"template contains {taken}, which is set by display_name or by the service.")
    euc = {"eucConfig": {"eucDisabled": True}}
    return NotebookRuntimeTemplate.from_wire({**euc, **others, "displayName": display_name})
