"""Render a notebook into files: ``python -m airflow_nbjobs.notebooks.page_files``, with a request on standard input.

This is started as a separate process: what a hostile or very large notebook costs in time and memory ends with the
process, and neither the notebook nor the page is ever in the memory of the API server.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_nbjobs.exceptions import RenderError
from airflow_nbjobs.notebooks.page import Page, read_page
from airflow_nbjobs.notebooks.render import Theme, page_html
from airflow_nbjobs.notebooks.render_process import MEMORY_BYTES, PAGE, REFUSED
from airflow_nbjobs.notebooks.sizes import Limits

__all__ = ["FACTS", "PAGE", "facts", "strict_json", "without_outputs"]

FACTS = "facts.json"

_DEEPEST = 50
_PARAMETER_CHARACTERS = 200_000


def _main(
    notebook: str,
    folder: str,
    *,
    theme: Theme = "light",
    title: str = "Notebook",
    failed_cell: int | None = None,
    is_source: bool = False,
    notebook_bytes: int = Limits.notebook_bytes,
    seconds: float = Limits.seconds,
    memory_bytes: int = MEMORY_BYTES,
) -> int:
    """Render one notebook into a folder.

    The parameters are those of :func:`~airflow_nbjobs.notebooks.render.to_html` and its limits, and two more.

    :param is_source: whether it has not run yet.
    :param memory_bytes: how much memory it may take.
    :returns: the exit code.
    """
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows; a lower limit is set already
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes,) * 2)
    limits = Limits(notebook_bytes=notebook_bytes, seconds=seconds)
    try:
        page = read_page(Path(notebook).read_bytes(), limits, failed_cell)
        if is_source:
            page = without_outputs(page)
        html = page_html(page, theme=theme, title=title, seconds=seconds)
    except RenderError as error:
        print(error, file=sys.stderr)
        return REFUSED
    Path(folder, PAGE).write_bytes(html.encode(errors="replace"))
    Path(folder, FACTS).write_text(json.dumps(facts(page)))
    return 0


def without_outputs(page: Page) -> Page:
    """Return the page of a notebook that has not run: what it contains of earlier runs is left out."""
    cells = tuple(replace(cell, outputs=[], seconds=None, count=None) for cell in page.cells)
    return replace(page, cells=cells, failed=None, slowest=None, seconds=None, is_source=True)


def facts(page: Page) -> dict[str, Any]:
    """Return what a page says about its notebook, as JSON.

    The keys are ``cells`` (of each code cell ``number``, ``seconds`` and ``has_run``), ``slowest`` and ``failed``
    (numbers of cells, or ``None``), ``seconds`` (of all cells, or ``None``), and ``parameters``, which are left out
    when they are very large: the notebook itself shows them.
    """
    parameters = strict_json(page.parameters)
    return {
        "cells": [
            {"number": cell.number, "seconds": cell.seconds, "has_run": cell.has_run}
            for cell in page.cells
            if cell.number
        ],
        "failed": page.failed.number if page.failed else None,
        "slowest": page.slowest.number if page.slowest else None,
        "seconds": page.seconds,
        "parameters": parameters if len(json.dumps(parameters)) <= _PARAMETER_CHARACTERS else {},
    }


def strict_json(value: Any, depth: int = 0) -> Any:
    """Return JSON that Python has read as every program reads it: no NaN, no half surrogate pair, no deep nesting.

    :param depth: how many levels are around the value.
    """
    if isinstance(value, Mapping | list) and depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {strict_json(str(key)): strict_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [strict_json(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


if __name__ == "__main__":
    sys.exit(_main(**json.load(sys.stdin)))
