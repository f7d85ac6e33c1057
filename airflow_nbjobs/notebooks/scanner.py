"""A notebook of any size, taken apart while it is read.

An executed notebook is written by code that nobody vouches for, and can hold hundreds of megabytes in one output or
in a million. Parsed whole, it takes many times its size. So only its brackets are followed here: each output, each
cell without its outputs, and the notebook without its cells are handed on as they end, none of them larger than
:data:`PIECE_BYTES`, and :mod:`json` parses that. What is larger is cut, and said to be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["PIECE_BYTES", "Piece", "pieces"]

PIECE_BYTES = 4 * 2**20
"""The largest output, or cell without its outputs, that is read whole."""

_HEAD_BYTES = 256 * 2**10

Kind = Literal["notebook", "cell", "output"]


@dataclass(frozen=True)
class Piece:
    """A part of a notebook, handed on when it ends: outputs before the cell that they are of, the notebook last.

    :ivar value: the JSON object, without what was handed on before it; empty when it cannot be read at all.
    :ivar size: bytes that it takes in the file.
    :ivar is_whole: whether ``value`` is all of it, or what its beginning says.
    """

    kind: Kind
    value: dict[str, Any]
    size: int
    is_whole: bool


# Up to the next bracket, strings swallowed; a string that does not end in this chunk is left where it begins.
_RUN = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_OPENINGS, _CLOSINGS = re.compile(rb"[{\[]++"), re.compile(rb"[}\]]++")
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
# A whole output at once, if it lies in the chunk and is nested as outputs are: a million of them are read so.
_FLAT = rb'[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"'
for _ in range(3):
    _FLAT = rb"%s|[{\[](?:%s)*+[}\]]" % (rb'[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"', _FLAT)
_OUTPUT = re.compile(rb"[\s,]*+(\{(?:%s)*+\})" % _FLAT, re.DOTALL)

_KEY_BYTES = 64
_LAST_KEY = re.compile(rb'"([a-z]{1,10})"\s*:\s*\Z')

# From the outside in: the arrays whose elements are handed on one by one, and what opens each level.
_LEVELS: tuple[tuple[bytes, bytes | None], ...] = (
    (b"{", None),
    (b"[", b"cells"),
    (b"{", None),
    (b"[", b"outputs"),
    (b"{", None),
)
_OUTPUTS = 4
_KINDS: dict[int, Kind] = {1: "notebook", 3: "cell", 5: "output"}


class _Sink:
    """Takes the bytes of one piece; of a piece that grows too large, the beginning."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.size = 0

    def add(self, part: bytes | memoryview) -> None:
        self.size += len(part)
        if self.size <= PIECE_BYTES:
            self.kept += part
        elif len(self.kept) < _HEAD_BYTES:
            self.kept += part[: _HEAD_BYTES - len(self.kept)]
        else:
            del self.kept[_HEAD_BYTES:]

    def piece(self, kind: Kind, *, has_ended: bool) -> Piece:
        return _piece(kind, self.kept, self.size, has_ended=has_ended)


