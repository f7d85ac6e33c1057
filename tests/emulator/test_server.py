"""The emulator started from Python and from pytest."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from airflow_nbjobs.emulator import Emulator, EmulatorError
from airflow_nbjobs.emulator.addresses import tls_trust
from airflow_nbjobs.emulator.storage.model import StorageError


def health(emulator):
    return httpx.get(f"{emulator.url}/_emulator/health", trust_env=False).json()


def test_it_can_be_started_again_and_a_second_stop_does_nothing():
    emulator = Emulator(runner="simulated")
    for _ in range(2):
        assert emulator.start() is emulator
        assert health(emulator) == {"status": "ok"}
        with pytest.raises(EmulatorError, match="started already"):
            emulator.start()
        emulator.stop()
        with pytest.raises(httpx.ConnectError):
            health(emulator)
    emulator.stop()


async def test_it_runs_inside_a_program_that_has_an_event_loop():
    with Emulator(runner="simulated") as emulator:
        assert health(emulator) == {"status": "ok"}
        known = {"NBJOBS_EMULATOR_HOST": emulator.url, "STORAGE_EMULATOR_HOST": emulator.storage_url}
        assert emulator.env == known


@pytest.mark.parametrize("option", ["port", "storage_port"])
def test_a_port_in_use_is_named_with_its_option(option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmulatorError, match=f"port {port} .*--{option.replace('_', '-')}"):
            Emulator(runner="simulated", **{option: port}).start()


def test_an_unknown_host_is_named_with_its_option():
    with pytest.raises(EmulatorError, match=r"nowhere\.invalid .*--host"):
        Emulator(runner="simulated", host="nowhere.invalid").start()


def test_by_default_it_listens_on_the_loopback_address():
    """The URLs do not prove it: a server on all addresses is reached there too."""
    with Emulator(runner="simulated") as emulator:
        ports = {urlsplit(url).port for url in emulator.env.values()}
        found = [each.laddr for each in psutil.Process().net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    assert {(at.ip, at.port) for at in found if at.port in ports} == {("127.0.0.1", port) for port in ports}


def test_it_listens_on_ipv6_too():
    with Emulator(runner="simulated", host="::1") as emulator:
        assert emulator.url.startswith("http://[::1]:")
        assert health(emulator) == {"status": "ok"}


def test_data_are_used_by_one_emulator_at_a_time(tmp_path):
    with Emulator(runner="simulated", data=tmp_path), pytest.raises(EmulatorError, match="in use by another emulator"):
        Emulator(runner="simulated", data=tmp_path).start()
    with Emulator(runner="simulated", data=tmp_path) as emulator:
        assert emulator.book() == []


def test_http_does_not_read_the_certificates_of_the_machine(monkeypatch):
    monkeypatch.setattr("ssl.create_default_context", lambda **_: pytest.fail("they were read"))
    with Emulator(runner="simulated") as emulator:
        emulator.upload("gs://bucket/x", b"x")
        assert emulator.download("gs://bucket/x") == b"x"


def test_a_storage_with_tls_is_verified():
    assert tls_trust("https://storage.example") is True
    nobody = tls_trust("http://127.0.0.1:9023")
    assert (nobody.verify_mode, nobody.get_ca_certs()) == (ssl.CERT_REQUIRED, [])


def test_buckets_are_created_at_the_start_and_later(tmp_path):
    for _ in range(2):  # the second time they exist
        with Emulator(runner="simulated", data=tmp_path, buckets=["one"]) as emulator:
            emulator.create_bucket("two")
            emulator.create_bucket("two")
            listed = httpx.get(f"{emulator.storage_url}/storage/v1/b?project=p", trust_env=False).json()["items"]
            assert {bucket["name"] for bucket in listed} == {"one", "two"}


def test_an_invalid_bucket_name_is_an_error():
    with pytest.raises(EmulatorError, match="Invalid bucket name: 'A'"):
        Emulator(runner="simulated", buckets=["A"]).start()
    with (
        Emulator(runner="simulated") as emulator,
        pytest.raises(StorageError, match=r"'gs://x' could not be created: .*Invalid"),
    ):
        emulator.create_bucket("gs://x")


def test_a_malformed_fault_is_a_value_error():
    with Emulator(runner="simulated") as emulator, pytest.raises(ValueError, match="phase"):
        emulator.fault({"method": "get", "status": 500, "phase": "during"})


def python(*arguments, **variables):
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})


def test_importing_the_package_or_the_plugin_loads_nothing_heavy():
    code = (
        "import sys, airflow_nbjobs.emulator, airflow_nbjobs.pytest_plugin, airflow_nbjobs.cli\n"
        "heavy = {'airflow', 'httpx', 'nbclient', 'nbformat', 'sqlite3', 'starlette', 'uvicorn'}\n"
        "print(heavy & set(sys.modules))"
    )
    assert python("-c", code).stdout == "set()\n"


def test_without_the_extra_the_error_says_what_to_install(tmp_path):
    missing = "raise ModuleNotFoundError(\"No module named 'starlette'\", name='starlette')"
    (tmp_path / "starlette.py").write_text(missing)
    ended = python("-c", "from airflow_nbjobs.emulator import Emulator", PYTHONPATH=str(tmp_path))
    assert ended.stderr.splitlines()[-1] == (
        "ImportError: No module named 'starlette'; the emulator needs an extra: pip install 'airflow-nbjobs[emulator]'"
    )
    ended = python("-c", "from airflow_nbjobs.cli import main; exit(main(['emulator']))", PYTHONPATH=str(tmp_path))
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)


PLUGIN_TESTS = """
import os

def test_the_environment_names_the_emulator(nbjobs_emulator):
    assert os.environ["NBJOBS_EMULATOR_HOST"] == nbjobs_emulator.url
    assert os.environ["GOOGLE_CLOUD_PROJECT"].startswith("test-")
    nbjobs_emulator.fault({"quota": {"create": 1}})

def test_a_fault_that_is_not_met(nbjobs_emulator):
    assert nbjobs_emulator.faults() == []
    nbjobs_emulator.fault({"method": "get", "status": 500})

def test_the_next_test_has_no_fault_and_no_environment_is_left(nbjobs_emulator):
    assert nbjobs_emulator.faults() == []

def test_without_the_fixture():
    assert "NBJOBS_EMULATOR_HOST" not in os.environ
"""


def test_the_pytest_fixture_isolates_tests_and_fails_on_an_unmet_fault(tmp_path):
    (tmp_path / "test_it.py").write_text(PLUGIN_TESTS)
    (tmp_path / "pytest.ini").touch()
    options = ["-q", "-p", "no:cacheprovider", "-c", f"{tmp_path}/pytest.ini", str(tmp_path)]
    ended = python("-m", "pytest", *options)
    assert "4 passed, 1 error" in ended.stdout, ended.stdout
    assert "ERROR at teardown of test_a_fault_that_is_not_met" in ended.stdout
    assert "asked for and not met" in ended.stdout


def test_an_interrupted_start_ends_what_it_has_started(monkeypatch):
    """Ctrl-C while the emulator waits for its storage, which answers after it."""

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    threads = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as storage:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{storage.getsockname()[1]}")

        def answer_after_an_interrupt():
            connection, _ = storage.accept()
            with connection:
                connection.recv(65_536)
                signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        answering = threading.Thread(target=answer_after_an_interrupt)
        answering.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                Emulator(runner="simulated").start()
        finally:
            signal.signal(signal.SIGALRM, before)
            answering.join()
    assert {each for each in threading.enumerate() if each.name == "nbjobs-emulator"} <= threads
