"""Values in the last outputs of a cell that is tagged as a result.

In the file the tags of a cell come after its outputs, so the last outputs of each cell are kept until then, with
limited text. They are only parsed for tagged cells.
"""

from __future__ import annotations

import ast
import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from airflow_nbjobs.notebooks.cells import mapping
from airflow_nbjobs.notebooks.failures import text_of
from airflow_nbjobs.notebooks.plain_text import plain

__all__ = ["LastOutputs"]

_KEPT = 5
_LEAST_CHARACTERS = 64 * 2**10
_SHOWN_CHARACTERS = 100
_LITERAL_ENDS = {"{": "}", "[": "]", "(": ")", '"': '"', "'": "'"}

Kind = Literal["json", "text", "printed"]


class LastOutputs:
    """The last five outputs of one cell.

    :ivar has_reported: whether the cell has reported scraps or records, which need no tag.
    :param limit: bytes of JSON that all results may take. Text over four times as long is not parsed: Python's parser
        takes hundreds of times its size in memory.
    """

    def __init__(self, limit: int) -> None:
        self._characters = max(4 * limit, _LEAST_CHARACTERS)
        self._kept: deque[Mapping[str, Any] | tuple[Kind, str] | None] = deque(maxlen=_KEPT)
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
        if output.get("name") == "stderr":
            return
        if size <= self._characters:
            self._kept.append(output)
            return
        kind, text = _text(output)
        if is_whole and len(text) <= self._characters:
            self._kept.append((kind, text))  # without the output's other MIME types, such as an image
        else:
            self._kept.append(None if _begins_value(kind, text, is_whole=is_whole) else {})

    def values(self) -> dict[str, Any]:
        """Return the values by name, from the last output that contains a value.

        :raises ValueError: with the reason why there is none, to be put after "is tagged as a result, but".
        """
        is_shortened, shown = False, ""
        for output in reversed(self._kept):
            if output is None:
                raise ValueError("its output is too large to be one")
            kind, text = output if isinstance(output, tuple) else _text(output)
            for value in _readings(kind, text):
                named = value if isinstance(value, dict) else {"result": value}
                return {str(name): item for name, item in named.items()}
            is_shortened = is_shortened or (kind == "text" and "..." in text)
            shown = shown or _cut(text)
        if is_shortened:
            raise ValueError("IPython has shortened its output: print json.dumps(...) of the value")
        if not shown:
            raise ValueError("none of its last outputs is JSON: print json.dumps(...) of the value")
        raise ValueError(
            f"its output is not JSON (`{shown}`): report numbers, text, lists and dicts, with .item() for numpy's "
            "numbers, or print json.dumps(...) of the value"
        )


def _cut(text: str) -> str:
    shown = plain(text[: 2 * _SHOWN_CHARACTERS])
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"


def _text(output: Mapping[str, Any]) -> tuple[Kind, str]:
    data = mapping(output.get("data"))
    if "application/json" in data:
        try:
            return "json", json.dumps(data["application/json"])
        except RecursionError:
            return "json", ""
    if "text/plain" in data:
        return "text", text_of(data["text/plain"]).strip()
    return "printed", text_of(output.get("text")).strip()


def _begins_value(kind: Kind, text: str, *, is_whole: bool) -> bool:
    """Return whether a text that is too large looks like a value, not like other printed text."""
    if kind == "json":
        return True
    end = _LITERAL_ENDS.get(text[:1])
    return end is not None and (not is_whole or text.endswith(end))


def _readings(kind: Kind, text: str) -> Iterator[Any]:
    for read in (json.loads, ast.literal_eval) if kind == "text" else (json.loads,):
        try:
            value = read(text)
            is_whole = "..." not in text or not _is_shortened(value)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if is_whole:
            yield value


def _is_shortened(value: Any) -> bool:
    """Return whether a value contains an ellipsis, which IPython prints for the rest of a long list."""
    if isinstance(value, Mapping):
        return any(map(_is_shortened, (*value, *value.values())))
    return value is ... or (isinstance(value, list | tuple | set) and any(map(_is_shortened, value)))
