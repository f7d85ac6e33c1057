"""nbconvert's exporter with a template of our own, whose filters return sanitized HTML only."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from nbconvert.exporters import HTMLExporter
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import HighlightMagicsPreprocessor

from airflow_nbjobs.durations import in_words
from airflow_nbjobs.notebooks.failures import text_of
from airflow_nbjobs.notebooks.page import Output, Page, PageCell, amount
from airflow_nbjobs.notebooks.plain_text import plain_lines
from airflow_nbjobs.notebooks.safe_html import clean_ansi, clean_code, clean_html, data_uri, is_nested_too_deep

__all__ = ["export"]

_TEMPLATES = Path(__file__).parent / "templates"
_HIGHLIGHTED_CHARACTERS = 50_000
_MARKDOWN_CHARACTERS = 50_000
_FOLDED_LINES, _SHOWN_LINES = 40, 20
_FOLDED_CHARACTERS = 20_000
_RASTER = ("image/png", "image/jpeg", "image/gif", "image/webp")
_NOTE = "application/x-nbjobs-note"
# What nbconvert's templates ask for.
_SHOWN_PARTS = ("code", "input", "input_prompt", "output", "output_prompt", "markdown", "raw", "unknown")


def export(page: Page, *, theme: str, title: str) -> str:
    """Return the HTML document of a page."""
    return _exporter().export(page, theme=theme, title=title)


@cache
def _exporter() -> _Exporter:
    return _Exporter()


class _Exporter(HTMLExporter):
    """nbconvert's exporter of HTML, without its post-processing and its addresses of scripts."""

    def __init__(self) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # nbconvert gives it no types
            template_name="base",
            template_file="notebook.html.j2",
            extra_loaders=[FileSystemLoader(_TEMPLATES)],
            extra_template_basedirs=[],
            default_preprocessors=[],
        )

    def export(self, page: Page, *, theme: str, title: str) -> str:
        """Return the HTML document of a page."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbconvert warns of unknown languages
            text: str = self.template.render(
                nb=nbformat.from_dict({"cells": [_cell(cell, page) for cell in page.cells]}),  # type: ignore[no-untyped-call]
                resources={
                    "global_content_filter": {f"include_{part}": True for part in _SHOWN_PARTS},
                    "raw_mimetypes": [],
                },
                page=page,
                theme=theme,
                title=title,
                style=Markup((_TEMPLATES / "notebook.css").read_text()),  # noqa: S704 - our own
            )
        return text

    def default_filters(self) -> Iterator[tuple[str, Any]]:
        """Return the filters of the template."""
        yield "filter_data_type", lambda data: list(data)
        yield "highlight", _highlight
        yield "markdown", _markdown
        yield "colors", clean_ansi
        yield "in_words", in_words

    def _create_environment(self) -> Environment:
        environment: Environment = super()._create_environment()  # type: ignore[no-untyped-call]  # as above
        environment.autoescape = True
        environment.trim_blocks = environment.lstrip_blocks = True
        return environment


def _cell(cell: PageCell, page: Page) -> dict[str, Any]:
    """Return a cell as nbconvert's templates expect it; its other keys are for ours."""
    return {
        "cell_type": cell.kind,
        "metadata": {},
        "source": cell.source,
        "outputs": [_output(output) for output in cell.outputs],
        "view": {
            "attachments": cell.attachments,
            "count": cell.count,
            "has_failed": cell is page.failed,
            "is_slowest": cell is page.slowest,
            "language": _magic_language(cell, page),
            "left_out": cell.left_out,
            "number": cell.number,
            "seconds": cell.seconds,
            "tags": list(cell.tags),
        },
    }


def _magic_language(cell: PageCell, page: Page) -> str:
    if page.lexer.startswith("ipython") and cell.source.startswith("%%"):
        return _magics().which_magic_language(cell.source) or page.lexer
    return page.lexer


@cache
def _magics() -> HighlightMagicsPreprocessor:
    return HighlightMagicsPreprocessor()


