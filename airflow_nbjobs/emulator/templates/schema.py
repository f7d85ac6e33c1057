"""The fields of a runtime template, as in Google's discovery document of aiplatform v1, revision 20261106.

A test compares them with the document.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_nbjobs.emulator.jobs.schema import JOB
from airflow_nbjobs.emulator.json_format import Kind

_ENVIRONMENT = JOB["customEnvironmentSpec"]
_BEHAVIORS = ("POST_STARTUP_SCRIPT_BEHAVIOR_UNSPECIFIED", "RUN_ONCE", "RUN_EVERY_START", "DOWNLOAD_AND_RUN_EVERY_START")
_RESERVATIONS = ("RESERVATION_AFFINITY_TYPE_UNSPECIFIED", "RESERVATION_NONE", "RESERVATION_ANY", "RESERVATION_SPECIFIC")
TEMPLATE: Mapping[str, Kind] = {
    "createTime": "datetime",
    "dataPersistentDiskSpec": _ENVIRONMENT["persistentDiskSpec"],
    "description": "string",
    "displayName": "string",
    "encryptionSpec": {"kmsKeyName": "string"},
    "etag": "string",
    "eucConfig": {"bypassActasCheck": "boolean", "eucDisabled": "boolean"},
    "idleShutdownConfig": {"idleShutdownDisabled": "boolean", "idleTimeout": "duration"},
    "isDefault": "boolean",
    "labels": "labels",
    "machineSpec": _ENVIRONMENT["machineSpec"],
    "name": "string",
    "networkSpec": _ENVIRONMENT["networkSpec"],
    "networkTags": ["string"],
    "notebookRuntimeType": ("NOTEBOOK_RUNTIME_TYPE_UNSPECIFIED", "USER_DEFINED", "ONE_CLICK"),
    "reservationAffinity": {"consumeReservationType": _RESERVATIONS, "key": "string", "values": ["string"]},
    "serviceAccount": "string",
    "shieldedVmConfig": {"enableSecureBoot": "boolean"},
    "softwareConfig": {
        "colabImage": {"description": "string", "releaseName": "string"},
        "env": [{"name": "string", "value": "string"}],
        "postStartupScriptConfig": {
            "postStartupScript": "string",
            "postStartupScriptBehavior": _BEHAVIORS,
            "postStartupScriptUrl": "string",
        },
    },
    "updateTime": "datetime",
}
OUTPUT_ONLY = frozenset({"createTime", "isDefault", "name", "updateTime"})
UPDATABLE = (
    "displayName", "encryptionSpec.kmsKeyName", "softwareConfig.colabImage.releaseName", "softwareConfig.env",
    *(f"softwareConfig.postStartupScriptConfig.postStartupScript{part}" for part in ("", "Behavior", "Url")),
)  # fmt: skip
"""What a patch may change, by the documentation of its ``updateMask``."""
