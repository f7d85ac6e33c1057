"""The command ``nbjobs emulator``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from airflow_nbjobs import __version__, cli, emulator
from tests.support.commands import NBJOBS
from tests.support.emulator_api import Api
from tests.support.kernels import is_gone
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

FREE = ["--port", "0", "--storage-port", "0"]


class Running:
    """What ``Api`` needs of an emulator that runs in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        lines = [process.stdout.readline().strip() for _ in range(2)]
        assert all(line.startswith("export ") for line in lines), (lines, process.stderr.read())
        self.env = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        self.url = self.env["NBJOBS_EMULATOR_HOST"]
        self.ready = (
            "nbjobs: the emulator is ready, and keeps its jobs and objects in '.nbjobs'. "
            f"Ctrl-C or `kill {process.pid}` ends it.\n"
        )

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def run_kernel(self, project: str) -> tuple[str, list[psutil.Process]]:
        """Create a job that sleeps, and return its name and its kernel's process."""
        with Api(self, project) as api:
            name = api.create("import time; time.sleep(300)")
            api.reaches(name, "RUNNING")
        return name, eventually(lambda: [each for each in self.children() if "ipykernel" in " ".join(each.cmdline())])


@contextlib.contextmanager
def running(*options: str) -> Iterator[Running]:
    command = [*NBJOBS, "emulator", *FREE, *options]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(command, **pipes, cwd=folder) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def nbjobs(*arguments, **variables):
    environment = {**os.environ, **variables}
    how: Any = {"capture_output": True, "text": True, "timeout": 60, "env": environment}
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([*NBJOBS, *arguments], check=False, cwd=folder, **how)


def test_the_version_is_printed():
    assert nbjobs("--version").stdout == f"nbjobs {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["emulator", *FREE, "--runner", "simulated"]])
