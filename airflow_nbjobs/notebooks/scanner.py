"""A scanner that splits a notebook of any size into pieces while it arrives.

An executed notebook can hold hundreds of megabytes in one output, or a million outputs, and parsing it whole takes many
times its size. The scanner only follows brackets and strings. It returns each output, each cell without its outputs,
and the notebook without its cells, as soon as they end, and :mod:`json` parses them one by one. A piece over
:data:`PIECE_BYTES` is cut: its beginning and its end are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["PIECE_BYTES", "Piece", "pieces"]

PIECE_BYTES = 4 * 2**20
"""Size of the largest output, or cell without its outputs, that is read whole, in bytes."""

_HEAD_BYTES = _TAIL_BYTES = 256 * 2**10  # what is kept of a larger one

Kind = Literal["notebook", "cell", "output"]


@dataclass(frozen=True)
class Piece:
    """A part of a notebook.

    :ivar value: the JSON object without the pieces inside it; ``{}`` when it cannot be parsed.
    :ivar size: bytes of the piece in the file.
    :ivar is_whole: whether ``value`` is all of the piece. If not, it is the beginning, and where the middle of a long
        text could be left out also the end.
    """

    kind: Kind
    value: dict[str, Any]
    size: int
    is_whole: bool


def pieces(chunks: Iterable[bytes]) -> Iterator[Piece]:
    """Split a notebook of nbformat 4 into pieces, in the order in which they end.

    The outputs of a cell come before the cell, and the notebook comes last. Other bytes than a notebook give no piece,
    or pieces that are not whole; nothing is raised.

    :param chunks: the bytes of the notebook, split anywhere.
    """
    scanner = _Scanner()
    for chunk in chunks:
        yield from scanner.feed(chunk)
        if scanner.has_ended:
            return
    yield from scanner.unfinished()


_PLAIN = rb'[^"{}\[\]]++'
_STRING_BODY = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_TEXT = rb'%s|"%s"' % (_PLAIN, _STRING_BODY)
# Everything up to the next bracket, or up to a string that does not end in this chunk.
_UP_TO_BRACKET = re.compile(rb"(?:%s)*+" % _TEXT, re.DOTALL)
_REST_OF_STRING = re.compile(_STRING_BODY, re.DOTALL)
_OPENINGS, _CLOSINGS = re.compile(rb"[{\[]++"), re.compile(rb"[}\]]++")
# A whole output of up to four levels of brackets. Most outputs are read at once by this, which is much faster.
_NESTED = _TEXT
for _ in range(3):
    _NESTED = rb"%s|[{\[](?:%s)*+[}\]]" % (_TEXT, _NESTED)
_OUTPUT = re.compile(rb"[\s,]*+(\{(?:%s)*+\})" % _NESTED, re.DOTALL)

_KEY_BYTES = 64
_LAST_KEY = re.compile(rb'"([a-z]{1,10})"\s*:\s*\Z')

# The levels from the notebook to an output: the bracket that opens a level, and the key that must be before it.
_LEVELS: tuple[tuple[bytes, bytes | None], ...] = (
    (b"{", None),
    (b"[", b"cells"),
    (b"{", None),
    (b"[", b"outputs"),
    (b"{", None),
)
_IN_OUTPUTS = 4
_KINDS: dict[int, Kind] = {1: "notebook", 3: "cell", 5: "output"}  # by the number of open levels


class _Buffer:
    """The bytes of an open piece, or the beginning and the end of a piece that is too large."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.tail = bytearray()
        self.size = 0

    def add(self, part: bytes | memoryview) -> None:
        self.size += len(part)
        if self.size <= PIECE_BYTES:
            self.kept += part
            return
        if len(self.kept) < _HEAD_BYTES:
            self.kept += part[: _HEAD_BYTES - len(self.kept)]
        elif len(self.kept) > _HEAD_BYTES:
            self.tail += self.kept[_HEAD_BYTES:]
            del self.kept[_HEAD_BYTES:]
        self.tail += part[-_TAIL_BYTES:]
        if len(self.tail) > 2 * _TAIL_BYTES:
            del self.tail[:-_TAIL_BYTES]


