"""The emulator as a library: started and stopped from any thread, it runs in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx2
import uvicorn

from airflow_nbjobs.emulator import execution
from airflow_nbjobs.emulator.addresses import listen, no_port, shown, trust
from airflow_nbjobs.emulator.app import App
from airflow_nbjobs.emulator.book import Book
from airflow_nbjobs.emulator.connections import Connections
from airflow_nbjobs.emulator.dataform import Repositories
from airflow_nbjobs.emulator.errors import ApiError, EmulatorError
from airflow_nbjobs.emulator.faults import Faults
from airflow_nbjobs.emulator.guard import Guard
from airflow_nbjobs.emulator.ids import project_number
from airflow_nbjobs.emulator.jobs import Jobs
from airflow_nbjobs.emulator.runner import KernelRunner, SimulatedRunner
from airflow_nbjobs.emulator.storage import Storage, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self, TypeVar

    T = TypeVar("T")


class Emulator:
    """Vertex AI's notebook execution jobs on this machine, with a Cloud Storage and Dataform's repositories for them.

    ``with Emulator() as emulator`` starts and stops it; clients find it through the two variables of :attr:`env`. One
    instance can be started again after a stop. It runs in a thread with an event loop of its own, so it works in a
    test, in a program with an event loop, and in an interactive session.

    **It executes the code of the notebooks that it is sent, as the user who started it.**

    :param data: directory for jobs, objects and repositories, kept after a stop; by default a temporary one,
        removed by a stop.
    :param port: port of the service, 0 for a free one.
    :param storage_port: port of Cloud Storage, 0 for a free one; not used when ``STORAGE_EMULATOR_HOST`` is set, which
        then names the storage.
    :param runner: ``kernel`` executes notebooks; ``simulated`` executes, reads and writes nothing.
    :param seconds: how long a simulated job is RUNNING.
    :param concurrency: how many jobs run at once, the others wait as QUEUED; by default as many as there are cores, and
        any number with the simulated runner.
    :param cleanup_seconds: from the end of a job to the end of its create operation (some five minutes on the real
        service).
    :param host: the address to listen on. Anybody who reaches it can execute code here.
    :param allowed_hosts: what a ``Host`` header may name beside the loopback address; who listens on another address
        gives that too, or its clients are refused.
    """

    url: str
    """Address of the service, such as ``http://127.0.0.1:9099``; set by :meth:`start`."""

    storage_url: str
    """Address of Cloud Storage; set by :meth:`start`."""

    def __init__(
        self,
        *,
        data: Path | str | None = None,
        port: int = 0,
        storage_port: int = 0,
        runner: Literal["kernel", "simulated"] = "kernel",
        seconds: float = 2.0,
        concurrency: int | None = None,
        cleanup_seconds: float = 2.0,
        host: str = "127.0.0.1",
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        self._data = Path(data) if data is not None else None
        self._port = port
        self._storage_port = storage_port
        self._runner = runner
        self._seconds = seconds
        self._concurrency = concurrency or (os.cpu_count() if runner == "kernel" else None)
        self._cleanup_seconds = cleanup_seconds
        self._host = host
        self._allowed_hosts = tuple(allowed_hosts)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._server: uvicorn.Server
        self._app: App
        self._storage: Storage

    def start(self) -> Self:
        """Start, and return when both ports answer.

        :raises EmulatorError: when a port or the data directory is in use, or the storage does not come up.
        """
        if self._thread is not None:
            raise EmulatorError("this emulator has been started already")
        started: Future[None] = Future()
        thread = threading.Thread(target=self._main, args=(started,), name="nbjobs-emulator", daemon=True)
        thread.start()
        try:
            started.result()
        except BaseException:
            thread.join()
            raise
        self._thread = thread
        return self

    def stop(self) -> None:
        """End every kernel, close both ports, and return when that is done. Without a start it does nothing."""
        if self._thread is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def env(self) -> dict[str, str]:
        """What a client's environment needs: ``NBJOBS_EMULATOR_HOST`` and ``STORAGE_EMULATOR_HOST``."""
        return {"NBJOBS_EMULATOR_HOST": self.url, "STORAGE_EMULATOR_HOST": self.storage_url}

    def book(self, project: str | None = None) -> list[dict[str, Any]]:
        """Read every job that was ever accepted, deleted ones too, in the order of creation.

        :param project: only those of this project, by id or number.
        """
        number = project_number(project) if project else None
        return self._in_loop(lambda: self._app.jobs.book.everything(number))

    def requests(self) -> dict[str, dict[str, int]]:
        """Count the requests since the start or the last reset: by method, then by HTTP status or ``dropped``."""
        return self._in_loop(lambda: self._app.requests())

    def reset_requests(self) -> None:
        """Begin to count requests anew."""
        self._in_loop(lambda: self._app.reset_requests())

    def fault(self, asked: Mapping[str, Any]) -> None:
        """Ask for a failure, as ``POST /_emulator/faults`` does.

        :raises ValueError: when it is malformed; the text names the field.
        """
        try:
            self._in_loop(lambda: self._app.faults.ask(dict(asked)))
        except ApiError as error:
            raise ValueError(error.message) from None

    def play(self, job: str, state: str, message: str | None = None) -> None:
        """Lead a job that exists to a state, in which it stays, as ``POST /_emulator/jobs/{id}`` does.

        :param job: its name or id.
        :param state: such as ``JOB_STATE_FAILED``; any that a job may come to from its own.
        :param message: of its status.
        :raises ValueError: when there is no such job, or no job goes from its state to the other one.
        """
        leading = self._app.jobs.lead(job.rpartition("/")[2], state, message)
        try:
            asyncio.run_coroutine_threadsafe(leading, self._loop).result()
        except ApiError as error:
            raise ValueError(error.message) from None

    def faults(self) -> list[dict[str, Any]]:
        """Tell of each fault ``{"fault", "asked", "met"}``; asked is None for a quota."""
        return self._in_loop(lambda: self._app.faults.accounts())

    def clear_faults(self) -> None:
        """Forget all faults, met or not, and quotas."""
        self._in_loop(lambda: self._app.faults.clear())

    def upload(self, uri: str, content: bytes) -> None:
        """Write an object to the storage, its bucket first if it is missing.

        :param uri: ``gs://bucket/object``.
        :raises StorageError: when it cannot be written.
        """

        async def write() -> None:
            await self._storage.make_bucket(uri)
            await self._storage.write(uri, content)

        asyncio.run_coroutine_threadsafe(write(), self._loop).result()

    def download(self, uri: str) -> bytes:
        """Read an object of the storage.

        :param uri: ``gs://bucket/object``.
        :raises StorageError: when it cannot be read.
        """
        return asyncio.run_coroutine_threadsafe(self._storage.read(uri), self._loop).result()

    def commit(self, repository: str, content: bytes, file: str = "content.ipynb") -> str:
        """Commit a file to a repository of Dataform, made if it is missing, and give the commit's hash.

        :param repository: ``projects/p/locations/l/repositories/r``.
        :raises ValueError: when the name or the file's path is none.
        """
        try:
            return self._in_loop(lambda: self._app.repositories.put(repository, file, content))
        except ApiError as error:
            raise ValueError(error.message) from None

    def _in_loop(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def _main(self, started: Future[None]) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:  # whoever waits for the start must hear of it
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            data = self._data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nbjobs-")))
            data.mkdir(parents=True, exist_ok=True)
            book = stack.enter_context(contextlib.closing(Book(data / "jobs.sqlite")))
            repositories = stack.enter_context(contextlib.closing(Repositories(data / "dataform.sqlite")))
            listener = stack.enter_context(listen(self._host, self._port))
            self.url = f"http://{shown(self._host)}:{listener.getsockname()[1]}"
            self._storage = await self._start_storage(data, stack)
            self.storage_url = self._storage.url
            faults, connections = Faults(), Connections()
            jobs = Jobs(
                book,
                self._execution(data, repositories),
                faults,
                concurrency=self._concurrency,
                cleanup_seconds=self._cleanup_seconds,
            )
            jobs.take_over()
            stack.push_async_callback(jobs.stop)
            self._app = App(jobs, repositories, faults, connections)
            self._server = uvicorn.Server(self._config(connections))
            started.set_result(None)
            await self._server.serve([listener])

    async def _start_storage(self, data: Path, stack: contextlib.AsyncExitStack) -> Storage:
        storage = Storage(
            root=data / "storage", host=self._host, port=self._storage_port, allowed_hosts=self._allowed_hosts
        )
        try:
            await storage.start()
        except OSError as error:
            raise no_port(self._host, self._storage_port, "--storage-port", error) from error
        except StorageError as error:
            raise EmulatorError(str(error)) from error
        stack.push_async_callback(storage.stop)
        await _check_answers(storage.url)
        return storage

    def _execution(self, data: Path, repositories: Repositories) -> execution.Execution:
        if self._runner == "simulated":
            return execution.simulated(SimulatedRunner(seconds=self._seconds))
        runner = KernelRunner(scratch=data / "scratch", environment={"STORAGE_EMULATOR_HOST": self.storage_url})
        return execution.in_kernels(self._storage, repositories, runner)

    def _config(self, connections: Connections) -> uvicorn.Config:
        return uvicorn.Config(
            Guard(self._app.asgi, allowed_hosts=self._allowed_hosts),
            http=connections.protocol(),
            ws="none",
            lifespan="off",
            proxy_headers=False,  # the client's address must be the connection's, so that a fault can close it
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
        )


async def _check_answers(storage_url: str) -> None:
    """Check that a storage answers: ``STORAGE_EMULATOR_HOST`` may name one that is long gone."""
    async with httpx2.AsyncClient(verify=trust(storage_url), trust_env=False) as client:
        try:
            await client.get(f"{storage_url}/storage/v1/b", params={"project": "local"})
        except httpx2.TransportError as error:
            text = f"no Cloud Storage answers at {storage_url} ({error}): start it, or unset STORAGE_EMULATOR_HOST"
            raise EmulatorError(text) from error
