"""A person clicks from the emulator's list of jobs to an executed notebook, and to the cell that failed."""

from __future__ import annotations

import nbformat
from playwright.sync_api import Browser

from airflow_nbjobs.cli import _render
from airflow_nbjobs.emulator import Emulator
from tests.support.building import error, notebook, ran, stream
from tests.support.emulator_api import Api


def test_a_click_leads_to_the_notebook_and_to_the_failed_cell(browser: Browser) -> None:
    executed = notebook(ran(stream("line\n" * 200)), ran(error("ValueError", "<b>bad</b>")))
    with Emulator(runner="simulated", seconds=0, render=_render) as emulator:
        emulator.fault({"job_state": "JOB_STATE_FAILED"})
        api = Api(emulator, "pages")
        name = api.create(displayName="daily", gcsOutputUri="gs://results")
        source = api.reaches(name, "FAILED").get("gcsNotebookSource", {}).get("uri", "content.ipynb")
        file = f"gs://results/{name.rpartition('/')[2]}/{source.rpartition('/')[2]}"
        emulator.upload(file, nbformat.v4.writes(executed).encode())
        api.http.close()
        window = browser.new_page()
        window.goto(emulator.url)
        window.get_by_role("link", name="open").click()
        window.get_by_role("link", name="Cell 2 failed").click()
        assert window.url.endswith("/notebook#failed-cell")
        assert window.get_by_role("heading", name="daily (FAILED)").is_visible()
        assert window.get_by_text("<b>bad</b>").first.is_visible()
        window.close()
