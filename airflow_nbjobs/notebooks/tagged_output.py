"""The value in the outputs of a cell that is tagged as a result.

In the file the tags of a cell come after its outputs: the last outputs of each cell are kept until then, with
limited text. They are only parsed for tagged cells.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

from airflow_nbjobs.notebooks.cells import mapping
from airflow_nbjobs.notebooks.failures import text_of
from airflow_nbjobs.notebooks.literals import ShortenedError, read_value
from airflow_nbjobs.notebooks.plain_text import plain
from airflow_nbjobs.notebooks.printed_value import NoValueError, UnclearValueError, printed_value

__all__ = ["TaggedOutput"]

_KEPT = 5
_LEAST_CHARACTERS = 64 * 2**10
_SHOWN_CHARACTERS = 100
_LITERAL_ENDS = {"{": "}", "[": "]", "(": ")", '"': '"', "'": "'"}

Kind = Literal["json", "text"]


class TaggedOutput:
    """The last five outputs of one cell, where all text printed between two other outputs is one output.

    :ivar has_reported: whether the cell has reported scraps or records, which need no tag.
    :param limit: bytes of JSON that all results may take. Text over four times as long is not parsed: Python's parser
        takes hundreds of times its size in memory.
    """

    def __init__(self, limit: int) -> None:
        self._characters = max(4 * limit, _LEAST_CHARACTERS)
        self._kept: deque[Mapping[str, Any] | tuple[Kind, str] | _Printed | None] = deque(maxlen=_KEPT)
        self.has_reported = False

    @property
    def is_empty(self) -> bool:
        """Whether the cell has no output that can be a result."""
        return not self._kept

    def add(self, output: Mapping[str, Any], size: int, *, is_whole: bool) -> None:
        """Add an output that is not an error and has no scrap.

        :param size: bytes of the output in the file.
        :param is_whole: whether all of the output was read; if not, ``output`` is its beginning.
        """
        if output.get("output_type") == "stream":
            if output.get("name") != "stderr":
                self._add_printed(text_of(output.get("text")))
        elif size <= self._characters:
            self._kept.append(output)
        else:
            kind, text = _text(output)
            if is_whole and len(text) <= self._characters:
                self._kept.append((kind, text))  # without the output's other MIME types, such as an image
            else:
                self._kept.append(None if _begins_value(kind, text, is_whole=is_whole) else {})

    def value(self) -> tuple[Any, bool]:
        """Return the value of the last output that has one, and whether a kernel has sent it as JSON.

        :raises ValueError: with the reason why no output has a value, to be put after "is tagged as a result, but".
        """
        unclear, is_shortened, shown = "", False, ""
        for output in reversed(self._kept):
            if output is None:
                raise ValueError("its output is too large to be one")
            text = ""
            try:
                if isinstance(output, _Printed):
                    text = output.text()
                    return printed_value(text), False
                kind, text = output if isinstance(output, tuple) else _text(output)
                return (json.loads(text), True) if kind == "json" else (read_value(text), False)
            except UnclearValueError as error:
                unclear = unclear or str(error)
            except ShortenedError:
                is_shortened = True
            except NoValueError:
                if isinstance(output, _Printed) and output.ends_value():
                    raise ValueError("its output is too large to be one") from None
            except (ValueError, RecursionError):
                # A dict with an ellipsis is not a literal.
                is_shortened = is_shortened or ("..." in text and not isinstance(output, _Printed))
            shown = shown or _cut(text)
        if unclear:
            raise ValueError(unclear)
        if is_shortened:
            raise ValueError("IPython has shortened its output: print json.dumps(...) of the value")
        if not shown:
            raise ValueError("none of its last outputs is JSON: print json.dumps(...) of the value")
        raise ValueError(
            f"its output is not a value (`{shown}`): report numbers, text, lists and dicts, or print json.dumps(...)"
        )

    def _add_printed(self, text: str) -> None:
        last = self._kept[-1] if self._kept else None
        if not isinstance(last, _Printed):
            last = _Printed(self._characters)
            self._kept.append(last)
        last.add(text)


class _Printed:
    """Printed text, or the end of it.

    :param limit: characters that are kept at least; if there are more, the first line that is kept is not whole.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._size = 0
        self._is_cut = False

    def add(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        if self._size > 2 * self._limit:
            self._join()

    def text(self) -> str:
        """Return the text, without a first line whose beginning is not kept."""
        if self._size > self._limit:
            self._join()
        text = "".join(self._parts)
        return text.partition("\n")[2] if self._is_cut else text

    def ends_value(self) -> bool:
        """Return whether the text ends a value whose beginning is not kept: it closes more brackets than it opens."""
        line = "".join(self._parts).rstrip().rpartition("\n")[2]
        balance = sum(line.count(opening) - line.count(closing) for opening, closing in ("()", "[]", "{}"))
        return self._is_cut and balance < 0 and line.endswith((")", "]", "}"))

    def _join(self) -> None:
        self._parts = ["".join(self._parts)[-self._limit :]]
        self._size, self._is_cut = self._limit, True


def _cut(text: str) -> str:
    shown = plain(text[: 2 * _SHOWN_CHARACTERS])
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"


def _text(output: Mapping[str, Any]) -> tuple[Kind, str]:
    data = mapping(output.get("data"))
    if "application/json" not in data:
        return "text", text_of(data.get("text/plain")).strip()
    try:
        return "json", json.dumps(data["application/json"])
    except RecursionError:
        return "json", ""


def _begins_value(kind: Kind, text: str, *, is_whole: bool) -> bool:
    """Return whether a text that is too large looks like a value, not like other displayed text."""
    end = _LITERAL_ENDS.get(text[:1])
    return kind == "json" or (end is not None and (not is_whole or text.endswith(end)))
