"""Times of cells are read as each program writes them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_nbjobs.notebooks.timing import run_seconds
from tests.support.building import code, execute, read


def execution(start: Any, end: Any) -> dict[str, Any]:
    return {"execution": {"iopub.execute_input": start, "shell.execute_reply": end}}


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [
        (execution("2026-11-22T00:00:00Z", "2026-11-22T00:01:01.5Z"), 61.5),
        ({"papermill": {"start_time": "2026-11-22T00:00:00.000001", "end_time": "2026-11-22T00:00:02.000001"}}, 2.0),
        ({"executionInfo": {"elapsed": 1500, "status": "ok", "timestamp": 1795390089397}}, 1.5),
        (execution("later", 7), None),
        (execution("2026-11-22T00:00:09Z", "2026-11-22T00:00:00"), None),
        ({}, None),
    ],
    ids=["nbclient", "papermill", "Colab", "not times", "backwards", "nothing"],
)
def test_time_is_read_from_the_metadata_of_each_program(metadata: dict[str, Any], seconds: float | None) -> None:
    assert run_seconds(metadata) == seconds


def test_executed_cell_has_its_time() -> None:
    (run,) = read(*execute(code("import time\ntime.sleep(0.3)")).cells).runs
    assert run.seconds is not None
    assert run.seconds >= 0.3
