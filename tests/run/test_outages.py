"""What passes is borne alike by a task that waits, a sensor that looks and a trigger; what is final is not."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

import google.auth.exceptions
import pytest
from google.auth.exceptions import DefaultCredentialsError

from airflow_nbjobs.api.waiting import wait_for_job
from airflow_nbjobs.exceptions import NbjobsError, PermissionDeniedError
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from tests.support.canaries import TOKEN
from tests.support.cloud import Cloud
from tests.support.google_lookalike import Relay, Server
from tests.support.task_runs import TaskRun, create, only_event, restored, submit

Spoil = Callable[[], None]

PASSING: dict[str, dict[str, Any]] = {
    "408": {"status": 408},
    "429": {"status": 429, "retry_after": 0},
    "500": {"status": 500},
    "502 and a page": {"status": 502, "body": "<html>Bad gateway</html>"},
    "503": {"status": 503},
    "504": {"status": 504},
    "connection cut": {"drop": True},
    "answer breaks off": {"truncate": True},
    "a proxy's page": {"body": "<html>Sign in</html>"},
    "an empty answer": {"body": ""},
    "an empty object": {"body": "{}"},
    "a state and no name": {"body": '{"jobState": "JOB_STATE_SUCCEEDED"}'},
    "an error with status 200": {"body": '{"error": {"code": 500, "status": "INTERNAL"}}'},
    "nested too deep": {"body": "[" * 100_000},
}


def while_it_waits(spoil: Spoil) -> Any:
    """Let something happen when a task has seen its job and is about to wait for it, and run it to its end."""

    def spoilt(*given: Any, **known: Any) -> Any:
        patch.undo()
        spoil()
        return wait_for_job(*given, **known)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_nbjobs.run.notebook_run.wait_for_job", spoilt)
        return create().execute()


def sensor(before_the_second_look: Spoil = lambda: None, **how: Any) -> TaskRun:
    """Return a sensor, for a job that runs; something may happen when it has seen it and is about to look again."""
    made = submit()
    happens = iter([lambda: None, before_the_second_look])

    class Sensor(NotebookExecutionJobSensor):
        def poke(self, context: Any) -> Any:
            next(happens, lambda: None)()
            return super().poke(context)

    return TaskRun(lambda: Sensor(task_id="wait", job_name=made, poke_interval=0.1, **how))


def in_the_worker(run: TaskRun, spoil: Spoil) -> Any:
    """Let something happen before a task looks at its job, and run it to its end."""
    spoil()
    return run.execute()


def in_the_triggerer(run: TaskRun, spoil: Spoil) -> Any:
    """Let something happen when a task was deferred, and run it to its end."""
    deferral = run.defer()
    spoil()
    return run.after(deferral)


def in_the_resumed_task(run: TaskRun, spoil: Spoil) -> Any:
    """Let something happen when the trigger has told that the job is over, and run the task to its end."""
    deferral = run.defer()
    told = asyncio.run(only_event(restored(deferral)))
    spoil()
    return run.resume(deferral.method_name, {"event": told})


MODES: dict[str, Callable[[Spoil], Any]] = {
    "sync": lambda spoil: in_the_worker(create(), spoil),
    "deferrable": lambda spoil: in_the_triggerer(create(deferrable=True), spoil),
    "sensor": lambda spoil: in_the_worker(sensor(), spoil),
    "sensor, deferrable": lambda spoil: in_the_triggerer(sensor(deferrable=True), spoil),
}

LATER: dict[str, Callable[[Spoil], Any]] = {
    "sync, waiting": while_it_waits,
    "deferrable, resumed": lambda spoil: in_the_resumed_task(create(deferrable=True), spoil),
    "sensor, second look": lambda spoil: sensor(spoil).execute(),
    "sensor, deferrable, resumed": lambda spoil: in_the_resumed_task(sensor(deferrable=True), spoil),
}
"""What happens then meets no first look, which would bear it."""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses between two tries be a five-hundredth of what they are."""
    monkeypatch.setattr("airflow_nbjobs.api.pacing._FIRST", 0.001)


