"""The notebook tab: the first view of a notebook, a view from the cache, and the memory of the API server.

A real Airflow has a task that ran on the emulator. Its executed notebook is replaced by larger ones. Debian's Chromium
opens the tab, and says when it painted the first content of the notebook's frame. In turns, `nbconvert --to html`
renders the same files, and Chromium opens what it wrote.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import nbformat
import psutil
from playwright.sync_api import Browser, sync_playwright

from airflow_nbjobs.emulator import Emulator
from bench.measure import combined
from demo.airflow_processes import LocalAirflow

VIEWS = 100
TAB_ROUNDS = 1
"""Fewer than elsewhere: nbconvert needs a minute for the large notebook, and the first round is not counted."""
SIZES = {"1 MB": (300, 60, 0), "50 MB": (5_000, 125, 7_500_000)}
"""Code cells of a notebook, lines that each prints, and bytes of its one picture."""

CHROMIUM = "/usr/bin/chromium"
_TRACED = ["loading", "blink.user_timing"]

_DAG = """
from airflow.sdk import DAG
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

with DAG("viewed", schedule=None, default_args={"retries": 5}):
    CreateNotebookExecutionJobOperator(
        task_id="report", notebook="gs://notebooks/report.ipynb", gcs_output_uri="gs://notebooks/runs",
        location="us-central1", runtime_template="1", service_account="runner@local.iam.gserviceaccount.com",
    )
"""


def measure(rounds: int) -> dict[str, Any]:
    """Measure, and return the medians of each size.

    :returns: for each size ``mb``, ``nbconvert``, ``first`` and ``cached`` in seconds to the first paint, and the last
        two over nbconvert's of the same round; and under ``memory`` the MB of the API server ``before`` and ``after`` a
        hundred views.
    """
    with tempfile.TemporaryDirectory() as folder, Emulator(data=Path(folder, "cloud")) as cloud:
        (dags := Path(folder, "dags")).mkdir()
        (dags / "viewed.py").write_text(_DAG)
        cloud.upload("gs://notebooks/report.ipynb", _notebook(1, 1, 0))
        environment = {**cloud.env, "TMPDIR": folder}
        with LocalAirflow(Path(folder, "airflow"), dags, environment) as airflow, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            viewer = _Viewer(airflow, cloud, browser)
            found: dict[str, Any] = {size: _of_size(viewer, folder, rounds, *made) for size, made in SIZES.items()}
            found["memory"] = viewer.memory_of_views()
            browser.close()
            return found


def _of_size(viewer: _Viewer, folder: str, rounds: int, cells: int, lines: int, picture: int) -> dict[str, Any]:
    file, rows = Path(folder, "viewed.ipynb"), []
    for number in range(rounds + 1):  # the first reads from disk and compiles
        content = _notebook(cells, lines, picture)
        file.write_bytes(content)
        row = {
            "nbconvert": _nbconvert(file) + viewer.paint(file.with_suffix(".html").as_uri()),
            **viewer.views(content),
        }
        over = {f"{view}_over": row[view] / row["nbconvert"] for view in ("first", "cached")}
        if number:
            rows.append({"mb": len(content) / 1e6, **row, **over})
    return combined(rows)


def _nbconvert(file: Path) -> float:
    begun = time.perf_counter()
    call = [sys.executable, "-m", "nbconvert", "--to", "html", "--log-level", "ERROR", str(file)]
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
    return time.perf_counter() - begun


class _Viewer:
    """A person who looks at the notebook of the task."""

    def __init__(self, airflow: LocalAirflow, cloud: Emulator, browser: Browser) -> None:
        self._browser = browser
        airflow.wait(lambda: airflow.rest.knows("viewed"), 120, "the DAG to be parsed")
        run = airflow.rest.trigger("viewed")
        airflow.wait(lambda: airflow.rest.run_state(run) == "success", 300, "the task to end")
        self._cloud, self._uri = cloud, airflow.rest.xcom(run, "report")["executed_notebook"]
        where = "/".join(quote(part, safe="") for part in ("viewed", run.run_id, "report", "{MAP_INDEX}"))
        login = {"username": airflow.username, "password": airflow.password}
        self._http = httpx.Client(base_url=airflow.url, timeout=300, trust_env=False)
        token = self._http.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        self._cookie = {"name": "_token", "value": token, "url": airflow.url}
        self._path = f"/nbjobs/tasks/{where}"
        self._server = psutil.Process(airflow.pid("api-server"))

    def views(self, content: bytes) -> dict[str, float]:
        """Return the seconds of the first view of a notebook and of the next one."""
        self._cloud.upload(self._uri, content)
        tab = f"{self._http.base_url}{self._path}/tab"
        return {"first": self.paint(tab), "cached": self.paint(tab)}

    def paint(self, address: str) -> float:
        """Return the seconds from opening a page to the first content of the notebook in it.

        The frame of the tab runs no script, so Chromium's trace says when it was painted.
        """
        context = self._browser.new_context()
        context.add_cookies([self._cookie])  # type: ignore[list-item]  # its type has all that a cookie may have
        # What nbconvert's file loads from elsewhere is refused at once.
        context.route(lambda url: not url.startswith(("file:", str(self._http.base_url))), lambda route: route.abort())
        page = context.new_page()
        page.set_default_timeout(300_000)
        page.goto(f"{self._http.base_url}{self._path}/tab.css")  # a person has Airflow open
        page.wait_for_timeout(3_000)  # a new window of Chromium is busy with its own pages at first
        self._browser.start_tracing(page=page, categories=_TRACED)
        page.goto(address)
        if not address.startswith("file:"):
            page.locator("#view").wait_for()
            page.locator("#loading").wait_for(state="hidden")
        page.wait_for_timeout(1_000)
        traced = json.loads(self._browser.stop_tracing())["traceEvents"]
        context.close()
        began = min(event["ts"] for event in traced if event["name"] == "navigationStart" and _is_of(event, address))
        painted = max(event["ts"] for event in traced if event["name"] == "firstContentfulPaint")
        return float(painted - began) / 1e6

    def memory_of_views(self) -> dict[str, float]:
        """Return the memory of the API server before and after a hundred views, every tenth of a new notebook."""
        before = self._memory()
        for number in range(VIEWS):
            if number % 10 == 0:
                self._cloud.upload(self._uri, _notebook(*SIZES["1 MB"]))
            self._http.get(f"{self._path}/frame").raise_for_status()
        return {"before": before, "after": self._memory()}

    def _memory(self) -> float:
        processes = [self._server, *self._server.children(recursive=True)]
        return sum(process.memory_info().rss for process in processes) / 1e6


def _is_of(event: dict[str, Any], address: str) -> bool:
    return str(event["args"].get("data", {}).get("documentLoaderURL", "")).startswith(address)


def _notebook(cells: int, lines: int, picture: int) -> bytes:
    """Return an executed notebook: cells that print, and one picture."""
    code: list[Any] = []
    for number in range(cells):
        text = f"line {number} of the text that this cell has printed\n" * lines
        cell = nbformat.v4.new_code_cell(f"for _ in range({lines}):\n    print({number})", execution_count=number + 1)
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        code.append(cell)
    if picture:
        data = {"image/png": base64.b64encode(os.urandom(picture)).decode()}
        code[0].outputs.append(nbformat.v4.new_output("display_data", data=data))
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return str(nbformat.writes(nbformat.v4.new_notebook(metadata={"kernelspec": python}, cells=code))).encode()
