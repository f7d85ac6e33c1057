"""The service that the contract is held to: the emulator, or the real one when ``NBJOBS_LIVE_PROJECT`` is set."""

from __future__ import annotations

import base64
import itertools
import os
import secrets
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.support.emulator_api import notebook

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.auth.credentials import Credentials

LIVE = "NBJOBS_LIVE_PROJECT"


def _prefix() -> str:
    return os.environ.get("NBJOBS_LIVE_PREFIX", "nbjobs-contract")


@dataclass(kw_only=True)
class World:
    """Where the scenarios happen.

    :param read: reads an object by its ``gs://`` URI.
    :param pass_time: lets seconds of the service's clock pass; the real service's passes by itself.
    :param seconds: how long a job may take to end; ``pause`` is the time between two looks.
    """

    endpoint: str
    credentials: Credentials
    project: str
    location: str
    output: str
    environment: dict[str, Any]
    identity: dict[str, str]
    read: Callable[[str], bytes]
    seconds: float
    pause: float
    pass_time: Callable[[float], None]
    prefix: str = field(default_factory=lambda: f"{_prefix()}-{secrets.token_hex(6)}")

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    def job(self, name: str = "", code: str = "print(6 * 7)", **fields: Any) -> dict[str, Any]:
        """Describe a job that runs one cell; a field that is None is left out."""
        job = {
            "displayName": f"{self.prefix}-{name}",
            "directNotebookSource": {"content": base64.b64encode(notebook(code)).decode()},
            "gcsOutputUri": self.output,
            **self.environment,
            **self.identity,
            **fields,
        }
        return {key: value for key, value in job.items() if value is not None}

    def until(self, look: Callable[[], Any], wanted: Callable[[Any], Any]) -> Any:
        """Look until what is seen is as wanted, and return it."""
        end = time.monotonic() + self.seconds
        for _ in itertools.count():
            seen = look()
            if wanted(seen):
                return seen
            assert time.monotonic() < end, f"not so after {self.seconds} s: {seen}"
            time.sleep(self.pause)
        raise AssertionError


def emulated(emulator: Any) -> World:
    from google.auth.credentials import AnonymousCredentials

    emulator.upload("gs://contract-output/made", b"")
    return World(
        endpoint=emulator.url,
        credentials=AnonymousCredentials(),
        project=os.environ["GOOGLE_CLOUD_PROJECT"],
        location="us-central1",
        output="gs://contract-output/runs",
        environment={"customEnvironmentSpec": {}},
        identity={"serviceAccount": "runner@local.iam.gserviceaccount.com"},
        read=emulator.download,
        seconds=60,
        pause=0.05,
        pass_time=lambda seconds: emulator.move_clock(timedelta(seconds=seconds)),
    )


def live() -> World:
    import google.auth
    from google.cloud import storage

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    variables = {name: os.environ[f"NBJOBS_LIVE_{name}"] for name in ("LOCATION", "BUCKET", "SERVICE_ACCOUNT")}
    template = os.environ.get("NBJOBS_LIVE_TEMPLATE")
    project, location = os.environ[LIVE], variables["LOCATION"]
    client = storage.Client(project=project, credentials=credentials)
    return World(
        endpoint=os.environ.get("NBJOBS_LIVE_ENDPOINT", f"https://{location}-aiplatform.googleapis.com"),
        credentials=credentials,
        project=project,
        location=location,
        output=f"gs://{variables['BUCKET']}/nbjobs-contract",
        environment={"notebookRuntimeTemplateResourceName": template} if template else {"customEnvironmentSpec": {}},
        identity={"serviceAccount": variables["SERVICE_ACCOUNT"]},
        read=lambda uri: storage.Blob.from_uri(uri, client=client).download_as_bytes(),
        seconds=float(os.environ.get("NBJOBS_LIVE_SECONDS", "1800")),
        pause=float(os.environ.get("NBJOBS_LIVE_PAUSE", "15")),
        pass_time=lambda seconds: None,
    )
