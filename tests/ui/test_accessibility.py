"""What axe-core finds in the documents of the tab: contrast, names, headings, landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import SECONDS, Site

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()


@pytest.fixture
def page(browser: Browser, site: Site, theme: str) -> Iterator[Page]:
    """Return a page of a user, in which axe-core may run."""
    context = browser.new_context(bypass_csp=True)
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    context.add_cookies([{"name": "_token", "value": site.token("ann"), "url": site.airflow.url}])
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    yield page
    context.close()


def violations(page: Page) -> list[Any]:
    """Return the rules that a document breaks, with the elements."""
    page.evaluate(f"{AXE}; 0")
    found = page.evaluate("axe.run(document, {iframes: false})")["violations"]
    # The tables of pandas have empty headers.
    rules = [rule for rule in found if rule["id"] != "empty-table-header"]
    return [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in rules]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("task", ["plot", "broken", "slow", "lost", "wait"])
def test_the_tab_can_be_read_by_everybody(task: str, page: Page, site: Site) -> None:
    page.goto(site.route(task, "tab"))
    page.locator("main[aria-busy=false]").wait_for()
    expect(page.locator("#problem" if task in ("lost", "wait") else "#stats")).to_be_visible()
    page.locator("#details").evaluate("details => { details.open = true; }")
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("task", ["plot", "broken", "visits"])
def test_the_notebook_can_be_read_by_everybody(task: str, theme: str, page: Page, site: Site) -> None:
    """As a document of its own: axe-core is a script, and runs in no frame without scripts."""
    answer = page.request.get(f"{site.route(task, 'frame')}?theme={theme}", timeout=SECONDS)
    page.set_content(answer.text())
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    assert violations(page) == []