@pytest.fixture
def running(cloud: Cloud) -> Cloud:
    """Let the next job run for half a second and succeed; on a busy machine longer, or it ends before it is seen."""
    seconds = 0.5 * max(1.0, os.getloadavg()[0] / 4)
    cloud.fault({"job_state": ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"], "seconds": seconds})
    return cloud


@pytest.mark.parametrize(
    ("trouble", "mode"),
    [
        *itertools.product(PASSING, ["sync", "deferrable"]),
        *itertools.product(["503", "connection cut", "a state and no name"], ["sensor", "sensor, deferrable", *LATER]),
    ],
)
def test_what_passes_is_borne(running: Cloud, mode: str, trouble: str) -> None:
    """Eight times: more than the six tries of a single call."""
    result = {**MODES, **LATER}[mode](lambda: running.fault({"method": "get", "times": 8, **PASSING[trouble]}))
    assert result["state"] == "JOB_STATE_SUCCEEDED"
    (job,) = running.book()
    assert job["state"] == "JOB_STATE_SUCCEEDED"


@pytest.mark.parametrize("mode", MODES)
def test_what_is_refused_for_good_is_told_at_once(cloud: Cloud, mode: str) -> None:
    """A trigger is refused first, and the task that is resumed asks once more."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    times = 2 if "deferrable" in mode else 1
    with pytest.raises((NbjobsError, PermissionDeniedError), match="403"):
        MODES[mode](lambda: cloud.fault({"method": "get", "status": 403, "times": times}))


class Resolver:
    """The system's look-up of host names, which fails two times out of three for one name.

    It is the one part of the way to a server that no server of a test can play.

    :ivar failures: how often it has failed.
    """

    def __init__(self, name: str, instead: Callable[..., Any]) -> None:
        self._name = name
        self._instead = instead
        self._real = socket.getaddrinfo
        self._looks = 0
        self.failures = 0

    def __call__(self, host: Any, *arguments: Any, **known: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name != self._name:
            return self._real(host, *arguments, **known)
        self._looks += 1
        if self._looks % 3 == 0:
            return self._real("127.0.0.1", *arguments, **known)
        self.failures += 1
        return self._instead(self._real, *arguments, **known)


def unknown(*_: Any, **__: Any) -> Any:
    """Know no such name."""
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def closed(real: Callable[..., Any], *arguments: Any, **known: Any) -> Any:
    """Lead to an address of this machine at which nobody listens."""
    return real("127.0.0.3", *arguments, **known)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("instead", [unknown, closed], ids=["name unknown", "connection refused"])
def test_a_server_out_of_reach_for_a_while_is_borne(
    running: Cloud, mode: str, instead: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The create meets it too, and is sent again, for it was not sent; looks do when their connections are cut."""
    resolver = Resolver("localhost", instead)
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setenv("NBJOBS_EMULATOR_HOST", running.url.replace("127.0.0.1", "localhost"))
    before: list[int] = []

    def cut() -> None:
        before.append(resolver.failures)
        running.fault({"method": "get", "drop": True, "times": 2})

    assert MODES[mode](cut)["state"] == "JOB_STATE_SUCCEEDED"
    assert len(running.book()) == 1
    # A connection for the create (two failures), then at least one for each that was cut.
    assert resolver.failures >= before[0] + 4
    assert running.requests()["create"] == {"200": 1}


@pytest.fixture
def behind_tls(
    running: Cloud, certificate: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Relay]]:
    """Return what lets the emulator be reached as the real service is, with credentials."""
    relays: list[Relay] = []

    def start(*, refused: Container[int] = ()) -> Relay:
        relays.append(Relay(running.url, certificate, refused=refused))
        monkeypatch.delenv("NBJOBS_EMULATOR_HOST")
        monkeypatch.setenv("AIRFLOW__NBJOBS__ENDPOINT", relays[0].url)
        monkeypatch.setenv("AIRFLOW__NBJOBS__ALLOWED_ENDPOINTS", relays[0].url)
        return relays[0]

    yield start
    for relay in relays:
        relay.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "failure",
    [
        DefaultCredentialsError("Your default credentials were not found."),
        google.auth.exceptions.TransportError("no route"),
        OSError("reset"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_credentials_that_cannot_be_made_at_first_are_made_later(
    running: Cloud,
    mode: str,
    failure: Exception,
    behind_tls: Callable[..., Relay],
    connect: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each process of a task makes its own, and fails four times: the machine's metadata server is slow to start."""
    connect("application default", project=running.project)
    tries, real = itertools.count(1), google.auth.default

    def default(**known: Any) -> Any:
        if next(tries) % 5:
            raise failure
        return real(**known)

    monkeypatch.setattr("google.auth.default", default)
    behind_tls()
    assert MODES[mode](lambda: None)["state"] == "JOB_STATE_SUCCEEDED"
    assert len(running.book()) == 1
    assert next(tries) > (15 if "deferrable" in mode else 5)


@pytest.mark.parametrize("make", [create, sensor], ids=["create", "sensor"])
def test_a_token_refused_to_a_trigger_is_renewed_there(
    running: Cloud,
    make: Callable[..., TaskRun],
    behind_tls: Callable[..., Relay],
    connect: Callable[..., dict[str, str]],
    tokens: Server,
) -> None:
    """The resumed task would see the job's end all the same, and nobody would notice."""
    connect(project=running.project)
    stale: set[str | None] = set()

    class Refused:
        def __contains__(self, number: object) -> bool:
            return relay.tokens[-1] in stale

    relay = behind_tls(refused=Refused())
    run = make(deferrable=True)
    deferral = run.defer()
    stale.add(f"Bearer {TOKEN}-{len(tokens.seen) + 1}")  # the trigger's first, and for good
    assert run.after(deferral)["state"] == "JOB_STATE_SUCCEEDED"
    assert [event["outcome"] for event in run.events] == ["done"]
    assert stale < set(relay.tokens)


@pytest.mark.parametrize("mode", MODES)
def test_missing_or_refused_tokens_are_borne_for_a_while(
    cloud: Cloud,
    mode: str,
    behind_tls: Callable[..., Relay],
    serve: Callable[..., Server],
    connect: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The emulator is reached as the real service is; each token is good for one request."""
    # Each request needs a token of its own first: the job must outlive the first look on a busy machine.
    cloud.emulator.clear_faults()
    cloud.fault({"job_state": ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"], "seconds": 4})
    issuer = serve(lambda number: (200, {}, {"access_token": f"{TOKEN}-{number}", "expires_in": 1}))
    key = {**connect(), "token_uri": issuer.url.replace("127.0.0.1", "localhost")}
    connect(keyfile_dict=json.dumps(key), project=cloud.project)
    resolver = Resolver("localhost", unknown)
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    relay = behind_tls(refused={1, 4})
    assert MODES[mode](lambda: None)["state"] == "JOB_STATE_SUCCEEDED"
    assert len(cloud.book()) == 1
    assert resolver.failures >= 2 * (len(relay.tokens) - 1)
    assert len(set(relay.tokens)) == len(relay.tokens) >= 5
