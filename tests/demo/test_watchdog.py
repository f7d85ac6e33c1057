"""Processes end together with the process that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
STARTING = """
import subprocess, sys, time
from pathlib import Path
from demo.watchdog import Watchdog

# It ignores SIGTERM, and starts a process in a new process group.
CODE = '''
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
print(other.pid, flush=True)
time.sleep(600)
'''

def test_it_starts_and_waits():
    watchdog = Watchdog()
    child = subprocess.Popen([sys.executable, "-c", CODE], start_new_session=True, stdout=subprocess.PIPE, text=True)
    watchdog.add(child.pid)
    other = child.stdout.readline().strip()
    note = Path(__file__).with_name("started")
    note.with_suffix(".new").write_text(f"{child.pid} {other} {watchdog._process.pid}")
    note.with_suffix(".new").rename(note)
    time.sleep(600)
"""


CHILDREN = {
    "make chaos": "from chaos.cloud import Cloud; from pathlib import Path; Cloud(Path.cwd(), 1).start(); input()",
    "make bench": "from bench.measure import in_fresh_process; in_fresh_process('http.server', '0')",
    "a child of make bench": "from bench.child import Child; child = Child('http.server', '0'); input()",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("command", CHILDREN)
def test_an_interrupted_command_leaves_no_process(tmp_path: Path, command: str, number: signal.Signals) -> None:
    call = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {CHILDREN[command]}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        call, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as run:
        others = eventually(lambda: started(run.pid))
        run.send_signal(number)
        run.wait(60)
    assert psutil.wait_procs(others, timeout=60)[1] == []


def started(pid: int) -> list[psutil.Process]:
    """Return the processes that a process has started; nothing until one of them listens or runs its module."""
    found = psutil.Process(pid).children(recursive=True)
    with contextlib.suppress(psutil.NoSuchProcess):  # one that has done its work meanwhile
        return found if any(each.net_connections("tcp") for each in found) else []
    return []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_interrupted_test_run_leaves_no_process(tmp_path: Path, number: signal.Signals, workers: str) -> None:
    (tmp_path / "test_it.py").write_text(STARTING)
    (tmp_path / "pytest.ini").touch()
    call = [sys.executable, "-m", "pytest", "--noconftest", "-n", workers, "-p", "no:cacheprovider", "-p", "no:nbjobs"]
    call += ["-c", f"{tmp_path}/pytest.ini", f"--basetemp={tmp_path}/work", str(tmp_path / "test_it.py")]
    run = subprocess.Popen(call, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    started = eventually(lambda: (tmp_path / "started").exists() and (tmp_path / "started").read_text().split())
    processes = [psutil.Process(int(pid)) for pid in started]
    run.send_signal(number)
    run.wait(60)
    assert psutil.wait_procs(processes, timeout=60)[1] == []
