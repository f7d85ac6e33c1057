"""Convert JSON objects of the service to frozen values and back, without loss.

A message keeps the JSON object that it was read from. Unchanged fields are written back exactly as they came, with nine
fractional digits, explicit nulls and fields that Google adds later. Only changed fields are encoded.
"""

from __future__ import annotations

import base64
import binascii
import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

__all__ = [
    "BOOLEAN",
    "BYTES",
    "DURATION",
    "INTEGER",
    "JSON",
    "LABELS",
    "TEXT",
    "TIMESTAMP",
    "Codec",
    "Message",
    "message",
    "parse_time",
    "wired",
]


class Codec(NamedTuple):
    """How one field is decoded and encoded.

    ``decode`` never fails: a value that it cannot decode counts as absent, and is written back unchanged. A poll must
    not fail because an unused field has changed its form. ``is_exact`` means that ``encode`` exactly reverses it.
    """

    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any]
    is_exact: bool = False


def wired(key: str, codec: Codec, *, secret: bool = False, output_only: bool = False) -> Any:
    """Declare a field whose JSON name is ``key``.

    :param secret: the field is left out of ``repr``.
    :param output_only: only the service writes it: it is left out of requests.
    """
    default, metadata = codec.decode(None), {"key": key, "codec": codec, "output_only": output_only}
    if isinstance(default, dict):
        return field(default_factory=dict, repr=not secret, metadata=metadata)
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Message:
    """A JSON object of the service as a value.

    :ivar wire: the object it was read from; empty for a new message.
    """

    wire: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Self:
        """Read a JSON object.

        :raises TypeError: if ``data`` is not an object.
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"{cls.__name__} is read from a JSON object, not from {type(data).__name__}.")
        kept = copy.deepcopy(dict(data))
        known = {name: codec.decode(kept.get(key)) for name, key, codec in cls._wiring()}
        return cls(wire=kept, **known)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object that ``from_wire`` read, with the fields that have changed since."""
        data = copy.deepcopy(dict(self.wire))
        for name, key, codec in self._wiring():
            value = getattr(self, name)
            is_changed = value != codec.decode(data.get(key))
            if is_changed and value is None:
                data.pop(key, None)
            elif is_changed or (codec.is_exact and value is not None):
                # Always written: a comparison misses changes, as True == 1, and unknown fields are not compared.
                data[key] = codec.encode(value)
        return data

    def to_request(self) -> dict[str, Any]:
        """Return the body of a create or patch: the JSON object without the fields that only the service writes."""
        left_out = self.output_only_keys()
        return {key: value for key, value in self.to_wire().items() if key not in left_out}

    @classmethod
    def wired_keys(cls) -> set[str]:
        """Return the JSON names of all fields."""
        return {key for _, key, _ in cls._wiring()}

    @classmethod
    def output_only_keys(cls) -> set[str]:
        """Return the JSON names of the fields that only the service writes."""
        return {f.metadata["key"] for f in fields(cls) if f.metadata.get("output_only")}

    @classmethod
    def _wiring(cls) -> list[tuple[str, str, Codec]]:
        return [(f.name, f.metadata["key"], f.metadata["codec"]) for f in fields(cls) if "key" in f.metadata]


def _text(value: Any) -> str | None:
    # An int64 is a string in Google's JSON, and may arrive as a number.
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _integer(value: Any) -> int | None:
    text = _text(value) or ""
    return int(text) if re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII) else None


_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s")


def _duration(value: Any) -> timedelta | None:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    sign, seconds, fraction = match.groups()
    length = timedelta(seconds=int(seconds), microseconds=int((fraction or "").ljust(9, "0")) // 1000)
    return -length if sign else length


def _duration_text(value: timedelta) -> str:
    total = value // timedelta(microseconds=1)
    seconds, micros = divmod(abs(total), 1_000_000)
    fraction = f".{micros:06d}".rstrip("0") if micros else ""
    return f"{'-' if total < 0 else ''}{seconds}{fraction}s"


def parse_time(value: object) -> datetime | None:
    """Parse an ISO 8601 time with a time zone.

    :returns: ``None`` if it is not valid, or has no time zone and cannot be compared with others.
    """
    try:
        # RFC 3339 allows t and z, Python does not.
        moment = datetime.fromisoformat(value.upper()) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _timestamp_text(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError(f"A timestamp needs a time zone; {value!r} has none.")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _content(value: Any) -> bytes | None:
    if not isinstance(value, str):
        return None
    try:  # proto3 JSON reads both alphabets, padded or not
        standard = value.translate(str.maketrans("-_", "+/")).rstrip("=")
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


TEXT = Codec(_text, str)
BOOLEAN = Codec(lambda value: value is True, bool)
INTEGER = Codec(_integer, str)  # an int64
DURATION = Codec(_duration, _duration_text)
TIMESTAMP = Codec(parse_time, _timestamp_text)
BYTES = Codec(_content, lambda content: base64.b64encode(content).decode("ascii"))
LABELS = Codec(_labels, dict)
JSON = Codec(copy.deepcopy, copy.deepcopy, is_exact=True)


def message(kind: type[Message]) -> Codec:
    """Return the codec of a field that holds a message."""
    return Codec(
        lambda value: kind.from_wire(value) if isinstance(value, Mapping) else None,
        lambda value: value.to_wire(),
        is_exact=True,
    )
