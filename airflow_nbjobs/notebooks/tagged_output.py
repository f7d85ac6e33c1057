"""What a cell tagged as a result has put out last: its outputs come before its tags, so each cell's are held that long.

Held is text of bounded length, and it is read for tagged cells alone: notebooks may print megabytes that are no result.
"""

from __future__ import annotations

import ast
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from airflow_nbjobs.notebooks.failures import text_of
from airflow_nbjobs.notebooks.plain_text import plain

__all__ = ["LastOutputs"]

_KEPT = 5
_LEAST_CHARACTERS = 64 * 2**10
_SHOWN_CHARACTERS = 100
_JSON = "application/json"
_LITERAL_ENDS = {"{": "}", "[": "]", "(": ")", '"': '"', "'": "'"}

Kind = Literal["json", "text", "printed", "other"]


class LastOutputs:
    """The last five outputs of one cell.

    :ivar has_reported: whether it has reported scraps or records, which need no tag.
    :param limit: bytes of JSON that all results may take. Text over four times as much is not read: Python's parser
        takes hundreds of times its size.
    """

    def __init__(self, limit: int) -> None:
        self._characters = max(4 * limit, _LEAST_CHARACTERS)
        self._kept: deque[Mapping[str, Any] | tuple[Kind, str] | None] = deque(maxlen=_KEPT)
        self.has_reported = False

    @property
    def is_empty(self) -> bool:
        """Whether the cell put out nothing that could be meant as a result."""
        return not self._kept

    def add(self, output: Mapping[str, Any], size: int, *, is_whole: bool) -> None:
        """Take an output that is no error, and reports no scrap.

        :param size: bytes of it in the file.
        :param is_whole: whether it could be read whole; of one that was not, ``output`` is the beginning.
        """
        if output.get("name") == "stderr":
            return
        if size <= self._characters:
            self._kept.append(output)
            return
        kind, text = _text(output)
        if is_whole and len(text) <= self._characters:
            self._kept.append((kind, text))  # without what it holds beside it, such as an image
        else:
            self._kept.append(None if _begins_value(kind, text, is_whole=is_whole) else {})

    def values(self) -> dict[str, Any]:
        """Return the values by their names, of the last output that has one.

        :raises ValueError: saying why they cannot be had, after "is tagged as a result, and".
        """
        is_shortened, shown = False, ""
        for output in reversed(self._kept):
            if output is None:
                raise ValueError("its output is too large to be one")
            kind, text = output if isinstance(output, tuple) else _text(output)
            for value in _readings(kind, text):
                return (
                    {str(name): item for name, item in value.items()} if isinstance(value, dict) else {"result": value}
                )
            is_shortened = is_shortened or (kind == "text" and "..." in text)
            shown = shown or _cut(text)
        if is_shortened:
            raise ValueError("IPython has shortened its output: print json.dumps(...) of it")
        if not shown:
            raise ValueError("none of its last outputs is JSON: print json.dumps(...) of what it reports")
        raise ValueError(
            f"its output is no JSON (`{shown}`): let it be of numbers, text, lists and dicts, float(...) or .item() of "
            "numpy's numbers among them, or print json.dumps(...) of it"
        )


def _cut(text: str) -> str:
    shown = plain(text[: 2 * _SHOWN_CHARACTERS])
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"


def _text(output: Mapping[str, Any]) -> tuple[Kind, str]:
    data = output.get("data")
    if not isinstance(data, Mapping):
        data = {}
    if _JSON in data:
        try:
            return "json", json.dumps(data[_JSON])
        except RecursionError:
            return "json", ""
    if "text/plain" in data:
        return "text", text_of(data["text/plain"]).strip()
    if output.get("output_type") == "stream":
        return "printed", text_of(output.get("text")).strip()
    return "other", ""


def _begins_value(kind: Kind, text: str, *, is_whole: bool) -> bool:
    """Tell whether a text that is too large looks like a value, rather than like what is printed beside one."""
    if kind == "json":
        return True
    end = _LITERAL_ENDS.get(text[:1])
    return end is not None and (not is_whole or text.endswith(end))


def _readings(kind: Kind, text: str) -> Iterator[Any]:
    readers: list[Callable[[str], Any]] = [] if kind == "other" else [json.loads]
    if kind == "text":
        readers.append(ast.literal_eval)
    for read in readers:
        try:
            value = read(text)
            is_whole = "..." not in text or not _is_shortened(value)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if is_whole:
            yield value


def _is_shortened(value: Any) -> bool:
    """Tell whether there is an ellipsis in a value, which is how IPython prints the rest of a long list."""
    if isinstance(value, Mapping):
        return any(map(_is_shortened, (*value, *value.values())))
    return value is ... or (isinstance(value, list | tuple | set) and any(map(_is_shortened, value)))
