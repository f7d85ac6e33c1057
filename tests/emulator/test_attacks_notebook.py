"""A hostile notebook hurts neither the emulator nor outlives its job, whatever it starts, ends, writes or says."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import nbformat
import psutil
import pytest

from airflow_nbjobs.emulator.runner import Ended, KernelRunner
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

# Each writes the id of a process that is meant to stay to the file "pids", and gets on.
LEFT_BEHIND = {
    "a child": "import subprocess, sys\nnote(subprocess.Popen(['sleep', '600']).pid)",
    "a child in a session of its own": (
        "import subprocess\nnote(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)"
    ),
    "a child that ignores signals": (
        "import subprocess, sys\n"
        "code = 'import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; time.sleep(600)'\n"
        "note(subprocess.Popen([sys.executable, '-c', code]).pid)"
    ),
    "a daemon": (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        note(os.getpid()); time.sleep(600)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "while not os.path.exists(PIDS): time.sleep(0.01)"
    ),
    "a daemon without our environment": (
        "import subprocess, time, os\n"
        "subprocess.run(['sh', '-c', 'setsid sleep 600 & echo $! > ' + PIDS], env={'PATH': os.environ['PATH']})"
    ),
    "a program that forks": (
        "import subprocess, sys, time, os\n"
        "code = 'import os, time\\nfor _ in range(7):\\n    if os.fork() == 0: os.setsid()\\n'\n"
        "code += 'time.sleep(600)'\n"
        "note(subprocess.Popen([sys.executable, '-c', code]).pid); time.sleep(0.3)"
    ),
}
ENDINGS = {
    "it is over": "pass",
    "it fails": "1 / 0",
    "its kernel goes": "import os; os._exit(3)",
    "its kernel is killed": "import os; os.kill(os.getpid(), 9)",
    "it kills its worker": "import os; os.kill(os.getppid(), 9)",
    "it stops its worker": "import os, time; os.kill(os.getppid(), 19); time.sleep(600)",
    "it takes too long": "import time; time.sleep(600)",
}


def source(*cells: str) -> bytes:
    return nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])).encode()


def noting(pids: Path, cell: str) -> str:
    return f"PIDS = {str(pids)!r}\ndef note(pid):\n    with open(PIDS, 'a') as file: file.write(f'{{pid}}\\n')\n{cell}"


def run(scratch: Path, *cells: str, timeout: float = 60) -> Ended:
    runner = KernelRunner(scratch=scratch, environment={"NBJOBS_TEST": str(scratch)})
    return asyncio.run(runner.run(source(*cells), kernel_name=None, timeout_seconds=timeout))


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def related(scratch: Path) -> list[psutil.Process]:
    """Return the processes that were started for jobs of *scratch*, by their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("NBJOBS_TEST") == str(scratch):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("left", LEFT_BEHIND.values(), ids=LEFT_BEHIND.keys())
def test_nothing_that_a_job_started_outlives_it(tmp_path: Path, left: str) -> None:
    ended = run(tmp_path / "s", noting(tmp_path / "pids", left), "print('on')")
    assert ended.ok, ended.message
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert pids
    assert all(gone(pid) for pid in pids)
    assert related(tmp_path / "s") == []


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_nothing_outlives_a_job_however_it_ends(tmp_path: Path, ending: str) -> None:
    cells = [noting(tmp_path / "pids", LEFT_BEHIND["a daemon"]), "print('kept')", ending]
    ended = run(tmp_path / "s", *cells, timeout=12 if "sleep(600)" in ending else 60)
    assert ended.ok == (ending == "pass")
    assert all(gone(int(line)) for line in (tmp_path / "pids").read_text().split())
    assert related(tmp_path / "s") == []
    assert list((tmp_path / "s").iterdir()) == []
    assert ended.notebook is not None
    assert json.loads(ended.notebook)["cells"][1]["outputs"][0]["text"] == ["kept\n"]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("import os; os._exit(3)", "The kernel died while cell 2 was running."),
        (
            "import os; os.kill(os.getppid(), 9)",
            "The process that ran the notebook ended before the notebook did (exit code -9).",
        ),
        ("import sys; sys.exit(3)", "Cell 2 failed: SystemExit: 3"),
        ("raise KeyboardInterrupt", "Cell 2 failed: KeyboardInterrupt: "),
    ],
)
def test_a_job_that_kills_itself_fails_and_says_so(tmp_path: Path, cell: str, message: str) -> None:
    ended = run(tmp_path / "s", "1", cell)
    assert (ended.ok, ended.message) == (False, message.strip())


def test_cancelling_ends_everything_first(tmp_path: Path) -> None:
    async def cancel() -> None:
        runner = KernelRunner(scratch=tmp_path / "s", environment={"NBJOBS_TEST": str(tmp_path / "s")})
        cell = noting(tmp_path / "pids", LEFT_BEHIND["a daemon"] + "\ntime.sleep(600)")
        task = asyncio.create_task(runner.run(source(cell), kernel_name=None, timeout_seconds=60))
        await asyncio.to_thread(eventually, (tmp_path / "pids").exists, within_seconds=30)
        task.cancel()
        await asyncio.sleep(0.05)
        task.cancel()  # an impatient second time changes nothing
        with pytest.raises(asyncio.CancelledError):
            await task
        assert related(tmp_path / "s") == []
        assert list((tmp_path / "s").iterdir()) == []

    started = time.monotonic()
    asyncio.run(cancel())
    assert gone(int((tmp_path / "pids").read_text()))
    assert time.monotonic() - started < 20


