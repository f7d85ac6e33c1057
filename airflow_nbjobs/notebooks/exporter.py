"""nbconvert's exporter with our own template, in which everything is escaped or sanitized before."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from nbconvert.exporters import HTMLExporter

from airflow_nbjobs.durations import in_words
from airflow_nbjobs.exceptions import RenderError
from airflow_nbjobs.notebooks.cell_views import CellViews
from airflow_nbjobs.notebooks.page import Page
from airflow_nbjobs.notebooks.sizes import amount

__all__ = ["export"]

_LARGEST_PAGE = 128 * 2**20  # in characters; one picture or address can be used many times
_TEMPLATES = Path(__file__).parent / "templates"
# What nbconvert's templates ask for.
_SHOWN_PARTS = ("code", "input", "input_prompt", "output", "output_prompt", "markdown", "raw", "unknown")


def export(page: Page, *, theme: str, title: str, seconds: float) -> str:
    """Return the HTML document of a page.

    :param seconds: after this time, what needs time to render is shown as plain text.
    :raises RenderError: if the document is too large for a browser.
    """
    views = CellViews(page, deadline=time.monotonic() + seconds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbconvert warns of unknown languages
        nodes = {"cells": [views.view(cell) for cell in page.cells]}
        document: str = _exporter().template.render(
            nb=nbformat.from_dict(nodes),  # type: ignore[no-untyped-call]  # nbformat has no types
            resources={"global_content_filter": {f"include_{part}": True for part in _SHOWN_PARTS}},
            page=page,
            is_late=views.is_late,
            theme=theme,
            title=title,
            style=Markup((_TEMPLATES / "notebook.css").read_text("utf-8")),  # noqa: S704 - our own
        )
    if len(document) > _LARGEST_PAGE:
        raise RenderError(
            f"The page of the notebook has {amount(len(document))}, over the limit of {amount(_LARGEST_PAGE)}. "
            "Download the notebook and open it in JupyterLab."
        )
    return document.encode(errors="replace").decode()  # half a surrogate pair, which JSON can contain, is not UTF-8


@cache
def _exporter() -> HTMLExporter:
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

    def default_filters(self) -> Iterator[tuple[str, Any]]:
        """Return the filters of the template."""
        yield "filter_data_type", lambda data: list(data)
        yield "duration", lambda seconds: f"{seconds * 1000:.0f} ms" if seconds < 0.995 else in_words(seconds)

    def _create_environment(self) -> Environment:
        environment: Environment = super()._create_environment()  # type: ignore[no-untyped-call]  # as above
        environment.autoescape = True
        environment.trim_blocks = environment.lstrip_blocks = True
        return environment
