"""What one view of the tab asks Google Cloud for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.plugin.conftest import finish, problem
from tests.support.papers import as_bytes, notebook
from tests.support.task_rows import TaskRow
from tests.support.waiting import eventually

REFUSED = {"method": "get", "status": 403}
LOOK = "airflow_nbjobs.plugin.look._VIEW_SECONDS"


def test_a_view_reads_the_job_once(
    ann: TestClient, cloud: Any, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOOK, 3600)
    row = ran()
    assert ann.get(row.path("state")).json()["problem"] is None
    cloud.fault(REFUSED)
    for part in ("frame", "facts", "notebook.ipynb", "notebook.html"):
        assert ann.get(row.path(part)).status_code == 200
    assert problem(ann.get(row.path("state")))[0] == "no_permission"


def test_a_frame_waits_for_the_look_of_its_state(
    ann: TestClient, cloud: Any, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOOK, 3600)
    row = ran()
    cloud.fault({"method": "get", "phase": "after", "delay_seconds": 1, "times": 1})
    cloud.fault(REFUSED)
    with ThreadPoolExecutor() as pool:
        state = pool.submit(ann.get, row.path("state"))
        eventually(lambda: any(fault["met"] for fault in cloud.faults()))
        assert ann.get(row.path("frame")).status_code == 200
        assert state.result().json()["problem"] is None
    assert problem(ann.get(row.path("state")))[0] == "no_permission"


def test_the_frame_of_a_view_has_the_problem_of_its_state(
    ann: TestClient, cloud: Any, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOOK, 3600)
    row = ran()
    cloud.fault({"method": "get", "status": 403, "times": 1})
    code, message = problem(ann.get(row.path("state")))
    assert code == "no_permission"
    for _ in range(2):
        assert message.split(".")[0] in ann.get(row.path("frame")).text.replace("&#x27;", "'")


def test_each_state_and_each_later_view_looks_again(
    ann: TestClient, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = TaskRow.make()
    cloud.upload("gs://results/made", b"")
    name = row.submit()
    assert ann.get(row.path("state")).json()["job"]["is_over"] is False
    finish(cloud, name)
    assert ann.get(row.path("state")).json()["job"]["is_over"] is True
    monkeypatch.setattr(LOOK, -1)
    uri = ann.get(row.path("state")).json()["notebook"]["uri"]
    cloud.upload(uri, as_bytes(notebook({**_text(), "source": "a newer version"})))
    assert "a newer version" in ann.get(row.path("frame")).text


def test_a_view_of_another_try_has_its_own_look(
    ann: TestClient, ran: Callable[..., TaskRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOOK, 3600)
    one, other = ran(as_bytes(notebook({**_text(), "source": "of one"}))), ran()
    assert ann.get(one.path("state")).status_code == 200
    assert "of one" not in ann.get(other.path("frame")).text
    assert "of one" in ann.get(one.path("frame")).text


def _text() -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}}
