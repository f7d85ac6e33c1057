"""A real Airflow with the tab, tasks that ran on the emulator, and Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, FrameLocator, Page, expect, sync_playwright

from airflow_nbjobs.emulator import Emulator
from demo.airflow_processes import LocalAirflow
from demo.airflow_rest import AirflowRest, Run
from tests.support.shared import migrated_database

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
SECONDS = 60_000  # milliseconds that a busy machine may take to show something
ENDED = {"success", "failed"}

expect.set_options(timeout=SECONDS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``UI_PICTURES``, run only what takes pictures."""
    if os.environ.get("UI_PICTURES"):
        items[:] = [item for item in items if "take" in getattr(item, "fixturenames", ())]


@dataclass
class Site:
    """An Airflow in which each task of the DAG has ended, but one.

    :ivar gate: the file that the task ``slow`` waits for.
    """

    airflow: LocalAirflow
    cloud: Emulator
    run: Run
    gate: Path

    def path(self, task_id: str, map_index: int = -1) -> str:
        """Return the address of a task instance's tab in Airflow's UI."""
        mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
        run = quote(self.run.run_id, safe="")
        return f"{self.airflow.url}/dags/{self.run.dag_id}/runs/{run}/tasks/{task_id}{mapped}/plugin/notebook"

    def route(self, task_id: str, part: str, map_index: int = -1) -> str:
        """Return the address of a route of the tab."""
        index = map_index if map_index >= 0 else quote("{MAP_INDEX}")
        run = quote(self.run.run_id, safe="")
        return f"{self.airflow.url}/nbjobs/tasks/{self.run.dag_id}/{run}/{task_id}/{index}/{part}"

    def executed(self, task_id: str) -> str:
        """Return the URI of the executed notebook of a task."""
        name = self.airflow.rest.xcom(self.run, task_id, "notebook_execution_job")["name"]
        file = "wine.ipynb" if task_id == "plot" else "content.ipynb"
        return f"gs://nbjobs-examples/runs/{name.rpartition('/')[2]}/{file}"

    def delete(self, uri: str) -> None:
        """Delete an object of the emulator's Cloud Storage."""
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        path = f"{self.cloud.storage_url}/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
        httpx.delete(path, trust_env=False).raise_for_status()

    def token(self, user: str) -> str:
        """Log a user in."""
        password = json.loads((self.airflow.home / "passwords.json").read_text())[user]
        login = {"username": user, "password": password}
        answer = httpx.post(f"{self.airflow.url}/auth/token", json=login, trust_env=False)
        return str(answer.raise_for_status().json()["access_token"])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run the DAG once."""
    folder = tmp_path_factory.mktemp("site")
    gate = folder / "gate"
    environment = {
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.support.auth_manager.OwnDagsAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,ann:viewer,bob:viewer",
        "NBJOBS_UI_GATE": str(gate),
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(tmp_path_factory.mktemp("pages")),
    }
    with Emulator(data=folder / "cloud") as cloud:
        wine = ROOT / "example_dags" / "notebooks" / "wine.ipynb"
        cloud.upload("gs://nbjobs-examples/notebooks/wine.ipynb", wine.read_bytes())
        dags, database = Path(__file__).parent / "dags", migrated_database(tmp_path_factory)
        with LocalAirflow(folder / "airflow", dags, {**cloud.env, **environment}, migrated=database) as airflow:
            airflow.wait(lambda: airflow.rest.knows("ann_notebooks"), 120, "the DAG to be parsed")
            run = airflow.rest.trigger("ann_notebooks")
            airflow.wait(lambda: has_ended(airflow.rest, run), 600, "the tasks to end")
            made = Site(airflow, cloud, run, gate)
            made.delete(made.executed("lost"))
            yield made
            gate.touch()


def has_ended(rest: AirflowRest, run: Run) -> bool:
    """Tell whether all tasks have ended, but the slow one, whose job runs."""
    states = {(task["task_id"], task["map_index"]): task["state"] for task in rest.tasks(run)}
    return states.pop(("slow", -1)) == "deferred" and set(states.values()) <= ENDED


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium, without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Tab:
    """The tab in the browser of one user, and all that the browser requested and said.

    :ivar requested: the addresses of all requests.
    :ivar said: what was written to the console, and dialogs.
    """

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.site = site
        self.page: Page = context.new_page()
        self.page.set_default_timeout(SECONDS)
        self.requested: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("dialog", self._dismiss)

    def _dismiss(self, dialog: Dialog) -> None:
        self.said.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    @property
    def shell(self) -> FrameLocator:
        """The document of the tab."""
        return self.page.frame_locator("iframe[title=Notebook]")

    @property
    def notebook(self) -> FrameLocator:
        """The document of the notebook."""
        return self.shell.frame_locator("#frame")

    def open(self, task_id: str, map_index: int = -1) -> Tab:
        """Open the tab of a task in Airflow's UI, and wait until it has its state."""
        self.page.goto(self.site.path(task_id, map_index))
        self.shell.locator("main[aria-busy=false]").wait_for()
        return self

    def problem(self) -> str:
        """Return the sentence that says why there is no notebook."""
        self.shell.locator("#problem p").first.wait_for()
        return self.shell.locator("#problem").inner_text()

    def picture(self, path: Path) -> None:
        """Take a picture of the page."""
        self.page.wait_for_timeout(500)  # Airflow's page moves its parts a little when they arrive
        self.page.screenshot(path=path)


@pytest.fixture
def tab(site: Site, browser: Browser) -> Iterator[Callable[..., Tab]]:
    """Return what opens a browser for a user: ``tab("ann", theme="dark")``; without a name nobody is logged in."""
    contexts: list[BrowserContext] = []

    def make(user: str | None = "ann", *, theme: str = "light") -> Tab:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        contexts.append(context)
        context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        if user:
            context.add_cookies([{"name": "_token", "value": site.token(user), "url": site.airflow.url}])
        return Tab(context, site)

    yield make
    for context in contexts:
        context.close()