def test_a_job_that_is_cancelled_at_once_leaves_nothing(tmp_path: Path) -> None:
    async def cancel(after_seconds: float) -> None:
        runner = KernelRunner(scratch=tmp_path / "s", environment={"NBJOBS_TEST": str(tmp_path / "s")})
        task = asyncio.create_task(runner.run(source("1"), kernel_name=None, timeout_seconds=60))
        await asyncio.wait([task], timeout=after_seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert related(tmp_path / "s") == []
        assert list((tmp_path / "s").iterdir()) == []

    for after_seconds in (0.0, 0.01, 0.1, 0.4):
        asyncio.run(cancel(after_seconds))


def test_no_kernel_outlives_a_killed_emulator(tmp_path: Path) -> None:
    stay = "\nnote(os.getpid()); time.sleep(600)"
    cell = noting(tmp_path / "pids", LEFT_BEHIND["a daemon without our environment"] + stay)
    (tmp_path / "source.ipynb").write_bytes(source(cell))
    program = (
        "import asyncio, pathlib, sys\n"
        "from airflow_nbjobs.emulator.runner import KernelRunner\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "runner = KernelRunner(scratch=here / 's', environment={'NBJOBS_TEST': str(here / 's')})\n"
        "work = runner.run((here / 'source.ipynb').read_bytes(), kernel_name=None, timeout_seconds=60)\n"
        "asyncio.run(work)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) as emulator:
        pids = tmp_path / "pids"
        eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2, within_seconds=30)
        emulator.send_signal(signal.SIGKILL)
        emulator.wait()
    eventually(lambda: all(gone(int(line)) for line in pids.read_text().split()))
    eventually(lambda: related(tmp_path / "s") == [])
    eventually(lambda: list((tmp_path / "s").iterdir()) == [])


@pytest.mark.parametrize(
    "cell",
    [
        "print('x' * 200_000_000)",
        "import sys\nfor _ in range(200): sys.stdout.write('x' * 1_000_000 + '\\n')",
        (
            "import time\nfor n in range(10_500):\n    get_ipython().display_pub.publish({'text/plain': 'x'})\n"
            "    if n % 100 == 0: time.sleep(0.05)  # the kernel itself drops what is not taken in time"
        ),
        "from IPython.display import HTML\nHTML('x' * 100_000_000)",
    ],
    ids=["one large text", "many lines", "many displays", "a large result"],
)
def test_a_flood_of_output_is_cut_and_the_job_goes_on(tmp_path: Path, cell: str) -> None:
    """What comes back is bounded, and the emulator's own memory with it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = run(tmp_path, cell, "print('after')", timeout=120)
    assert ended.ok, ended.message
    assert ended.notebook is not None
    assert len(ended.notebook) < 40 * 2**20
    assert b"What came after this was dropped." in ended.notebook
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize(
    "cell",
    [
        "os.mkfifo(path)",
        "os.symlink('/etc/passwd', path)",
        "os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 2**40)",
    ],
    ids=["a pipe", "a link", "a huge file"],
)
def test_what_is_not_the_executed_notebook_is_not_read(tmp_path: Path, cell: str) -> None:
    setup = "import os; path = os.path.dirname(os.getcwd()) + '/executed.ipynb'"
    assert run(tmp_path, f"{setup}\n{cell}\nos.kill(os.getppid(), 9)").notebook is None


def test_output_that_nests_too_deep_fails_the_job_alone(tmp_path: Path) -> None:
    cell = (
        "from IPython import get_ipython\nnested = []\nfor _ in range(900): nested = [nested]\n"
        "get_ipython().display_pub.publish({'application/json': nested})"
    )
    ended = run(tmp_path, cell, "print('after')")
    assert ended.ok or ended.message.startswith("Cell 1 ")


def test_a_job_that_forges_its_report_deceives_about_itself_only(tmp_path: Path) -> None:
    """The worker's report is read as data: bounded, and of the expected shape or none."""
    forge = (
        "import os, glob\n"
        "for path in glob.glob(f'/proc/{os.getppid()}/fd/*'):\n"
        "    try:\n"
        "        if 'pipe' in os.readlink(path): os.write(os.open(path, os.O_WRONLY | os.O_NONBLOCK), b'[' * 60_000)\n"
        "    except OSError: pass\n"
        "os.kill(os.getppid(), 9)"
    )
    ended = run(tmp_path, forge, timeout=20)
    assert not ended.ok
    assert len(ended.message) < 1_200


def test_the_emulator_is_not_in_a_jobs_group_or_session(tmp_path: Path) -> None:
    """A notebook that signals its whole group, as `kill 0` does, does not reach further."""
    ended = run(tmp_path, "import os; print(os.getpgid(0), os.getsid(0))")
    group, session = json.loads(ended.notebook or b"")["cells"][0]["outputs"][0]["text"][0].split()
    assert int(group) != os.getpgid(0)
    assert int(session) != os.getsid(0)
