"""Carry out a job: read its notebook, run it, and write the executed notebook where the service would write it."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from airflow_nbjobs.emulator.dataform.model import Repositories
from airflow_nbjobs.emulator.errors import ServiceError
from airflow_nbjobs.emulator.jobs.book import Job
from airflow_nbjobs.emulator.jobs.states import FAILED_PRECONDITION, UNKNOWN, JobStatus
from airflow_nbjobs.emulator.json_format import duration_nanoseconds
from airflow_nbjobs.emulator.kernels.runner import KernelRunner
from airflow_nbjobs.emulator.kernels.specs import use_python
from airflow_nbjobs.emulator.storage.model import Storage, StorageError

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT = "86400s"  # the discovery document's default of executionTimeout

Execution = Callable[[Job, Callable[[], None]], Awaitable[JobStatus | None]]
"""Carries out a job, calls back when its notebook starts, and returns why it failed, or None."""


def in_kernels(storage: Storage, repositories: Repositories, scratch: Path, kernel_python: Path | None) -> Execution:
    """Return an execution that runs each notebook in its own kernel.

    :param scratch: a folder for the jobs' working folders.
    :param kernel_python: the Python of the kernel ``python3``; by default this one.
    :raises EmulatorError: if that Python cannot run notebooks.
    """
    environment = {"STORAGE_EMULATOR_HOST": storage.url}
    if kernel_python is not None:
        environment |= use_python(kernel_python, scratch.with_name("jupyter"))
    runner = KernelRunner(scratch=scratch, environment=environment)

    async def execute(job: Job, running: Callable[[], None]) -> JobStatus | None:
        try:
            source = await _source(job, storage, repositories)
        except (StorageError, ServiceError) as error:
            return JobStatus(FAILED_PRECONDITION, str(error))
        running()
        ended = await runner.run(source, kernel_name=job.body.get("kernelName"), timeout_seconds=_timeout_seconds(job))
        if ended.wrong:
            log.warning("The notebook of %s does not match nbformat: %s", job.name, ended.wrong)
        failure = None if ended.ok else JobStatus(UNKNOWN, ended.message)
        if ended.notebook is not None:
            try:
                await storage.write(output_uri(job), ended.notebook)
            except StorageError as error:
                return failure or JobStatus(FAILED_PRECONDITION, str(error))
        return failure

    return execute


def simulated(seconds: float) -> Execution:
    """Return an execution that neither reads, runs nor writes a notebook: each job is RUNNING and then succeeds."""

    async def execute(job: Job, running: Callable[[], None]) -> JobStatus | None:
        running()
        limit = _timeout_seconds(job)
        await asyncio.sleep(min(seconds, limit))
        return JobStatus(UNKNOWN, f"The notebook did not finish within {limit:g} s.") if seconds > limit else None

    return execute


def _timeout_seconds(job: Job) -> float:
    return duration_nanoseconds(job.body.get("executionTimeout", DEFAULT_TIMEOUT)) / 10**9


def output_uri(job: Job) -> str:
    """Return ``{gcsOutputUri}/{job id}/{base name of the source, or content.ipynb}``."""
    source = job.body.get("gcsNotebookSource", {}).get("uri", "content.ipynb")
    return f"{job.body['gcsOutputUri'].rstrip('/')}/{job.id}/{source.rpartition('/')[2]}"


async def _source(job: Job, storage: Storage, repositories: Repositories) -> bytes:
    if job.content is not None:
        return base64.b64decode(job.content)
    if dataform := job.body.get("dataformRepositorySource"):
        return repositories.read_notebook(dataform["dataformRepositoryResourceName"], dataform.get("commitSha", ""))
    source = job.body["gcsNotebookSource"]
    return await storage.read(source["uri"], source.get("generation"))
