"""A hostile notebook does not harm the emulator, and leaves no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys

import psutil
import pytest

from airflow_nbjobs.emulator.kernels.runner import KernelRunner
from tests.support.kernels import cells, is_gone, processes_of, run
from tests.support.waiting import eventually

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


def noting(pids, cell):
    return f"PIDS = {str(pids)!r}\ndef note(pid):\n    with open(PIDS, 'a') as file: file.write(f'{{pid}}\\n')\n{cell}"


def runner_of(scratch):
    return KernelRunner(scratch=scratch, environment={"NBJOBS_TEST": str(scratch)})


@pytest.mark.parametrize("left", LEFT_BEHIND.values(), ids=LEFT_BEHIND.keys())
def test_nothing_that_a_job_started_outlives_it(tmp_path, left):
    ended = run(tmp_path / "s", noting(tmp_path / "pids", left), "print('on')")
    assert ended.ok, ended.message
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert pids
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_nothing_outlives_a_job_however_it_ends(tmp_path, ending):
    code = [noting(tmp_path / "pids", LEFT_BEHIND["a daemon"]), "print('kept')", ending]
    ended = run(tmp_path / "s", *code, timeout=12 if "sleep(600)" in ending else 60)
    assert ended.ok == (ending == "pass")
    assert all(is_gone(int(line)) for line in (tmp_path / "pids").read_text().split())
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
def test_a_job_that_kills_itself_fails_and_says_so(tmp_path, cell, message):
    ended = run(tmp_path / "s", "1", cell)
    assert (ended.ok, ended.message) == (False, message.strip())


def cancel(folder, cell, when):
    """Cancel a job after a wait, twice, and check that nothing of it is left."""

    async def cancelled():
        task = asyncio.create_task(runner_of(folder / "s").run(cells(cell), kernel_name=None, timeout_seconds=60))
        await when(task)
        task.cancel()
        await asyncio.sleep(0.05)
        task.cancel()  # a second time changes nothing
        with pytest.raises(asyncio.CancelledError):
            await task
        assert processes_of(folder / "s") == []
        assert list((folder / "s").glob("*")) == []

    asyncio.run(cancelled())


def test_a_cancelled_job_ends_all_its_processes_first(tmp_path):
    cell = noting(tmp_path / "pids", LEFT_BEHIND["a daemon"] + "\ntime.sleep(600)")
    cancel(tmp_path, cell, lambda _: asyncio.to_thread(eventually, (tmp_path / "pids").exists))
    assert is_gone(int((tmp_path / "pids").read_text()))


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.1, 0.4])
def test_a_job_that_is_cancelled_at_once_leaves_nothing(tmp_path, seconds):
    cancel(tmp_path, "1", lambda task: asyncio.wait([task], timeout=seconds))


@contextlib.contextmanager
def running(folder, cell, pids):
    """Run a cell by a program of its own, until it has noted so many process ids."""
    (folder / "source.ipynb").write_bytes(cells(noting(folder / "pids", cell)))
    program = (
        "import asyncio, pathlib, sys\n"
        "from airflow_nbjobs.emulator.kernels.runner import KernelRunner\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "runner = KernelRunner(scratch=here / 's', environment={'NBJOBS_TEST': str(here / 's')})\n"
        "work = runner.run((here / 'source.ipynb').read_bytes(), kernel_name=None, timeout_seconds=600)\n"
        "asyncio.run(work)\n"
    )
    noted = folder / "pids"
    arguments = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as emulator:  # the traceback of an interrupt
        try:
            eventually(lambda: noted.exists() and len(noted.read_text().split()) == pids)
            yield emulator
        finally:
            emulator.kill()
    eventually(lambda: all(is_gone(int(line)) for line in noted.read_text().split()))
    eventually(lambda: processes_of(folder / "s") == [])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_kernel_outlives_an_emulator_that_is_ended(tmp_path, how):
    stay = "\nnote(os.getpid()); time.sleep(600)"
    with running(tmp_path, LEFT_BEHIND["a daemon without our environment"] + stay, 2) as emulator:
        emulator.send_signal(how)
        emulator.wait()
    eventually(lambda: list((tmp_path / "s").iterdir()) == [])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a kernel ends when it next looks for its parent")
def test_a_kernel_ends_when_the_emulator_and_its_worker_are_killed(tmp_path):
    """The kernel holds Python's lock: its own thread that looks for the parent does not run."""
    busy = "import os, re\nnote(os.getpid())\nre.match('(a+)+$', 'a' * 60 + 'b')"
    with running(tmp_path, busy, 1) as emulator:
        (worker,) = psutil.Process(emulator.pid).children()
        emulator.send_signal(signal.SIGSTOP)  # it must not end the kernel before it is killed
        worker.kill()
        emulator.kill()


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
def test_a_flood_of_output_is_cut_and_the_job_goes_on(tmp_path, cell):
    """What comes back is bounded, and the emulator's own memory with it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = run(tmp_path, cell, "print('after')", timeout=120)
    assert ended.ok, ended.message
    assert ended.notebook is not None
    assert len(ended.notebook) < 40 * 2**20
    assert b"[The emulator dropped outputs here: " in ended.notebook
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
def test_what_is_not_the_executed_notebook_is_not_read(tmp_path, cell):
    setup = "import os; path = os.path.dirname(os.getcwd()) + '/executed.ipynb'"
    assert run(tmp_path, f"{setup}\n{cell}\nos.kill(os.getppid(), 9)").notebook is None


def test_output_that_nests_too_deep_fails_the_job_alone(tmp_path):
    cell = (
        "from IPython import get_ipython\nnested = []\nfor _ in range(900): nested = [nested]\n"
        "get_ipython().display_pub.publish({'application/json': nested})"
    )
    ended = run(tmp_path, cell, "print('after')")
    assert ended.ok or ended.message.startswith("Cell 1 ")


def test_a_job_that_forges_its_report_deceives_about_itself_only(tmp_path):
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


def test_the_emulator_is_not_in_a_jobs_group_or_session(tmp_path):
    """A notebook that signals its whole group, as `kill 0` does, does not reach further."""
    ended = run(tmp_path, "import os; print(os.getpgid(0), os.getsid(0))")
    group, session = json.loads(ended.notebook or b"")["cells"][0]["outputs"][0]["text"][0].split()
    assert int(group) != os.getpgid(0)
    assert int(session) != os.getsid(0)