class _Scanner:
    """Follows the brackets over the chunks' borders."""

    def __init__(self) -> None:
        self._sinks: list[_Sink] = []  # of the open pieces, the outermost first
        self._level = 0  # how many of _LEVELS are open
        self._inner = 0  # brackets open within the innermost of them
        self._is_in_string = False
        self._key = b""  # the last bytes before a bracket: they hold the key of an array
        self._rest = b""  # half an escape
        self.has_ended = False

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """Take a chunk and return the pieces that end in it."""
        data, self._rest = self._rest + chunk, b""
        at = 0
        while at < len(data) and not self.has_ended:
            if self._is_in_string:
                at = self._string(data, at)
                continue
            if self._level == _OUTPUTS and not self._inner and (output := _OUTPUT.match(data, at)):
                yield _piece("output", output[1], len(output[1]), has_ended=True)
                at = output.end()
                continue
            end = _end(_RUN, data, at)
            self._take(data, at, end)
            at = end + 1
            if end < len(data):
                if data[end:at] == b'"':  # of a string that does not end in this chunk
                    self._is_in_string = True
                    self._take(data, end, at)
                elif more := self._inner_brackets(data, end):
                    at = end + more
                else:
                    yield from self._bracket(data[end:at])

    def rest(self) -> Iterator[Piece]:
        """Return what was begun and did not end."""
        while self._sinks:
            kind = _KINDS[2 * len(self._sinks) - 1]
            yield self._sinks.pop().piece(kind, has_ended=False)

    def _string(self, data: bytes, at: int) -> int:
        end = _end(_REST_OF_STRING, data, at)
        if data[end : end + 1] == b'"':
            self._is_in_string = False
            end += 1
            self._take(data, at, end)
            return end
        self._take(data, at, end)
        self._rest = data[end:]
        return len(data)

    def _take(self, data: bytes, start: int, end: int) -> None:
        self._keep(memoryview(data)[start:end])
        self._key = (self._key + data[max(start, end - _KEY_BYTES) : end])[-_KEY_BYTES:]

    def _inner_brackets(self, data: bytes, at: int) -> int:
        """Take the brackets that only nest deeper, or come back, and return how many they are."""
        if self._inner:
            count = _end(_OPENINGS, data, at) - at
            self._inner += count
            if not count:
                count = min(_end(_CLOSINGS, data, at) - at, self._inner)
                self._inner -= count
            self._take(data, at, at + count)
            return count
        return 0

    def _bracket(self, bracket: bytes) -> Iterator[Piece]:
        key, self._key = self._key, b""
        if bracket in b"{[":
            if not self._inner and self._opens_level(bracket, key):
                self._level += 1
                if self._level in _KINDS:
                    self._sinks.append(_Sink())
            else:
                self._inner += 1
            self._keep(bracket)
        elif self._level:
            self._keep(bracket)
            if kind := _KINDS.get(self._level):
                yield self._sinks.pop().piece(kind, has_ended=True)
            self._level -= 1
            self.has_ended = not self._level

    def _opens_level(self, bracket: bytes, before: bytes) -> bool:
        if self._level == len(_LEVELS):
            return False
        opening, key = _LEVELS[self._level]
        if bracket != opening:
            return False
        if key is None:
            return True
        found = _LAST_KEY.search(before)
        return found is not None and found[1] == key

    def _keep(self, part: bytes | memoryview) -> None:
        # Between an array's elements there are commas, which nobody misses; its brackets stay with what it is in.
        if self._sinks and (self._level in _KINDS or part in (b"[", b"]")):
            self._sinks[-1].add(part)


def _piece(kind: Kind, kept: bytes | bytearray, size: int, *, has_ended: bool) -> Piece:
    content = kept.decode(errors="replace")
    if has_ended and size <= PIECE_BYTES:
        value = _parsed(content)
        if value is not None:
            return Piece(kind, value, size, is_whole=True)
    return Piece(kind, _beginning(content[:_HEAD_BYTES]), size, is_whole=False)


def pieces(chunks: Iterable[bytes]) -> Iterator[Piece]:
    """Return the pieces of a notebook of nbformat 4, in the order in which they end.

    Bytes that are no notebook have no pieces, or some that are not whole. Nothing is raised for what they hold.
    """
    scanner = _Scanner()
    for chunk in chunks:
        yield from scanner.feed(chunk)
        if scanner.has_ended:
            return
    yield from scanner.rest()


def _end(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    match = pattern.match(data, at)
    return match.end() if match else at


def _parsed(content: str) -> dict[str, Any] | None:
    try:
        value = _DECODER.decode(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= 4300 else float(digits)  # Python reads no longer ones


_DECODER = json.JSONDecoder(parse_int=_number)


def _beginning(content: str) -> dict[str, Any]:
    """Return what the beginning of a JSON object says: what is open at its end is closed."""
    encoded = content.encode(errors="replace")
    closing = bytearray()
    at = 0
    while at < len(encoded):
        at = _end(_RUN, encoded, at)
        bracket = encoded[at : at + 1]
        if bracket in (b"{", b"["):
            closing += b"}" if bracket == b"{" else b"]"
        elif bracket in (b"}", b"]") and closing:
            del closing[-1]
        elif bracket == b'"':  # the string that the cut went through, without an escape that it went through
            encoded = re.sub(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z", b"", encoded) + b'"'
            break
        at += 1
    whole = encoded.decode(errors="replace").rstrip().rstrip(",")
    ends = bytes(reversed(closing)).decode()
    candidates = (f"{whole}{filler}{ends}" for filler in ("", "null", ":null"))
    return next((value for value in map(_parsed, candidates) if value is not None), {})