def _output(output: Output) -> dict[str, Any]:
    """Return an output as nbconvert's templates expect it, with the one MIME type that is shown."""
    if output.kind == "stream":
        return {"output_type": "stream", "name": output.name, **_folded(output.text), "left_out": output.left_out}
    if output.kind == "error":
        return {"output_type": "error", "ename": output.name, "evalue": output.text, "traceback": [*output.traceback]}
    mime, shown = (_NOTE, {"text": output.text}) if output.kind == "note" else _shown(output)
    return {"output_type": "display_data", "metadata": {}, "data": {mime: shown}}


def _shown(output: Output) -> tuple[str, dict[str, Any]]:
    """Return the best of the MIME types of an output that can be shown, and what is shown of it."""
    data, problem = output.data, ""
    html = text_of(data.get("text/html"))
    if html and not is_nested_too_deep(html) and (safe := clean_html(html)) and _is_visible(safe):
        return "text/html", {"html": safe, "size": amount(len(html)) if len(html) > _FOLDED_CHARACTERS else ""}
    if "text/markdown" in data:
        return "text/markdown", {"html": _markdown(text_of(data["text/markdown"]))}
    for mime in ("image/svg+xml", *_RASTER):
        if mime in data:
            if uri := data_uri(mime, text_of(data[mime])):
                return "image/svg+xml" if mime == "image/svg+xml" else "image/png", {"uri": uri, "alt": _alt(data)}
            problem = f"An output says that it is {mime}, and is not. It is not shown."
    for mime in ("text/latex", "text/plain"):
        if text := text_of(data.get(mime)):
            return mime, _folded(text)
    if "application/json" in data:
        return "text/plain", _folded(json.dumps(data["application/json"], indent=2, ensure_ascii=False))
    types = ", ".join(list(data)[:5]) or "no type"
    return _NOTE, {
        "text": problem or f"An output is not shown, since it needs scripts or a viewer of its own: {types}."
    }


def _is_visible(html: Markup) -> bool:
    return "<img" in html or bool(html.striptags())


def _alt(data: Mapping[str, Any]) -> str:
    text = " ".join(text_of(data.get("text/plain")).split())[:200]
    return text if text and not text.startswith("<") else f"Output: {text.strip('<>') or 'a picture'}"


def _folded(text: str) -> dict[str, Any]:
    """Return the first lines of a text, and the others if there are many."""
    if any(move in text for move in "\r\b"):  # as a terminal shows a progress bar
        text = "\n".join(plain_lines(text))
    lines = text.rstrip("\n").split("\n")
    if len(lines) <= _FOLDED_LINES and len(text) <= _FOLDED_CHARACTERS:
        return {"head": text, "rest": "", "more": ""}
    head = "\n".join(lines[:_SHOWN_LINES])[:_FOLDED_CHARACTERS]
    rest = text[len(head) :].removeprefix("\n")
    more = len(lines) - _SHOWN_LINES
    return {"head": head, "rest": rest, "more": f"{more:,} more lines" if more > 0 else amount(len(rest))}


def _highlight(source: str, language: str) -> Markup:
    if len(source) > _HIGHLIGHTED_CHARACTERS:
        return Markup("<pre>{}</pre>").format(source)
    return clean_code(_highlighter()(source, language=language))


@cache
def _highlighter() -> Highlight2HTML:
    return Highlight2HTML()


def _markdown(source: str, attachments: dict[str, Any] | None = None) -> Markup:
    plain = Markup("<pre>{}</pre>").format(source)
    if len(source) > _MARKDOWN_CHARACTERS:
        return plain
    renderer = IPythonRenderer(escape=False, attachments=attachments or {}, exclude_anchor_links=True)
    try:
        html = MarkdownWithMath(renderer=renderer).render(source)
    except (InvalidNotebook, RecursionError):
        return plain
    return plain if is_nested_too_deep(html) else clean_html(html)