def test_a_command_whose_output_is_closed_ends_quietly(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    how: Any = {"stdout": writer, "stderr": subprocess.PIPE, "env": {**os.environ, "PYTHONUNBUFFERED": ""}}
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run([*NBJOBS, *arguments], check=False, timeout=60, cwd=folder, **how)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_the_export_lines_are_printed():
    with running("--runner", "simulated") as emulator:
        assert sorted(emulator.env) == ["NBJOBS_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"]
        for url in emulator.env.values():
            assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{emulator.url}/_emulator/health", trust_env=False).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_every_kernel(number):
    with running() as emulator:
        _, kernels = emulator.run_kernel("ended")
        processes = [*emulator.children(), *kernels]
        emulator.process.send_signal(number)
        assert emulator.process.wait(120) == 0
        assert emulator.process.stderr.read() == emulator.ready
    assert [process for process in processes if not is_gone(process.pid)] == []


def test_a_running_job_of_a_killed_emulator_is_failed_later(tmp_path):
    data = ["--data", str(tmp_path)]
    with running(*data) as emulator:
        name, kernels = emulator.run_kernel("killed")
        emulator.process.kill()
        emulator.process.wait(120)
    eventually(lambda: all(is_gone(process.pid) for process in kernels))
    with running(*data) as emulator, Api(emulator, "killed") as api:
        job = api.get(name)
    assert job["jobState"] == "JOB_STATE_FAILED"
    assert "its kernel is gone" in job["status"]["message"]


def test_a_delayed_request_does_not_delay_the_end():
    with running("--runner", "simulated") as emulator, ThreadPoolExecutor() as threads:
        path = f"{emulator.url}/v1/projects/held/locations/us-central1/notebookExecutionJobs"
        httpx.post(f"{emulator.url}/_emulator/faults", json={"method": "list", "delay_seconds": 60}, trust_env=False)
        answer = threads.submit(httpx.get, path, trust_env=False, timeout=30)
        faults = f"{emulator.url}/_emulator/faults"
        eventually(lambda: httpx.get(faults, trust_env=False).json()["faults"][0]["met"] == 1)
        emulator.process.terminate()
        assert emulator.process.wait(120) == 0
        assert emulator.process.stderr.read() == emulator.ready
        assert answer.result().status_code == 503


def assert_one_line(ended, text):
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert text in ended.stderr


def test_a_storage_that_does_not_answer_is_one_line_and_exit_code_2():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ended = nbjobs("emulator", *FREE, STORAGE_EMULATOR_HOST=f"http://127.0.0.1:{port}")
    assert_one_line(ended, "unset STORAGE_EMULATOR_HOST")


def test_data_in_use_are_one_line_and_exit_code_2(tmp_path):
    with running("--runner", "simulated", "--data", str(tmp_path)):
        ended = nbjobs("emulator", *FREE, "--data", str(tmp_path))
    assert_one_line(ended, "in use by another emulator")


def test_a_storage_of_the_environment_is_reported(monkeypatch):
    with running("--runner", "simulated") as first:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", first.env["STORAGE_EMULATOR_HOST"])
        with running("--runner", "simulated") as second:
            assert second.env["STORAGE_EMULATOR_HOST"] == first.env["STORAGE_EMULATOR_HOST"]
            second.process.terminate()
            second.process.wait(120)
            line = second.process.stderr.readline()
            assert line.startswith("nbjobs: STORAGE_EMULATOR_HOST is set: the emulator uses the storage at http://127.")
            assert line.endswith("and starts none on port 0. Unset it to use --storage-port.\n")


def test_it_starts_again_after_its_export_lines(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    with running("--runner", "simulated", "--storage-port", str(port)) as emulator:
        assert emulator.env["STORAGE_EMULATOR_HOST"] == f"http://127.0.0.1:{port}"
        buckets = f"http://127.0.0.1:{port}/storage/v1/b"
        assert httpx.get(buckets, params={"project": "local"}, trust_env=False).status_code == 200


def test_listening_on_other_addresses_warns_and_checks_the_host():
    with running("--runner", "simulated", "--host", "0.0.0.0", "--allow-host", "build-box") as emulator:  # noqa: S104 - the test is about it
        codes = [
            httpx.get(f"{emulator.url}/_emulator/health", headers={"Host": host}, trust_env=False).status_code
            for host in ("build-box:9099", "127.0.0.1", "other-box")
        ]
        emulator.process.terminate()
        emulator.process.wait(120)
        warning = emulator.process.stderr.read()
    assert codes == [200, 200, 403]
    assert "WARNING" in warning
    assert "executes notebooks as user" in warning
    assert "another Host header than 127.0.0.1, localhost, [::1], build-box are refused; --allow-host" in warning


@pytest.mark.parametrize(
    "options", [["--port", "70000"], ["--concurrency", "0"], ["--seconds", "-1"], ["--runner", "none"]]
)
def test_a_bad_option_is_refused_and_named(options):
    ended = nbjobs("emulator", *options)
    assert ended.returncode == 2
    assert options[0] in ended.stderr


DEFAULTS = {
    "host": "127.0.0.1", "port": 9099, "storage_port": 9023, "data": ".nbjobs", "runner": "kernel", "seconds": 2.0,
    "concurrency": None, "cleanup_seconds": 2.0, "allowed_hosts": [], "buckets": [], "filter_match": "whole",
    "templates": [], "kernel_python": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ([], {}),
        (["--seconds", "0.5", "--runner", "simulated"], {"seconds": 0.5, "runner": "simulated"}),
        (["--concurrency", "3", "--filter-match", "part"], {"concurrency": 3, "filter_match": "part"}),
        (["--bucket", "one", "--bucket", "two"], {"buckets": ["one", "two"]}),
        (["--template", "1", "--template", "2"], {"templates": ["1", "2"]}),
        (["--port", "0", "--storage-port", "1"], {"port": 0, "storage_port": 1}),
        (["--kernel-python", "venv/bin/python"], {"kernel_python": Path("venv/bin/python")}),
        (["--data", "here", "--cleanup-seconds", "0"], {"data": "here", "cleanup_seconds": 0.0}),
        (["--host", "::1", "--allow-host", "a", "--allow-host", "b"], {"host": "::1", "allowed_hosts": ["a", "b"]}),
    ],
)
def test_the_options_are_passed_to_the_emulator(monkeypatch, capsys, options, changed):
    made = []

    class NotStarted:  # in the emulator's place, since it would take the default ports of this machine
        def __init__(self, **arguments):
            made.append(arguments)

        def start(self):
            raise emulator.EmulatorError("not here")

    monkeypatch.setattr(emulator, "Emulator", NotStarted)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert cli.main(["emulator", *options]) == 2
    assert callable(made[0].pop("render"))
    assert made == [{**DEFAULTS, **changed}]
    assert capsys.readouterr().err == "nbjobs: not here\n"


def test_a_notebook_writes_to_the_storage_of_the_command(tmp_path):
    with running("--bucket", "outputs") as emulator:
        storage = emulator.env["STORAGE_EMULATOR_HOST"]
        with Api(emulator, "local") as api:
            name = api.create("import os; print(os.environ['STORAGE_EMULATOR_HOST'])", gcsOutputUri="gs://outputs")
            api.reaches(name, "SUCCEEDED")
        path = f"{storage}/storage/v1/b/outputs/o/{name.rpartition('/')[2]}%2Fcontent.ipynb"
        executed = json.loads(httpx.get(path, params={"alt": "media"}, trust_env=False).content)
    assert executed["cells"][0]["outputs"][0]["text"] == [f"{storage}\n"]


def test_the_executed_notebook_is_shown_as_safe_html():
    with running("--bucket", "results") as emulator, Api(emulator, "pages") as api:
        name = api.create("print('<script>')\n1 / 0", gcsOutputUri="gs://results")
        api.reaches(name, "FAILED")
        address = f"{emulator.url}/_emulator/jobs/{name.rpartition('/')[2]}/notebook"
        page = httpx.get(address, trust_env=False, timeout=60)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "&lt;script&gt;" in page.text
    assert '<a href="#failed-cell">Cell 1 failed</a>: <strong>ZeroDivisionError</strong>' in page.text
