"""The tab in a real browser, on tasks that really ran."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.support.hostile import hostile_notebooks
from tests.ui.conftest import Site, Tab

PICTURES = os.environ.get("UI_PICTURES")
"""A folder in which to leave the pictures of the documentation."""


@pytest.fixture
def take(tmp_path: Path) -> Callable[[Tab, str], None]:
    """Return what takes a picture for the documentation, if one is wanted."""

    def picture(tab: Tab, name: str) -> None:
        tab.picture(Path(PICTURES or tmp_path, f"{name}.png"))

    return picture


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_success_shows_a_header_and_a_plot(
    theme: str, tab: Callable[..., Tab], take: Callable[[Tab, str], None]
) -> None:
    shown = tab(theme=theme).open("plot")
    expect(shown.shell.locator("#badge")).to_have_text("Succeeded")
    expect(shown.shell.locator("html")).to_have_attribute("data-theme", theme)
    expect(shown.shell.locator("#stats")).to_contain_text("notebooks@local.iam.gserviceaccount.com")
    expect(shown.shell.locator("#stats")).to_contain_text("wine.ipynb#")
    expect(shown.notebook.locator("html")).to_have_attribute("data-theme", theme)
    picture = shown.notebook.locator("img").first
    picture.scroll_into_view_if_needed()
    expect(picture).to_be_visible()
    assert (picture.bounding_box() or {})["width"] > 100
    expect(shown.shell.locator("#cells li")).to_have_count(4)
    expect(shown.shell.locator("#cells .slowest")).to_have_count(1)
    shown.shell.locator("#cells a").nth(2).click()
    expect(shown.notebook.locator("#cell-3")).to_be_in_viewport()
    take(shown, f"notebook_tab_{theme}")


def test_details_have_parameters_results_and_links(tab: Callable[..., Tab], take: Callable[[Tab, str], None]) -> None:
    shown = tab().open("visits")
    expect(shown.notebook.locator("#cell-1")).to_be_visible()
    shown.shell.locator("#details summary").click()
    rows = shown.shell.locator("#rows")
    expect(rows.locator("tr", has_text="Parameters")).to_contain_text('"day": "2026-11-22"')
    expect(rows.locator("tr", has_text="Results")).to_contain_text('"visitors": 42')
    assert shown.shell.locator("#links a").count() >= 2
    take(shown, "notebook_tab_details")


def test_failure_marks_the_cell_which_is_a_click_away(
    tab: Callable[..., Tab], take: Callable[[Tab, str], None]
) -> None:
    shown = tab().open("broken")
    expect(shown.shell.locator("#badge")).to_have_text("Failed")
    button = shown.shell.locator("#to-failed")
    expect(button).to_have_text("Go to failed cell 3")
    button.click()
    expect(shown.notebook.locator("#failed-cell")).to_be_in_viewport()
    expect(shown.notebook.locator("#cell-3")).to_contain_text("ZeroDivisionError")
    expect(shown.shell.locator("#cells .failed")).to_contain_text("Cell 3")
    take(shown, "notebook_tab_failed")


@pytest.mark.parametrize(("index", "printed"), [(0, "square 9"), (1, "square 16")])
def test_each_mapped_task_has_its_notebook(index: int, printed: str, tab: Callable[..., Tab]) -> None:
    shown = tab().open("squares", index)
    expect(shown.notebook.locator("body")).to_contain_text(printed)


def test_no_output_is_said_in_a_sentence(tab: Callable[..., Tab]) -> None:
    shown = tab().open("lost")
    assert "The executed notebook in gs://nbjobs-examples/runs/" in shown.problem()
    expect(shown.shell.locator("#frame")).to_be_hidden()


def test_no_permission_is_said_in_a_sentence(tab: Callable[..., Tab], site: Site) -> None:
    site.cloud.fault({"method": "get", "status": 403, "times": 5})  # the trigger of the slow task may meet one too
    try:
        assert "Grant its account roles/aiplatform.viewer" in tab().open("plot").problem()
    finally:
        site.cloud.clear_faults()


def test_another_task_and_a_sensor_show_no_notebook(tab: Callable[..., Tab]) -> None:
    shown = tab()
    assert "This task runs no notebook" in shown.open("other").problem()
    assert "waits for the job" in shown.open("wait").problem()
    assert shown.shell.locator("#links a").count() >= 1
    expect(shown.shell.locator("#frame")).to_be_hidden()


@pytest.mark.parametrize("user", ["bob", None])
def test_another_users_notebook_stays_unseen(user: str | None, tab: Callable[..., Tab], site: Site) -> None:
    """The parts of the tab, asked for as the browser of that user would."""
    cookies = {"_token": site.token(user)} if user else {}
    for part in ("tab", "tab.js", "state", "frame", "facts", "notebook.html", "notebook.ipynb"):
        answer = httpx.get(site.route("plot", part), cookies=cookies, trust_env=False)
        assert answer.status_code == (403 if user else 401)
        assert "wine" not in answer.text
    shown = tab(user)
    shown.page.goto(site.route("plot", "tab"))
    assert "wine" not in shown.page.content()


def test_a_changed_theme_reaches_the_notebook(tab: Callable[..., Tab]) -> None:
    shown = tab(theme="light").open("visits")
    expect(shown.notebook.locator("html")).to_have_attribute("data-theme", "light")
    shown.page.evaluate("document.documentElement.className = 'dark'")
    expect(shown.shell.locator("html")).to_have_attribute("data-theme", "dark")
    expect(shown.notebook.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize(("button", "file"), [("#ipynb", "content.ipynb"), ("#html", "content.html")])
def test_a_notebook_can_be_downloaded(button: str, file: str, tab: Callable[..., Tab], tmp_path: Path) -> None:
    shown = tab().open("visits")
    expect(shown.notebook.locator("#cell-1")).to_be_visible()
    with shown.page.expect_download() as started:
        shown.shell.locator(button).click()
    assert started.value.suggested_filename == file
    started.value.save_as(tmp_path / file)
    assert "visits of" in (tmp_path / file).read_text()


def test_a_link_opens_outside_of_the_tab(tab: Callable[..., Tab]) -> None:
    shown = tab().open("wait")
    link = shown.shell.locator("#links a").first
    with shown.page.context.expect_page() as opened:
        link.click()
    assert opened.value.url.startswith(link.get_attribute("href") or "-")


def test_keys_reach_each_part(tab: Callable[..., Tab]) -> None:
    shown = tab().open("broken")
    expect(shown.shell.locator("#to-failed")).to_be_visible()
    shown.shell.locator("#to-failed").focus()
    reached = []
    for _ in range(6):
        reached.append(shown.shell.locator(":focus").get_attribute("id"))
        shown.page.keyboard.press("Tab")
    assert reached[:3] == ["to-failed", "ipynb", "html"]
    shown.shell.locator("#to-failed").focus()
    shown.page.keyboard.press("Enter")
    expect(shown.notebook.locator("#failed-cell")).to_be_in_viewport()


def test_keys_open_a_folded_output(tab: Callable[..., Tab]) -> None:
    shown = tab().open("broken")
    expect(shown.shell.locator("#cells a").last).to_be_visible()
    shown.shell.locator("#cells a").last.focus()
    folded = shown.notebook.locator("#cell-2 summary")
    expect(folded).to_be_visible()
    for _ in range(5):
        shown.page.keyboard.press("Tab")
        if shown.notebook.locator("#cell-2 summary:focus-visible").count():
            break
    expect(folded).to_be_focused()
    expect(folded).not_to_have_css("outline-style", "none")
    shown.page.keyboard.press("Enter")
    expect(shown.notebook.locator("#cell-2 details[open]")).to_be_visible()


def test_a_hostile_notebook_stays_in_its_frame(tab: Callable[..., Tab], site: Site) -> None:
    """Nothing executes, nothing is requested from another origin, and nothing leaves the frame."""
    uri = site.executed("visits")
    kept, shown = site.cloud.download(uri), tab()
    try:
        for name, content in hostile_notebooks("http://127.0.0.1:9").items():
            site.cloud.upload(uri, content)
            shown.page.goto(site.route("visits", "tab"))  # without Airflow's page around it, which takes seconds
            shown.page.locator("main[aria-busy=false]").wait_for()
            shown.page.locator("#loading").wait_for(state="hidden")
            outside = [url for url in shown.requested if not url.startswith((site.airflow.url, "data:", "blob:"))]
            dialogs = [said for said in shown.said if said.startswith("dialog")]
            assert (name, outside, dialogs) == (name, [], [])
            frames = [frame.url.partition("?")[0] for frame in shown.page.frames]
            assert (name, frames) == (name, [site.route("visits", "tab"), site.route("visits", "frame")])
            assert (name, shown.page.title()) == (name, "Notebook")
    finally:
        site.cloud.upload(uri, kept)


def test_a_running_job_becomes_an_executed_notebook_without_a_reload(
    tab: Callable[..., Tab], site: Site, take: Callable[[Tab, str], None]
) -> None:
    """The last test here, since it lets the task go on."""
    shown = tab().open("slow")
    expect(shown.shell.locator("#badge")).to_have_text("Running")
    stats = shown.shell.locator("#stats")
    expect(stats).to_contain_text("Waited")
    before = stats.locator("div", has_text="Has run").inner_text()
    expect(stats.locator("div", has_text="Has run")).not_to_have_text(before)
    expect(shown.shell.locator("#problem")).to_contain_text("This is its source notebook")
    expect(shown.notebook.locator("#cell-1")).to_contain_text("while")
    take(shown, "notebook_tab_running")
    mark = json.dumps("not reloaded")
    shown.shell.locator("body").evaluate(f"body => {{ body.dataset.mark = {mark} }}")
    site.gate.touch()
    expect(shown.shell.locator("#badge")).to_have_text("Succeeded", timeout=120_000)
    expect(shown.notebook.locator("#cell-2")).to_contain_text("the gate is open")
    expect(shown.shell.locator("body")).to_have_attribute("data-mark", "not reloaded")
