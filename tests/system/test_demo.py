"""`make demo UI=1` as a person runs it, from the first line to Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest

from demo.__main__ import _follow
from demo.airflow_rest import Run
from demo.folders import fresh_folder
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]


class Demo:
    """The demo's process, and what it has printed so far."""

    def __init__(self, log: Path) -> None:
        self.log = log
        call = [sys.executable, "-m", "demo", "--ui"]
        with log.open("w") as out:
            self.process = subprocess.Popen(call, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)

    def wait_for(self, pattern: str) -> str:
        """Wait until a line matches, and return its first group."""

        def found() -> re.Match[str] | None:
            assert self.process.poll() is None, self.log.read_text()
            return re.search(pattern, self.log.read_text())

        return str(eventually(found, within_seconds=300)[1])


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Start the demo, and end it and all that it started in any case."""
    running = Demo(tmp_path / "demo.log")
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(60)


def test_the_demo_runs_shows_the_result_and_leaves_nothing_behind(demo: Demo) -> None:
    url = demo.wait_for(r"(http://127\.0\.0\.1:\d+)/dags/hello_notebook/runs/[^/]+/tasks/wine_report/plugin/notebook")
    printed = demo.log.read_text()
    states = re.findall(r"wine_report +(\w+)", printed)
    assert states.index("deferred") < states.index("success")
    assert '"state": "JOB_STATE_SUCCEEDED"' in printed
    assert "178 wines, 13 measurements each" in printed
    copy = Path(demo.wait_for(r"was copied to (\S+\.ipynb)\."))
    assert "image/png" in copy.read_text()
    assert httpx.get(url, trust_env=False, follow_redirects=True).is_success

    started = psutil.Process(demo.process.pid).children(recursive=True)
    assert len(started) >= 4
    os.kill(demo.process.pid, signal.SIGINT)
    assert demo.process.wait(60) == 0
    assert psutil.wait_procs(started, timeout=5)[1] == []
    assert "all processes have ended" in demo.log.read_text()


def test_each_state_has_a_meaning_before_and_after_the_job() -> None:
    seen = ["scheduled", "queued", "running", "deferred", "scheduled", "queued", "running", "success"]
    states = iter(seen)
    rest = SimpleNamespace(task=lambda *_: {"state": next(states)})
    airflow: Any = SimpleNamespace(rest=rest, wait=lambda look, *_: list(iter(look, True)))
    told: list[str] = []
    assert _follow(airflow, Run("hello_notebook", "1"), lambda _, what: told.append(what)) == seen
    of_the_end = ["the job has ended" in line or "the result" in line for line in told]
    assert of_the_end == [False, False, False, False, True, False, True, True]


def test_a_demo_removes_only_ended_demos(tmp_path: Path) -> None:
    (tmp_path / "demo-killed" / "airflow").mkdir(parents=True)
    with fresh_folder(tmp_path) as before, fresh_folder(tmp_path) as now:
        assert set(tmp_path.iterdir()) == {before, now}
    with fresh_folder(tmp_path) as later:
        assert list(tmp_path.iterdir()) == [later]
    assert later.exists()
