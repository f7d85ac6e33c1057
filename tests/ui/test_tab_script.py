"""The tab's script alone: what it shows if answers come late."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

STATIC = files("airflow_nbjobs.plugin").joinpath("static")
ADDRESS = "http://airflow.example/tasks/"


def state(number: int, **more: Any) -> dict[str, Any]:
    """Return the state of a try whose job has the number of the try."""
    job = {"id": f"job-{number}", "name": f"job-{number}", "state": "RUNNING", "is_over": False, "is_success": False}
    times = {"seconds": None, "waited_seconds": 1, "ran_seconds": 1}
    return {
        "task": {"state": "running", "try": number, "tries": [{"number": each, "state": None} for each in (1, 2)]},
        "job": {**job, **times, "created": None, "updated": None},
        "links": [],
        "results": None,
        "notebook": None,
        "problem": None,
        "refresh_seconds": 0.2,
        **more,
    }


def ended(*, is_settled: bool) -> dict[str, Any]:
    """Return what a state has besides when the job has ended with a notebook."""
    job = {**state(2)["job"], "is_over": True, "is_settled": is_settled}
    notebook = {"key": "k", "kind": "executed", "uri": "gs://b/n.ipynb", "generation": "1", "size": 1}
    return {"job": job, "notebook": notebook, "refresh_seconds": None}


class Answers:
    """Answers for the page in place of Airflow.

    :ivar late: requests for the state that wait for their answer.
    :ivar frames: how often the notebook was asked for.
    :ivar more: what the next states have besides.
    """

    def __init__(self, page: Page) -> None:
        self.late: list[Route] = []
        self.is_holding = False
        self.frames = 0
        self.more: dict[str, Any] = {}
        page.route(f"{ADDRESS}**", self._answer)

    def _answer(self, route: Route) -> None:
        part, _, query = route.request.url.removeprefix(ADDRESS).partition("?")
        if part == "frame":
            self.frames += 1
            route.fulfill(body="", content_type="text/html")
        elif part == "facts":
            route.fulfill(json={"cells": [], "failed": None, "slowest": None, "parameters": {}})
        elif part != "state":
            route.fulfill(path=STATIC.joinpath(part if "." in part else f"{part}.html"))
        elif "try=1" in query:
            route.fulfill(json=state(1, refresh_seconds=None))
        elif self.is_holding:
            self.late.append(route)
        else:
            route.fulfill(json=state(2, **self.more))


@pytest.fixture
def page(browser: Browser) -> Any:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_a_late_answer_does_not_replace_the_chosen_try(page: Page) -> None:
    answers = Answers(page)
    page.goto(f"{ADDRESS}tab")
    expect(page.locator("#stats")).to_contain_text("job-2")
    answers.is_holding = True
    while not answers.late:
        page.wait_for_timeout(50)
    page.locator("[data-try='1']").click()
    expect(page.locator("#stats")).to_contain_text("job-1")
    with page.expect_response(lambda response: response.url == f"{ADDRESS}state"):
        answers.late[0].fulfill(json=state(2, refresh_seconds=None))
    page.wait_for_timeout(300)
    expect(page.locator("#stats")).to_contain_text("job-1")
    expect(page.locator("[data-try='1']")).to_have_attribute("aria-pressed", "true")
    assert len(answers.late) == 1


def test_a_hidden_page_asks_nothing_after_a_late_answer(page: Page) -> None:
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.isAway === true })")
    answers = Answers(page)
    page.goto(f"{ADDRESS}tab")
    answers.is_holding = True
    while not answers.late:
        page.wait_for_timeout(50)
    page.evaluate("window.isAway = true; document.dispatchEvent(new Event('visibilitychange'))")
    with page.expect_response(lambda response: response.url == f"{ADDRESS}state"):
        answers.late[0].fulfill(json=state(2))
    page.wait_for_timeout(1000)
    assert len(answers.late) == 1
    page.evaluate("window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))")
    while len(answers.late) < 2:
        page.wait_for_timeout(50)


@pytest.mark.parametrize(("is_settled", "frames"), [(True, 1), (False, 2)])
def test_the_first_frame_is_kept_if_the_job_ended_long_ago(is_settled: bool, frames: int, page: Page) -> None:
    answers = Answers(page)
    answers.is_holding = True
    page.goto(f"{ADDRESS}tab")
    while not (answers.late and answers.frames):
        page.wait_for_timeout(50)
    with page.expect_response(lambda response: "/facts" in response.url):
        answers.late[0].fulfill(json=state(2, **ended(is_settled=is_settled)))
    page.wait_for_timeout(300)
    expect(page.locator("#view")).to_be_visible()
    assert answers.frames == frames


def test_a_first_frame_from_before_the_notebook_is_not_kept(page: Page) -> None:
    answers = Answers(page)
    page.goto(f"{ADDRESS}tab")
    expect(page.locator("#stats")).to_contain_text("job-2")
    assert answers.frames == 1
    with page.expect_response(lambda response: "/facts" in response.url):
        answers.more = ended(is_settled=True)
    page.wait_for_timeout(300)
    assert answers.frames == 2
