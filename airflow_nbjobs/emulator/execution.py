"""How a job is carried out: its notebook read, run, and written where the service would write it."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_nbjobs.emulator.errors import ApiError
from airflow_nbjobs.emulator.schema import duration_nanoseconds
from airflow_nbjobs.emulator.storage import StorageError

if TYPE_CHECKING:
    from airflow_nbjobs.emulator.book import Job
    from airflow_nbjobs.emulator.dataform import Repositories
    from airflow_nbjobs.emulator.runner import KernelRunner, SimulatedRunner
    from airflow_nbjobs.emulator.storage import Storage

DEFAULT_TIMEOUT_SECONDS = 86400.0  # the discovery document's default of executionTimeout


@dataclass(frozen=True)
class Failure:
    """Why a job FAILED: a ``google.rpc`` code and a message for a person."""

    code: int
    message: str

    def to_status(self) -> dict[str, Any]:
        """Give the job's ``status``."""
        return {"code": self.code, "message": self.message}


# Carries out a job, calls back when its notebook begins to run, and says why it failed, or nothing.
Execution: TypeAlias = "Callable[[Job, Callable[[], None]], Awaitable[Failure | None]]"

# google/rpc/code.proto; which code the service sets is not known, only that the message says why.
OK, UNKNOWN, FAILED_PRECONDITION, INTERNAL = 0, 2, 9, 13


def in_kernels(storage: Storage, repositories: Repositories, runner: KernelRunner) -> Execution:
    """Carry jobs out for real: source read from wherever it is, one kernel each, executed notebook written."""

    async def execute(job: Job, running: Callable[[], None]) -> Failure | None:
        try:
            source = await _source(job, storage, repositories)
        except (StorageError, ApiError) as error:
            return Failure(FAILED_PRECONDITION, str(error))
        running()
        ended = await runner.run(source, kernel_name=job.body.get("kernelName"), timeout_seconds=timeout_seconds(job))
        failure = None if ended.ok else Failure(UNKNOWN, ended.message)
        if ended.notebook is not None:
            try:
                await storage.write(output_uri(job), ended.notebook)
            except StorageError as error:
                return failure or Failure(FAILED_PRECONDITION, str(error))
        return failure

    return execute


def simulated(runner: SimulatedRunner) -> Execution:
    """Carry jobs out in name only: each is RUNNING for a while and succeeds; nothing is read, run or written."""

    async def execute(job: Job, running: Callable[[], None]) -> Failure | None:
        running()
        ended = await runner.run(b"", kernel_name=job.body.get("kernelName"), timeout_seconds=timeout_seconds(job))
        return None if ended.ok else Failure(UNKNOWN, ended.message)

    return execute


def timeout_seconds(job: Job) -> float:
    """Read how long a job may run."""
    if "executionTimeout" not in job.body:
        return DEFAULT_TIMEOUT_SECONDS
    return duration_nanoseconds(job.body["executionTimeout"]) / 10**9


def output_uri(job: Job) -> str:
    """Say where the executed notebook goes: ``{gcsOutputUri}/{job id}/{source's base name, or content.ipynb}``."""
    source = job.body.get("gcsNotebookSource", {}).get("uri", "content.ipynb")
    return f"{job.body['gcsOutputUri'].rstrip('/')}/{job.id}/{source.rpartition('/')[2]}"


async def _source(job: Job, storage: Storage, repositories: Repositories) -> bytes:
    if job.content is not None:
        return base64.b64decode(job.content)
    if dataform := job.body.get("dataformRepositorySource"):
        return repositories.read_notebook(dataform["dataformRepositoryResourceName"], dataform.get("commitSha", ""))
    source = job.body["gcsNotebookSource"]
    return await storage.read(source["uri"], source.get("generation"))
