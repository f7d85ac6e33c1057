"""What tests of operators, triggers and hooks use: their project, their log, and servers for real credentials."""

from __future__ import annotations

import json
import os
import shutil
import socket
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from airflow_nbjobs.emulator import Emulator
from tests.support import canaries
from tests.support.canaries import TOKEN, plant
from tests.support.cloud import Cloud
from tests.support.google_lookalike import EMAIL, JOB, Answer, Server, new_key, write_certificate
from tests.support.logged import Logged
from tests.support.shared import migrated_database

if TYPE_CHECKING:
    from tests.support.crowd import Service

if version("apache-airflow").startswith("3.1."):
    # Airflow 3.1 warns of itself once in a process: of an import under a deprecated name, and of its tables under
    # SQLAlchemy 2.1. Where warnings are errors it takes the second for a connection that is not there.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sqlalchemy.orm

        sqlalchemy.orm.configure_mappers()


@pytest.fixture(scope="session")
def airflow_database(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give this process a database of Airflow, for what runs whole DAGs; operators and triggers need none."""
    shutil.copy(migrated_database(tmp_path_factory), Path(os.environ["AIRFLOW_HOME"], "airflow.db"))


@pytest.fixture
def project(nbjobs_emulator: Emulator) -> str:
    """Return the project that the test has for itself."""
    return os.environ["GOOGLE_CLOUD_PROJECT"]


@pytest.fixture
def cloud(nbjobs_emulator: Emulator, project: str) -> Cloud:
    """Return the emulator with the test's own project."""
    return Cloud(nbjobs_emulator, project)


@pytest.fixture
def service(nbjobs_emulator: Emulator, project: str) -> Iterator[Service]:
    """Return what makes and ends jobs in the test's own project."""
    from tests.support.crowd import Service

    with Service(nbjobs_emulator, project) as service:
        yield service


@pytest.fixture
def folder(cloud: Cloud) -> str:
    """Return a folder for executed notebooks, in a bucket that is there."""
    cloud.upload(f"gs://results/{cloud.project}/made", b"")
    return f"gs://results/{cloud.project}"


@pytest.fixture
def nobody() -> str:
    """Return an address at which a storage refuses everything."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for jobs, and try calls, as often as ever, but with hardly a pause: some take 16 seconds in all."""
    monkeypatch.setattr("airflow_nbjobs.api.waiting.GRACE", (0.01,) * 4)
    monkeypatch.setattr("airflow_nbjobs.run.submit.LOOKS", (0.01,) * 3)
    monkeypatch.setattr("airflow_nbjobs.api.pacing._FIRST", 0.01)


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Return what tells the lines that tasks and triggers have logged."""
    with capture_logs() as entries:
        yield lambda: [str(entry["event"]) for entry in entries]
    canaries.tell("the task's log", entries)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for the session."""
    folder = tmp_path_factory.mktemp("certificate")
    write_certificate(folder)
    return folder


@pytest.fixture(scope="session")
def private_key() -> str:
    """Make a private key for the session."""
    return plant(new_key())


@pytest.fixture
def serve(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Return what starts servers: with ``tls`` under a certificate that is trusted here."""
    servers: list[Server] = []

    def start(answer: Answer | Callable[[int], Answer], *, tls: bool = False) -> Server:
        reply = answer if callable(answer) else lambda _: answer
        servers.append(Server(reply, certificate if tls else None))
        return servers[-1]

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "ca.pem"))
    yield start
    for server in servers:
        server.close()


@pytest.fixture
def tokens(serve: Callable[..., Server]) -> Server:
    """Start a token endpoint; its tokens are numbered from 1."""
    return serve(lambda number: (200, {}, {"access_token": f"{TOKEN}-{number}", "expires_in": 3600}))


@pytest.fixture
def connect(
    monkeypatch: pytest.MonkeyPatch, private_key: str, tokens: Server, tmp_path: Path
) -> Callable[..., dict[str, str]]:
    """Return what defines the connection, with a key whose tokens come from the token endpoint."""
    key = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": private_key,
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": tokens.url,
    }
    (tmp_path / "key.json").write_text(json.dumps(key))
    kinds: dict[str, dict[str, Any]] = {
        "key file": {"key_path": str(tmp_path / "key.json")},
        "key": {"keyfile_dict": json.dumps(key)},
        "anonymous": {"is_anonymous": True, "project": "p"},
        "application default": {"project": "p"},
        "person": {"project": "p"},
    }
    person = {"type": "authorized_user", "client_id": "1", "client_secret": "s", "refresh_token": "r"}
    (tmp_path / "person.json").write_text(json.dumps(person))

    def define(kind: str = "key", **more: Any) -> dict[str, str]:
        connection = {"conn_type": "google_cloud_platform", "extra": {**kinds[kind], **more}}
        monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", json.dumps(connection))
        if kind in {"application default", "person"}:
            default = "key.json" if kind == "application default" else "person.json"
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / default))
        return key

    return define


@pytest.fixture
def google(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    """Return what starts a service that the deployment trusts."""

    def start(answer: Answer | Callable[[int], Answer] = JOB) -> Server:
        server = serve(answer, tls=True)
        monkeypatch.setenv("AIRFLOW__NBJOBS__ENDPOINT", server.url)
        monkeypatch.setenv("AIRFLOW__NBJOBS__ALLOWED_ENDPOINTS", f"https://other.example.com, {server.url}")
        return server

    return start