class _Scanner:
    """Follows brackets and strings from chunk to chunk."""

    def __init__(self) -> None:
        self._buffers: list[_Buffer] = []  # of the open pieces, the outermost first
        self._level = 0  # how many of _LEVELS are open
        self._nested = 0  # how many other brackets are open inside them
        self._is_in_string = False
        self._before = b""  # the last bytes before a bracket, for its key
        self._rest = b""  # an escape sequence that the end of the chunk has cut
        self.has_ended = False

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """Scan a chunk, and return the pieces that end in it."""
        data, self._rest = self._rest + chunk, b""
        at = 0
        while at < len(data) and not self.has_ended:
            if self._is_in_string:
                at = self._scan_string(data, at)
            elif self._level == _IN_OUTPUTS and not self._nested and (output := _OUTPUT.match(data, at)):
                yield _parse("output", output[1], len(output[1]))
                at = output.end()
            else:
                end = _end(_UP_TO_BRACKET, data, at)
                self._take(data, at, end)
                at = end + 1
                if end == len(data):
                    return
                if data[end:at] == b'"':  # of a string that does not end in this chunk
                    self._is_in_string = True
                    self._take(data, end, at)
                elif self._nested:
                    at = self._scan_nested(data, end)
                else:
                    yield from self._scan_bracket(data[end:at])

    def unfinished(self) -> Iterator[Piece]:
        """Return the pieces that have not ended."""
        while self._buffers:
            kind = _KINDS[2 * len(self._buffers) - 1]
            buffer = self._buffers.pop()
            yield Piece(kind, _parse_beginning(buffer.kept), buffer.size, is_whole=False)

    def _scan_string(self, data: bytes, at: int) -> int:
        end = _end(_REST_OF_STRING, data, at)
        if data[end : end + 1] == b'"':
            self._is_in_string = False
            end += 1
            self._take(data, at, end)
            return end
        self._take(data, at, end)
        self._rest = data[end:]
        return len(data)

    def _scan_nested(self, data: bytes, at: int) -> int:
        """Scan brackets that do not reach one of the levels, as many as there are in a row."""
        if (end := _end(_OPENINGS, data, at)) > at:
            self._nested += end - at
        else:
            end = min(_end(_CLOSINGS, data, at), at + self._nested)
            self._nested -= end - at
        self._take(data, at, end)
        return end

    def _scan_bracket(self, bracket: bytes) -> Iterator[Piece]:
        before, self._before = self._before, b""
        if bracket in b"{[":
            if self._opens_level(bracket, before):
                self._level += 1
                if self._level in _KINDS:
                    self._buffers.append(_Buffer())
            else:
                self._nested = 1
            self._keep(bracket)
        elif self._level:
            self._keep(bracket)
            if kind := _KINDS.get(self._level):
                buffer = self._buffers.pop()
                yield _parse(kind, buffer.kept, buffer.size, buffer.tail)
            self._level -= 1
            self.has_ended = not self._level

    def _opens_level(self, bracket: bytes, before: bytes) -> bool:
        if self._level == len(_LEVELS):
            return False
        opening, key = _LEVELS[self._level]
        if bracket != opening or key is None:
            return bracket == opening
        found = _LAST_KEY.search(before)
        return found is not None and found[1] == key

    def _take(self, data: bytes, start: int, end: int) -> None:
        self._keep(memoryview(data)[start:end])
        self._before = (self._before + data[max(start, end - _KEY_BYTES) : end])[-_KEY_BYTES:]

    def _keep(self, part: bytes | memoryview) -> None:
        # Of the arrays of cells and outputs only the brackets belong to the outer piece, not the commas between pieces.
        if self._buffers and (self._level in _KINDS or part in (b"[", b"]")):
            self._buffers[-1].add(part)


def _parse(kind: Kind, kept: bytes | bytearray, size: int, tail: bytes | bytearray = b"") -> Piece:
    if size <= PIECE_BYTES and (value := _parsed(kept.decode(errors="replace"))) is not None:
        return Piece(kind, value, size, is_whole=True)
    value = _parse_without_middle(kept, (tail or kept)[-_TAIL_BYTES:]) if size > PIECE_BYTES else None
    return Piece(kind, value or _parse_beginning(kept), size, is_whole=False)


def _parse_without_middle(kept: bytes | bytearray, tail: bytes | bytearray) -> dict[str, Any] | None:
    """Parse a JSON object whose middle is left out, if that is the middle of a text or of a list of texts."""
    head = _without_cut_escape(kept[:_HEAD_BYTES]).decode(errors="replace")
    start = _NO_ESCAPE.search(tail)
    end = tail[start.end() if start else 0 :].decode(errors="replace")
    # Each cut may be inside a text or between two texts. A line end keeps the lines on both sides apart.
    joints = ("\\n", '\\n"', '"\\n', ',"\\n', "", ",")
    return next((parsed for joint in joints if (parsed := _parsed(f"{head}{joint}{end}")) is not None), None)


_CUT_ESCAPE = re.compile(rb"(?<!\\)((?:\\\\)*)\\(?:u[0-9a-fA-F]{0,3})?\Z")
_NO_ESCAPE = re.compile(rb"[^\\]{2}")


def _without_cut_escape(content: bytes | bytearray) -> bytes:
    return _CUT_ESCAPE.sub(rb"\1", content)


def _parsed(content: str) -> dict[str, Any] | None:
    try:
        value = _DECODER.decode(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= 4300 else float(digits)  # by default Python converts at most 4300 digits


_DECODER = json.JSONDecoder(parse_int=_number)


def _parse_beginning(kept: bytes | bytearray) -> dict[str, Any]:
    """Parse the beginning of a JSON object: close the string and the brackets that are open at its end."""
    # Decoding and encoding again replaces bytes that are not UTF-8.
    content = kept.decode(errors="replace")[:_HEAD_BYTES].encode()
    closing: list[str] = []
    at = 0
    while (at := _end(_UP_TO_BRACKET, content, at)) < len(content):
        bracket = content[at : at + 1]
        if bracket == b'"':  # of the string that is cut, possibly inside an escape sequence
            content = _without_cut_escape(content) + b'"'
            break
        if bracket in b"{[":
            closing.append("}" if bracket == b"{" else "]")
        elif closing:
            closing.pop()
        at += 1
    beginning = content.decode(errors="replace").rstrip().rstrip(",")
    # The end may be a key without its value.
    candidates = (f"{beginning}{value}{''.join(reversed(closing))}" for value in ("", "null", ":null"))
    return next((parsed for parsed in map(_parsed, candidates) if parsed is not None), {})


def _end(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    match = pattern.match(data, at)
    return match.end() if match else at
