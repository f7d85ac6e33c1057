"""The pictures of the documentation that are not of the tab, taken from real runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.building import code, notebook

REPORT = notebook(
    nbformat.v4.new_markdown_cell("# Daily report\n\nRevenue for **yesterday**, by region."),
    code("import pandas as pd\n\nday = '2026-11-30'\nregions = ['north', 'south']", "parameters"),
    code("rows = {'region': ['north', 'south', 'east', 'west'], 'revenue': [23450.5, 18990.25, 30120.0, 15400.75]}\n"
         "frame = pd.DataFrame(rows)\nframe"),
    code("axes = frame.plot.bar(x='region', y='revenue', figsize=(7, 3), legend=False)"),
    code("def share(part, whole):\n    return part / whole\n\n\nshare(1, 0)"),
)  # fmt: skip


@pytest.fixture
def take(tmp_path: Path) -> Callable[[Page, str], object]:
    """Return what takes a picture of a whole page, into ``UI_PICTURES`` if it names a folder."""
    folder = os.environ.get("UI_PICTURES") or tmp_path
    return lambda page, name: page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)


def test_the_html_file_shows_the_failed_cell(
    browser: Browser, tmp_path: Path, take: Callable[[Page, str], object]
) -> None:
    nbformat.write(REPORT, tmp_path / "report.ipynb")
    command = [sys.executable, "-c", "from airflow_nbjobs.cli import main; raise SystemExit(main())"]
    run = subprocess.run([*command, "run", "report.ipynb", "--local", "--html"], cwd=tmp_path, check=False)
    assert run.returncode == 1
    page = browser.new_page(viewport={"width": 900, "height": 600})
    page.goto((tmp_path / "report.html").as_uri())
    expect(page.locator("#cell-4")).to_contain_text("ZeroDivisionError")
    expect(page.locator("img")).to_be_visible()
    take(page, "notebook_html")
    page.close()
