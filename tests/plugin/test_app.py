"""Who may ask, and how the answers keep a notebook in its place."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi.testclient import TestClient
from starlette.requests import ClientDisconnect

from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.plugin import app
from airflow_nbjobs.plugin.app import make_app
from airflow_nbjobs.plugin.page_cache import CachedPage
from tests.plugin.conftest import CANARY, paper
from tests.support.task_rows import TaskRow

ROUTES = [str(route.path) for route in make_app().routes]  # type: ignore[attr-defined]  # all are of one kind
PARTS = ("tab", "tab.js", "tab.css", "state", "frame", "facts", "notebook.html", "notebook.ipynb")
FRAME_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"


def test_every_route_is_of_a_task_instance() -> None:
    assert set(ROUTES) == {f"/tasks/{{dag_id}}/{{run_id}}/{{task_id}}/{{map_index}}/{part}" for part in PARTS}


@pytest.mark.parametrize("part", PARTS)
def test_a_route_answers_a_user_who_may_read(part: str, ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    answer = ann.get(ran().path(part))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("part", PARTS)
def test_a_route_asks_for_credentials(part: str, stranger: TestClient, ran: Callable[..., TaskRow]) -> None:
    answer = stranger.get(ran().path(part))
    assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})


@pytest.mark.parametrize("user", ["bob", "ann-without-task_logs", "ann-without-xcom", "ann-without-task_instance"])
@pytest.mark.parametrize("part", PARTS)
def test_a_route_refuses_a_user_who_may_not_read(
    part: str, user: str, as_user: Callable[[str], TestClient], ran: Callable[..., TaskRow]
) -> None:
    answer = as_user(user).get(ran().path(part))
    assert (answer.status_code, answer.json()) == (403, {"detail": "Forbidden"})


@pytest.mark.parametrize("part", [part for part in PARTS if not part.startswith("tab")])
def test_a_route_knows_no_other_task_try_or_index(part: str, ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    row = ran()
    for other in (
        TaskRow(row.dag_id, "another-run", row.task_id),
        TaskRow(row.dag_id, row.run_id, "another"),
        TaskRow(row.dag_id, row.run_id, row.task_id, 3),
    ):
        assert ann.get(other.path(part)).status_code == 404
    assert ann.get(row.path(part), params={"try": 2}).status_code == 404
    assert ann.get(row.path(part).replace("%7BMAP_INDEX%7D", "x")).status_code == 404


def test_a_dag_in_the_query_does_not_replace_the_one_in_the_path(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    row = ran(dag_id="bob_reports")
    assert ann.get(row.path("frame"), params={"dag_id": "ann_reports"}).status_code == 403


@pytest.mark.parametrize("part", ["state", "frame"])
def test_a_failure_has_the_headers_too(
    part: str, ann: TestClient, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(CANARY)

    path = ran().path(part)
    monkeypatch.setattr("airflow_nbjobs.plugin.app.read_task", fail)
    answer = TestClient(ann.app, raise_server_exceptions=False, headers=ann.headers).get(path)
    assert (answer.status_code, CANARY in answer.text) == (500, False)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("part", ["frame", "notebook.ipynb"])
def test_a_reader_who_leaves_at_once_leaves_nothing_open(
    part: str, ann: TestClient, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []

    def hold(call: Callable[..., Any]) -> Callable[..., Any]:
        def holding(*given: Any) -> Any:
            held.append(made := call(*given))
            return made

        return holding

    class Hook(NotebookExecutionJobHook):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    monkeypatch.setattr(CachedPage, "html", hold(CachedPage.html))
    monkeypatch.setattr(app, "new_hook", hold(lambda: Hook(gcp_conn_id="google_cloud_default")))
    path, headers = ran().path(part), [(name.lower().encode(), value.encode()) for name, value in ann.headers.items()]
    scope: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "method": "GET"}
    scope |= {"path": unquote(path), "raw_path": path.encode(), "query_string": b"", "headers": headers}
    scope |= {"http_version": "1.1", "server": ("airflow.example", 80), "scheme": "http"}

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        raise OSError("The reader has left.")

    with contextlib.suppress(OSError, ClientDisconnect):
        asyncio.run(ann.app(scope, receive, send))
    assert held
    assert all(each.closed for each in held)


def test_only_reading_is_possible(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    path = ran().path("state")
    assert {ann.request(method, path).status_code for method in ("POST", "PUT", "PATCH", "DELETE")} == {405}


def test_the_frame_holds_the_notebook_in_a_sandbox(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    answer = ann.get(ran().path("frame"), params={"theme": "dark"})
    assert CANARY in answer.text
    assert "<script" not in answer.text
    assert 'data-theme="dark"' in answer.text
    assert answer.headers["content-security-policy"] == FRAME_POLICY


@pytest.mark.parametrize(
    ("parameter", "sent"),
    [("NaN", "nan"), ("-1e999", "-inf"), ("9" * 5_000, "inf"), ('"\\ud800"', "?")],
    ids=["NaN", "infinite", "huge", "half a pair"],
)
def test_parameters_that_are_no_json_are_sent(
    parameter: str, sent: str, ann: TestClient, ran: Callable[..., TaskRow]
) -> None:
    content = json.dumps(paper()).replace('"2026-11-22"', parameter).encode()
    answer = ann.get(ran(content).path("facts"))
    assert (answer.status_code, answer.json()["parameters"]) == (200, {"day": sent})


def test_deep_and_large_parameters_do_no_harm(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    for parameter, is_sent in (("[" * 900 + "]" * 900, True), (json.dumps(["x"] * 100_000), False)):
        content = json.dumps(paper()).replace('"2026-11-22"', parameter).encode()
        answer = ann.get(ran(content).path("facts"))
        assert (answer.status_code, "day" in answer.json()["parameters"]) == (200, is_sent)


@pytest.mark.parametrize("theme", ["auto", "'><script>", ""])
def test_the_theme_is_one_of_two(theme: str, ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    answer = ann.get(ran().path("frame"), params={"theme": theme})
    assert answer.status_code == 422
    assert CANARY not in answer.text


def test_the_shell_runs_only_its_own_scripts(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    row = ran()
    policy = ann.get(row.path("tab")).headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none';" in policy
    assert "unsafe" not in policy
    assert "<script>" not in ann.get(row.path("tab")).text
    assert "innerHTML" not in ann.get(row.path("tab.js")).text


@pytest.mark.parametrize(("part", "name"), [("notebook.ipynb", "report.ipynb"), ("notebook.html", "report.html")])
def test_a_download_is_a_file_in_a_sandbox(part: str, name: str, ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    answer = ann.get(ran().path(part))
    assert CANARY in answer.text
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{name}"')
    assert answer.headers["content-security-policy"] == FRAME_POLICY


def test_a_mapped_task_has_a_notebook_of_its_own(ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    row = ran(map_index=7)
    assert "/7/" in row.path("frame")
    assert CANARY in ann.get(row.path("frame")).text
