"""The body of a create, read as Google's JSON front end reads it: known fields only, each of its type.

The table follows Google's discovery document of aiplatform v1, revision 20261106. It is kept by hand, because the
document (4 MB, part of ``google-api-python-client``) is no dependency of the emulator; a test holds the two together.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.emulator import states
from airflow_nbjobs.emulator.errors import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# What a field is: the name of a scalar (or "labels", the one map), a tuple with an enum's names in the order of their
# numbers, a one-item list for a repeated field, a dict for a message.
Kind = Any

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
_ONEOFS = (
    ("notebook_source", frozenset({"dataformRepositorySource", "directNotebookSource", "gcsNotebookSource"})),
    ("environment_spec", frozenset({"customEnvironmentSpec", "notebookRuntimeTemplateResourceName"})),
    ("execution_identity", frozenset({"executionUser", "serviceAccount"})),
    ("image", frozenset({"customContainerImage", "vmImage"})),
    ("operation", frozenset({"deleteFile", "writeFile"})),
)
_MAX_DURATION = 315_576_000_000  # seconds; google/protobuf/duration.proto


def read_job(body: object) -> dict[str, Any]:
    """Read the JSON body of a create into the job's canonical wire form.

    Names come in camelCase or snake_case and leave in camelCase; null and default values are dropped, as protobuf's
    JSON mapping does; read-only fields are checked and dropped, as AIP-203 asks.

    :raises ApiError: 400 for an unknown field, a value of the wrong type, or two fields of one oneof.
    """
    job = read_message(body, JOB, "notebook_execution_job")
    return {field: value for field, value in job.items() if field not in OUTPUT_ONLY}


def camel_case(name: str) -> str:
    """Write a snake_case field name in camelCase; a camelCase one stays."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def _snake_case(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), name)


def duration_nanoseconds(text: str) -> int:
    """Read a duration of protobuf's JSON mapping, such as ``3600s`` or ``1.500s``, in nanoseconds.

    :raises ValueError: when the text is no such duration or is out of the range of ten thousand years.
    """
    match = re.fullmatch(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s", text)
    if not match or int(match[2]) > _MAX_DURATION:
        raise ValueError(f"no duration: {text!r}")
    size = int(match[2]) * 10**9 + int((match[3] or "").ljust(9, "0"))
    return -size if match[1] else size


def read_message(value: object, fields: Mapping[str, Kind], path: str) -> dict[str, Any]:
    """Read one message of such fields, as :func:`read_job` reads a job.

    :param path: what an error calls the message.
    :raises ApiError: 400 for an unknown field, a value of the wrong type, or two fields of one oneof.
    """
    if not isinstance(value, dict):
        raise _wrong(path, "message", value)
    found: dict[str, Any] = {}
    for given, item in value.items():
        name = camel_case(given)
        kind = fields.get(name)
        if kind is None:
            raise invalid(
                path, f"Invalid JSON payload received. Unknown name \"{given}\" at '{path}': Cannot find field."
            )
        if item is None:
            continue
        if name in found:
            raise invalid(path, f"Invalid value at '{path}' ({given}): the field is set twice.")
        read = _value(item, kind, f"{path}.{_snake_case(name)}")
        if isinstance(kind, dict) or read not in ("", 0, False, [], {}):
            found[name] = read
    _check_oneofs(found, path)
    return found


def _check_oneofs(found: Mapping[str, Any], path: str) -> None:
    for oneof, members in _ONEOFS:
        given = [name for name in found if name in members]
        if len(given) > 1:
            text = f"oneof field '{oneof}' is already set. Cannot set '{given[1]}'"
            raise invalid(path, f"Invalid value at '{path}' (oneof), {text}")


def _value(value: object, kind: Kind, path: str) -> Any:
    if isinstance(kind, dict):
        return read_message(value, kind, path)
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise _wrong(path, "repeated", value)
        return [_value(item, kind[0], f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(kind, tuple):
        return _enum(value, kind, path)
    try:
        return _SCALARS[kind](value)
    except (ValueError, TypeError, binascii.Error):
        raise _wrong(path, kind, value) from None


def _enum(value: object, names: Sequence[str], path: str) -> str:
    # Google's own REST client sends the numbers.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        value = names[value]
    if value not in names:
        raise _wrong(path, "enum", value)
    return "" if value == names[0] else str(value)


def _wrong(path: str, kind: str, value: object) -> ApiError:
    shown = repr(value)
    return invalid(path, f"Invalid value at '{path}' (TYPE_{kind.upper()}), {shown[:80]}")


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # a lone surrogate has no UTF-8 form
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _integer(value: object, bits: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        raise TypeError
    number = int(value)
    if (isinstance(value, float) and number != value) or not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise ValueError
    return number


def _int64(value: object) -> str:
    return str(_integer(value, 64) or "")


def _bytes(value: object) -> str:
    text = _string(value).replace("-", "+").replace("_", "/").rstrip("=")
    padded = text + "=" * (-len(text) % 4)
    return base64.b64encode(base64.b64decode(padded, validate=True)).decode()


def _duration(value: object) -> str:
    size = duration_nanoseconds(_string(value))
    seconds, fraction = divmod(abs(size), 10**9)
    digits = f"{fraction:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{'-' if size < 0 else ''}{seconds}{'.' + digits if digits else ''}s"


def _labels(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError
    return {_string(key): _string(item) for key, item in value.items()}


_SCALARS: Mapping[str, Callable[[object], Any]] = {
    "any": lambda value: value,
    "boolean": _boolean,
    "bytes": _bytes,
    "datetime": _string,
    "duration": _duration,
    "int32": lambda value: _integer(value, 32),
    "int64": _int64,
    "labels": _labels,
    "string": _string,
}
