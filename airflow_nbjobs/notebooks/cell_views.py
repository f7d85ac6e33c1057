"""Cells as the page's template shows them: each output in its best form, long ones folded, all of it safe."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import HighlightMagicsPreprocessor

from airflow_nbjobs.notebooks.cells import mapping
from airflow_nbjobs.notebooks.failures import text_of
from airflow_nbjobs.notebooks.page import Output, Page, PageCell
from airflow_nbjobs.notebooks.plain_text import plain_lines
from airflow_nbjobs.notebooks.safe_html import clean_ansi, clean_code, clean_html, data_uri, is_nested_too_deep, valid
from airflow_nbjobs.notebooks.sizes import amount

__all__ = ["CellViews"]

_HIGHLIGHTED_CHARACTERS = 50_000
_MARKDOWN_CHARACTERS = 50_000
_FOLDED_LINES, _SHOWN_LINES = 40, 20
_FOLDED_CHARACTERS = 20_000
_TEXT_CHARACTERS = 200_000
_PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")
_NOTE = "application/x-nbjobs-note"


class CellViews:
    """Makes the views of the cells of one page.

    :param page: the page.
    :param deadline: of ``time.monotonic()``; then, what needs time is shown as plain text.
    :ivar is_late: whether the deadline has passed for something that needs time.
    """

    def __init__(self, page: Page, *, deadline: float) -> None:
        self._page = page
        self._deadline = deadline
        self.is_late = False
        self._highlight = Highlight2HTML()
        self._magics = HighlightMagicsPreprocessor()

    def view(self, cell: PageCell) -> dict[str, Any]:
        """Return a cell as the template expects it."""
        is_markdown = cell.kind == "markdown"
        return {
            "cell_type": cell.kind,
            "source": self._markdown(cell.source, cell.attachments) if is_markdown else self._code(cell),
            "outputs": [self._output(output) for output in cell.outputs],
            "view": {
                "has_failed": cell is self._page.failed,
                "has_run": cell.has_run,
                "is_slowest": cell is self._page.slowest,
                "left_out": cell.left_out,
                "number": cell.number,
                "seconds": cell.seconds,
                "tags": list(cell.tags),
            },
        }

    def _is_late(self) -> bool:
        self.is_late = self.is_late or time.monotonic() >= self._deadline
        return self.is_late

    def _code(self, cell: PageCell) -> Markup:
        if cell.kind != "code" or len(cell.source) > _HIGHLIGHTED_CHARACTERS or self._is_late():
            return _preformatted(cell.source)
        language = self._page.lexer
        if language.startswith("ipython") and cell.source.startswith("%%"):
            language = self._magics.which_magic_language(cell.source) or language
        try:
            return clean_code(self._highlight(cell.source, language=language))
        except Exception:  # noqa: BLE001 - the notebook names the lexer, and there are hundreds
            return _preformatted(cell.source)

    def _markdown(self, source: str, attachments: Mapping[str, Any] | None = None) -> Markup:
        if len(source) > _MARKDOWN_CHARACTERS or self._is_late():
            return _preformatted(source)
        renderer = IPythonRenderer(escape=False, attachments=_pictures(attachments or {}), exclude_anchor_links=True)
        try:
            html = MarkdownWithMath(renderer=renderer).render(valid(source))
        except Exception:  # noqa: BLE001 - an attachment is missing, or mistune fails in some other way
            return _preformatted(source)
        return _preformatted(source) if is_nested_too_deep(html) else clean_html(html)

    def _output(self, output: Output) -> dict[str, Any]:
        """Return an output as the template expects it, with the one MIME type that is shown."""
        if output.kind == "stream":
            folded = _folded(output.text)
            left_out = output.left_out or folded["left_out"]
            return {"output_type": "stream", "name": output.name, **folded, "left_out": left_out}
        if output.kind == "error":
            named = {"output_type": "error", "ename": output.name, "evalue": output.text}
            return {**named, **_folded(output.traceback)}
        mime, shown = (_NOTE, {"text": output.text}) if output.kind == "note" else self._shown(output.data)
        return {"output_type": "display_data", "data": {mime: shown}}

    def _shown(self, data: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the best of the MIME types of an output that can be shown, and what is shown of it."""
        problem = ""
        if (html := self._html(text_of(data.get("text/html")))) is not None:
            return "text/html", {"html": html, "size": amount(len(html)) if len(html) > _FOLDED_CHARACTERS else ""}
        if "text/markdown" in data:
            return "text/markdown", {"html": self._markdown(text_of(data["text/markdown"]))}
        for mime in _PICTURES:
            if mime in data:
                if uri := data_uri(mime, text_of(data[mime])):
                    # All pictures are shown alike, by the template's block for this type.
                    return "image/png", {"uri": uri, "alt": _alt(data)}
                problem = f"An output is not shown: it says that it is {mime}, and is not."
        for mime in ("text/latex", "text/plain"):
            if text := text_of(data.get(mime)):
                return mime, _folded(text)
        if "application/json" in data:
            with contextlib.suppress(RecursionError):
                return "text/plain", _folded(json.dumps(data["application/json"], indent=2, ensure_ascii=False))
        types = ", ".join(list(data)[:5]) or "no type"
        return _NOTE, {"text": problem or f"An output is not shown, since it needs scripts or a viewer: {types}."}

    def _html(self, html: str) -> Markup | None:
        """Return the safe part of HTML, or ``None`` if it has nothing to see."""
        if not html or self._is_late() or is_nested_too_deep(html):
            return None
        safe = clean_html(html)
        return safe if "<img" in safe or safe.striptags() else None


def _pictures(attachments: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the attachments that are pictures."""
    return {
        name: {mime: text_of(mapping(attachment)[mime]) for mime in _PICTURES if mime in mapping(attachment)}
        for name, attachment in attachments.items()
        if set(_PICTURES) & set(mapping(attachment))
    }


def _preformatted(text: str) -> Markup:
    return Markup("<pre>{}</pre>").format(text)


def _alt(data: Mapping[str, Any]) -> str:
    """Return the text alternative of a picture: what its object says about itself."""
    text = " ".join(text_of(data.get("text/plain"))[:1_000].split())[:200].strip("<>")
    return f"Picture: {text}" if text else "Picture"


def _folded(text: str) -> dict[str, Any]:
    """Return the first lines of a text with its colors, and the others if there are many."""
    if any(move in text for move in "\r\b"):  # as a terminal shows a progress bar
        text = "\n".join(plain_lines(text))
    more_characters, text = len(text) - _TEXT_CHARACTERS, text[:_TEXT_CHARACTERS].rstrip("\n")
    left_out = f"{more_characters:,} more characters are not shown." if more_characters > 0 else ""
    lines = text.split("\n")
    if len(lines) <= _FOLDED_LINES and len(text) <= _FOLDED_CHARACTERS:
        return {"head": clean_ansi(text), "rest": "", "more": "", "left_out": left_out}
    head = "\n".join(lines[:_SHOWN_LINES])[:_FOLDED_CHARACTERS]
    rest = text[len(head) :].removeprefix("\n")
    more = f"{len(lines) - _SHOWN_LINES:,} more lines" if len(lines) > _FOLDED_LINES else f"{amount(len(rest))} more"
    return {"head": clean_ansi(head), "rest": clean_ansi(rest), "more": more, "left_out": left_out}
