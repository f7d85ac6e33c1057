"""JSON bodies, read as Google's JSON front end reads them: known fields only, each of its type."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from airflow_nbjobs.emulator.database import fraction_digits, nanoseconds, timestamp
from airflow_nbjobs.emulator.errors import ServiceError, invalid

T = TypeVar("T")

Kind = Any
"""The type of a field: the name of a scalar (or "labels", the one map), a tuple with an enum's names in the order of
their numbers, a one-item list for a repeated field, a dict for a message."""

_ONEOFS = {
    "notebook_source": {"dataformRepositorySource", "directNotebookSource", "gcsNotebookSource"},
    "environment_spec": {"customEnvironmentSpec", "notebookRuntimeTemplateResourceName"},
    "execution_identity": {"executionUser", "serviceAccount"},
    "image": {"customContainerImage", "vmImage"},
    "operation": {"deleteFile", "writeFile"},
    "request": {"createNotebookExecutionJobRequest", "createPipelineJobRequest"},
}
_MAX_DURATION = 315_576_000_000  # seconds; google/protobuf/duration.proto


def camel_case(name: str) -> str:
    """Return a field name in camelCase; ``snake_case`` is converted."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def _snake_case(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), name)


def duration_nanoseconds(text: str) -> int:
    """Read a duration of protobuf's JSON mapping, such as ``3600s`` or ``1.500s``, in nanoseconds.

    :raises ValueError: when the text is malformed, or longer than ten thousand years.
    """
    match = re.fullmatch(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s", text)
    if not match or int(match[2]) > _MAX_DURATION:
        raise ValueError(f"not a duration: {text!r}")
    size = int(match[2]) * 10**9 + int((match[3] or "").ljust(9, "0"))
    return -size if match[1] else size


def read_message(value: object, fields: Mapping[str, Kind], path: str) -> dict[str, Any]:
    """Read a message into its canonical form.

    Names are accepted in camelCase or snake_case and returned in camelCase. Null and default values are dropped, as
    protobuf's JSON mapping does.

    :param fields: the type of each field.
    :param path: the name of the message in errors.
    :raises ServiceError: 400 for an unknown field, a value of the wrong type, or two fields of one oneof.
    """
    if not isinstance(value, dict):
        raise _wrong(path, "message", value)
    found: dict[str, Any] = {}
    for given, item in value.items():
        name = camel_case(given)
        kind = fields.get(name)
        if kind is None:
            text = f"Unknown name \"{given}\" at '{path}': Cannot find field."
            raise invalid(path, f"Invalid JSON payload received. {text}")
        if item is None:
            continue
        if name in found:
            raise invalid(path, f"Invalid value at '{path}' ({given}): the field is set twice.")
        read = _value(item, kind, f"{path}.{_snake_case(name)}")
        if isinstance(kind, dict) or read not in ("", 0, False, [], {}):
            found[name] = read
    for oneof, members in _ONEOFS.items():
        for extra in [name for name in found if name in members][1:]:
            text = f"oneof field '{oneof}' is already set. Cannot set '{extra}'"
            raise invalid(path, f"Invalid value at '{path}' (oneof), {text}")
    return found


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


def _wrong(path: str, kind: str, value: object) -> ServiceError:
    shown = repr(value)
    return invalid(path, f"Invalid value at '{path}' (TYPE_{kind.upper()}), {shown[:80]}")


def _typed(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _string(value: object) -> str:
    text = _typed(value, str)
    text.encode()  # a lone surrogate cannot be encoded
    return text


def _integer(value: object, bits: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        raise TypeError
    number = int(value)
    if (isinstance(value, float) and number != value) or not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise ValueError
    return number


def _bytes(value: object) -> str:
    text = _string(value).replace("-", "+").replace("_", "/").rstrip("=")
    padded = text + "=" * (-len(text) % 4)
    return base64.b64encode(base64.b64decode(padded, validate=True)).decode()


def _duration(value: object) -> str:
    size = duration_nanoseconds(_string(value))
    seconds, fraction = divmod(abs(size), 10**9)
    return f"{'-' if size < 0 else ''}{seconds}{fraction_digits(fraction)}s"


def _labels(value: object) -> dict[str, str]:
    return {_string(key): _string(item) for key, item in _typed(value, dict).items()}


_SCALARS: Mapping[str, Callable[[object], Any]] = {
    "any": lambda value: value,
    "boolean": lambda value: _typed(value, bool),
    "bytes": _bytes,
    "datetime": lambda value: timestamp(nanoseconds(_string(value))),
    "duration": _duration,
    "int32": lambda value: _integer(value, 32),
    "int64": lambda value: str(_integer(value, 64) or ""),
    "labels": _labels,
    "string": _string,
}
