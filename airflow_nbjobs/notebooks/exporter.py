"""The template of the page, in which everything is escaped or sanitized before."""

from __future__ import annotations

import time
import warnings
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from airflow_nbjobs.durations import in_words
from airflow_nbjobs.exceptions import RenderError
from airflow_nbjobs.notebooks.cell_views import CellViews
from airflow_nbjobs.notebooks.page import Page
from airflow_nbjobs.notebooks.sizes import amount

__all__ = ["export"]

_LARGEST_PAGE = 128 * 2**20  # in characters; one picture or address can be used many times
_TEMPLATES = Path(__file__).parent / "templates"


def export(page: Page, *, theme: str, title: str, seconds: float) -> str:
    """Return the HTML document of a page.

    :param seconds: after this time, what needs time to render is shown as plain text.
    :raises RenderError: if the document is too large for a browser.
    """
    views = CellViews(page, deadline=time.monotonic() + seconds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbconvert warns of unknown languages
        cells = [views.view(cell) for cell in page.cells]
        document = _template().render(
            cells=cells,
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
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["duration"] = lambda seconds: (
        f"{seconds * 1000:.0f} ms" if seconds < 0.995 else in_words(seconds)
    )
    return environment.get_template("notebook.html.j2")
