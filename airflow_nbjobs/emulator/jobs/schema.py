"""The fields of a job, as in Google's discovery document of aiplatform v1, revision 20261106.

The table is kept by hand, because the document (4 MB, part of ``google-api-python-client``) is not a dependency of the
emulator. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_nbjobs.emulator.jobs import states
from airflow_nbjobs.emulator.json_format import Kind, read_message

_ACCELERATORS = (
    "ACCELERATOR_TYPE_UNSPECIFIED NVIDIA_TESLA_K80 NVIDIA_TESLA_P100 NVIDIA_TESLA_V100 NVIDIA_TESLA_P4 NVIDIA_TESLA_T4 "
    "TPU_V2 TPU_V3 NVIDIA_TESLA_A100 NVIDIA_A100_80GB TPU_V4_POD NVIDIA_L4 TPU_V5_LITEPOD NVIDIA_H100_80GB "
    "NVIDIA_H100_MEGA_80GB NVIDIA_H200_141GB NVIDIA_B200 NVIDIA_GB200 NVIDIA_RTX_PRO_6000"
)
_MACHINE = {
    "acceleratorCount": "int32",
    "acceleratorType": tuple(_ACCELERATORS.split()),
    "gpuPartitionSize": "string",
    "machineType": "string",
    "reservationAffinity": {
        "key": "string",
        "reservationAffinityType": ("TYPE_UNSPECIFIED", "NO_RESERVATION", "ANY_RESERVATION", "SPECIFIC_RESERVATION"),
        "values": ["string"],
    },
    "tpuTopology": "string",
}
_ENVIRONMENT = {
    "machineSpec": _MACHINE,
    "networkSpec": {"enableInternetAccess": "boolean", "network": "string", "subnetwork": "string"},
    "persistentDiskSpec": {"diskSizeGb": "int64", "diskType": "string"},
    "shieldedInstanceConfig": dict.fromkeys(
        ("enableIntegrityMonitoring", "enableSecureBoot", "enableVtpm"),
        "boolean",
    ),
}
JOB: Mapping[str, Kind] = {
    "createTime": "datetime",
    "customEnvironmentSpec": _ENVIRONMENT,
    "dataformRepositorySource": {"commitSha": "string", "dataformRepositoryResourceName": "string"},
    "directNotebookSource": {"content": "bytes"},
    "displayName": "string",
    "encryptionSpec": {"kmsKeyName": "string"},
    "executionTimeout": "duration",
    "executionUser": "string",
    "gcsNotebookSource": {"generation": "string", "uri": "string"},
    "gcsOutputUri": "string",
    "jobState": tuple(states.BY_NUMBER),
    "kernelName": "string",
    "labels": "labels",
    "name": "string",
    "notebookRuntimeTemplateResourceName": "string",
    "scheduleResourceName": "string",
    "serviceAccount": "string",
    "status": {"code": "int32", "details": ["any"], "message": "string"},
    "updateTime": "datetime",
    "workbenchRuntime": {
        "customContainerImage": {"repository": "string", "tag": "string"},
        "vmImage": {"family": "string", "name": "string", "project": "string"},
    },
}
OUTPUT_ONLY = frozenset({"createTime", "jobState", "name", "status", "updateTime"})


def read_job(body: object) -> dict[str, Any]:
    """Read the JSON body of a create into the job's canonical wire form.

    Names come in camelCase or snake_case and leave in camelCase; null and default values are dropped, as protobuf's
    JSON mapping does; read-only fields are checked and dropped, as AIP-203 asks.

    :raises ServiceError: 400 for an unknown field, a value of the wrong type, or two fields of one oneof.
    """
    job = read_message(body, JOB, "notebook_execution_job")
    return {field: value for field, value in job.items() if field not in OUTPUT_ONLY}
