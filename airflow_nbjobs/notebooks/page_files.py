"""Render a notebook into files: ``python -m airflow_nbjobs.notebooks.page_files``, with a request on standard input.

The API server starts this as a separate process: what a hostile or very large notebook costs in time and memory ends
with the process, and neither the notebook nor the page is ever in the memory of the API server.
"""

from __future__ import annotations

import contextlib
import json
import math
import resource
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_nbjobs.exceptions import RenderError
from airflow_nbjobs.notebooks.page import Page, read_page
from airflow_nbjobs.notebooks.render_process import REFUSED
from airflow_nbjobs.notebooks.sizes import Limits

__all__ = ["FACTS", "PAGE", "facts", "strict_json", "without_outputs"]

PAGE, FACTS = "page.html", "facts.json"

_DEEPEST = 50
_PARAMETER_CHARACTERS = 200_000


def _main(request: dict[str, Any]) -> int:
    """Render one notebook into a folder.

    :param request: ``notebook`` and ``folder`` (paths), ``theme``, ``title``, ``failed_cell``, ``notebook_bytes`` and
        ``seconds``: as of :func:`~airflow_nbjobs.notebooks.render.to_html`; ``memory_bytes``; ``is_source``: whether it
        has not run yet.
    """
    from airflow_nbjobs.notebooks.exporter import export

    with contextlib.suppress(ValueError, OSError):  # a lower limit is set already
        resource.setrlimit(resource.RLIMIT_AS, (request["memory_bytes"],) * 2)
    folder = Path(request["folder"])
    limits = Limits(notebook_bytes=request["notebook_bytes"], seconds=request["seconds"])
    try:
        page = read_page(Path(request["notebook"]).read_bytes(), limits, request["failed_cell"])
        if request["is_source"]:
            page = without_outputs(page)
        html = export(page, theme=request["theme"], title=request["title"], seconds=limits.seconds)
    except RenderError as error:
        print(error, file=sys.stderr)
        return REFUSED
    (folder / PAGE).write_bytes(html.encode(errors="replace"))
    (folder / FACTS).write_text(json.dumps(facts(page)))
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
    sys.exit(_main(json.load(sys.stdin)))
