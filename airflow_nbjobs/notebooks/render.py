"""A notebook as one safe HTML document: no script, no request to any address, limited size.

nbconvert renders Markdown, code and colors, and nh3 sanitizes what comes from the notebook; both are in the extra
``ui``. Reading a hostile notebook can take long. :func:`~airflow_nbjobs.notebooks.render_process.render` limits the
time and the memory, in a separate process.
"""

from __future__ import annotations

from typing import Literal

from airflow_nbjobs.exceptions import RenderError
from airflow_nbjobs.notebooks.page import Page, read_page
from airflow_nbjobs.notebooks.sizes import Limits

__all__ = ["Limits", "Theme", "page_html", "to_html"]

Theme = Literal["light", "dark", "auto"]

_EXTRA = ("bs4", "mistune", "nbconvert", "nh3", "pygments")
_THEMES = ("light", "dark", "auto")


def to_html(
    content: bytes,
    *,
    theme: Theme = "light",
    failed_cell: int | None = None,
    title: str = "Notebook",
    limits: Limits | None = None,
) -> str:
    """Return a notebook as one HTML document that contains its styles and pictures.

    The cell with the number N has the id ``cell-N``, and the cell that failed also contains the id ``failed-cell``.

    :param content: an ``.ipynb`` file.
    :param theme: ``light``, ``dark``, or ``auto`` for the one that the reader's system asks for.
    :param failed_cell: number of the cell that failed, from 1 among the code cells. By default it is the first cell
        with an error that is not tagged ``raises-exception``; 0 for none.
    :param title: of the document.
    :param limits: what is rendered at most.
    :raises RenderError: if it is not a notebook or is too large, or nbconvert or nh3 is not installed.
    """
    limits = limits or Limits()
    return page_html(read_page(content, limits, failed_cell), theme=theme, title=title, seconds=limits.seconds)


def page_html(page: Page, *, theme: Theme, title: str, seconds: float) -> str:
    """Return a page as an HTML document, as :func:`to_html` does.

    :raises RenderError: if nbconvert or nh3 is not installed, or the document would be too large.
    """
    if theme not in _THEMES:
        raise RenderError(f"theme={theme!r} is not a theme: use 'light', 'dark' or 'auto'.")
    try:
        from airflow_nbjobs.notebooks.exporter import export
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise RenderError(
            f"The notebook cannot be shown, since {error.name} is not installed. Install it: "
            "pip install 'airflow-nbjobs[ui]'."
        ) from error
    return export(page, theme=theme, title=title, seconds=seconds)
