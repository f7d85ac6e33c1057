"""The emulator as a library: started and stopped from any thread, it runs in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import uvicorn

from airflow_nbjobs.emulator.addresses import http_server, listen
from airflow_nbjobs.emulator.app import App
from airflow_nbjobs.emulator.connections import TransportProtocol
from airflow_nbjobs.emulator.dataform.model import Repositories
from airflow_nbjobs.emulator.errors import EmulatorError, ServiceError
from airflow_nbjobs.emulator.faults import Faults
from airflow_nbjobs.emulator.guard import Guard
from airflow_nbjobs.emulator.jobs import execution
from airflow_nbjobs.emulator.jobs.book import Book
from airflow_nbjobs.emulator.jobs.model import Jobs
from airflow_nbjobs.emulator.pages import Pages, Render
from airflow_nbjobs.emulator.records import Records
from airflow_nbjobs.emulator.resources import project_number
from airflow_nbjobs.emulator.schedules.model import Schedules
from airflow_nbjobs.emulator.storage.model import Storage, bucket_of, running_storage
from airflow_nbjobs.emulator.templates.model import Templates

T = TypeVar("T")


class Emulator:
    """Vertex AI's notebook execution jobs on this machine, with a Cloud Storage and Dataform's repositories for them.

    ``with Emulator() as emulator`` starts and stops it; :attr:`env` has the two variables that clients need. An
    instance can be started again after a stop. It runs in its own thread with its own event loop, therefore it works in
    a test, in a program with an event loop, and in an interactive session.

    **It executes the code of the notebooks that it receives, as the user who started it.**

    :param data: directory of jobs, objects and repositories, kept after a stop; by default a temporary one that is
        removed by a stop.
    :param port: port of the service, 0 for a free one.
    :param storage_port: port of Cloud Storage, 0 for a free one; not used when ``STORAGE_EMULATOR_HOST`` is set, which
        then names the storage.
    :param runner: ``kernel`` executes notebooks; ``simulated`` executes, reads and writes nothing.
    :param kernel_python: the Python of notebooks for the kernel ``python3``, which needs ipykernel; by default the
        emulator's own.
    :param seconds: how long a simulated job is RUNNING.
    :param concurrency: how many jobs run at once, the others are QUEUED; by default the number of cores, with the
        simulated runner no limit.
    :param cleanup_seconds: from the end of a job to the end of its create operation (some five minutes on the real
        service).
    :param host: the address to listen on. Everybody who reaches it can execute code here.
    :param allowed_hosts: accepted in a ``Host`` header beside the loopback address. For another address to listen on,
        give that address too; otherwise its clients are refused.
    :param buckets: names of buckets that exist from the start.
    :param filter_match: whether ``=~`` in a filter must match the ``whole`` value or a ``part`` of it. The documents do
        not say it; test your own filters with both.
    :param templates: ids of runtime templates that exist from the start, in every location; by default a job's template
        need not exist.
    :param render: shows executed notebooks on the pages for people; given by the command ``nbjobs emulator``.
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
        kernel_python: Path | str | None = None,
        seconds: float = 2.0,
        concurrency: int | None = None,
        cleanup_seconds: float = 2.0,
        host: str = "127.0.0.1",
        allowed_hosts: Sequence[str] = (),
        buckets: Sequence[str] = (),
        filter_match: Literal["whole", "part"] = "whole",
        templates: Sequence[str] = (),
        render: Render | None = None,
    ) -> None:
        self._data = Path(data) if data is not None else None
        self._port, self._storage_port = port, storage_port
        self._runner: Literal["kernel", "simulated"] = runner
        self._kernel_python = Path(kernel_python) if kernel_python is not None else None
        self._seconds = seconds
        self._concurrency = concurrency or (os.cpu_count() if runner == "kernel" else None)
        self._cleanup_seconds = cleanup_seconds
        self._host, self._allowed_hosts = host, tuple(allowed_hosts)
        self._buckets, self._templates = tuple(buckets), frozenset(templates)
        self._render = render
        self._filter_match: Literal["whole", "part"] = filter_match
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._server: uvicorn.Server
        self._app: App
        self._storage: Storage

    def start(self) -> Self:
        """Start, and return when both ports answer.

        :raises EmulatorError: when a port or the data directory is in use, or the storage does not start.
        """
        if self._thread is not None:
            raise EmulatorError("this emulator has been started already")
        started: Future[None] = Future()
        thread = threading.Thread(target=self._main, args=(started,), name="nbjobs-emulator", daemon=True)
        thread.start()
        try:
            started.result()
        except BaseException:
            if started.exception() is None:  # the wait was interrupted, and the start has succeeded
                self._server.should_exit = self._server.force_exit = True
            thread.join()
            raise
        self._thread = thread
        return self

    def stop(self) -> None:
        """End every kernel and close both ports. Do nothing when it is not started."""
        if self._thread is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def env(self) -> dict[str, str]:
        """The environment that a client needs: ``NBJOBS_EMULATOR_HOST`` and ``STORAGE_EMULATOR_HOST``."""
        return {"NBJOBS_EMULATOR_HOST": self.url, "STORAGE_EMULATOR_HOST": self.storage_url}

    def book(self, project: str | None = None) -> list[dict[str, Any]]:
        """Return every job that was ever accepted, deleted ones too, in the order of creation.

        :param project: only those of this project, by id or number.
        :returns: for each ``name``, ``id``, ``displayName``, ``labels``, ``state``, ``createTime``, ``deleted`` and
            ``history``, a list of ``{"state", "time"}``.
        """
        number = project_number(project) if project else None
        return self._call(lambda: self._app.jobs.book.everything(number))

    def requests(self) -> dict[str, dict[str, int]]:
        """Count the requests since the start or the last reset: by method, then by HTTP status or ``dropped``."""
        return self._call(self._app.requests)

    def reset_requests(self) -> None:
        """Set all counts of requests to zero."""
        self._call(self._app.reset_requests)

    def fault(self, asked: Mapping[str, Any]) -> None:
        """Ask for a failure, as ``POST /_emulator/faults`` does.

        :raises ValueError: when it is malformed; the text names the field.
        """
        self._call(lambda: self._app.faults.add(dict(asked)))

    def play(self, job: str, state: str, message: str | None = None) -> None:
        """Move a job to a state, in which it stays, as ``POST /_emulator/jobs/{id}`` does.

        :param job: its name or id.
        :param state: such as ``JOB_STATE_FAILED``; any that a job can reach from its own.
        :param message: of its status.
        :raises ValueError: when the job does not exist, or cannot go from its state to the other one.
        """
        self._run(self._app.jobs.move_to(job.rpartition("/")[2], state, message))

    def move_clock(self, to: datetime | timedelta) -> None:
        """Move the emulator's clock, as ``POST /_emulator/clock`` does. Schedules create what is due on the way.

        :param to: a time with a time zone, or how far. A new emulator can be set back, too.
        :raises ValueError: when something here has a later time.
        """
        self._call(lambda: self._app.schedules.move_clock(to))

    def faults(self) -> list[dict[str, Any]]:
        """Return ``{"fault", "asked", "met"}`` for each fault; ``asked`` is None for a quota."""
        return self._call(self._app.faults.accounts)

    def clear_faults(self) -> None:
        """Remove all faults, met or not, and quotas."""
        self._call(self._app.faults.clear)

    def create_bucket(self, name: str) -> None:
        """Create a bucket of the storage if it does not exist.

        :param name: such as ``my-bucket``, without ``gs://``.
        :raises StorageError: when the name is invalid, or the bucket cannot be created.
        """
        self._run(self._storage.create_bucket(name))

    def upload(self, uri: str, content: bytes) -> None:
        """Write an object to the storage, and create its bucket if it does not exist.

        :param uri: ``gs://bucket/object``.
        :raises StorageError: when it cannot be written.
        """

        async def write() -> None:
            await self._storage.create_bucket(bucket_of(uri))
            await self._storage.write(uri, content)

        self._run(write())

    def download(self, uri: str) -> bytes:
        """Read an object of the storage.

        :param uri: ``gs://bucket/object``.
        :raises StorageError: when it cannot be read.
        """
        return self._run(self._storage.read(uri))

    def commit(self, repository: str, content: bytes, file: str = "content.ipynb") -> str:
        """Commit a file to ``projects/p/locations/l/repositories/r``, created if missing; return the commit's hash.

        :raises ValueError: when the name or the file's path is invalid.
        """
        return self._call(lambda: self._app.repositories.put(repository, file, content))

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return self._run(call())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* in the emulator's event loop, and wait for it."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except ServiceError as error:
            raise ValueError(error.message) from None

    def _main(self, started: Future[None]) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:  # the thread that waits in `start` raises it
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            data = self._data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nbjobs-")))
            data.mkdir(parents=True, exist_ok=True)
            book = Book(data / "jobs.sqlite", filter_match=self._filter_match)
            stack.enter_context(contextlib.closing(book))
            repositories = stack.enter_context(contextlib.closing(Repositories(data / "dataform.sqlite")))
            listener, self.url = listen(self._host, self._port, "--port")
            stack.enter_context(listener)
            where = (data / "storage", self._host, self._storage_port, self._allowed_hosts)
            storage = running_storage(*where, buckets=self._buckets)
            self._storage = await stack.enter_async_context(storage)
            self.storage_url = self._storage.url
            faults = Faults()
            if self._runner == "simulated":
                execute = execution.simulated(self._seconds)
            else:
                execute = execution.in_kernels(self._storage, repositories, data / "scratch", self._kernel_python)
            records = stack.enter_context(contextlib.closing(Records(data / "resources.sqlite")))
            templates = Templates(records, book.clock, self._templates)
            jobs = Jobs(
                book,
                execute,
                faults,
                concurrency=self._concurrency,
                cleanup_seconds=self._cleanup_seconds,
                check_template=templates.check,
            )
            jobs.take_over()
            stack.push_async_callback(jobs.stop)
            schedules = Schedules(records, jobs)
            schedules.take_over()
            stack.callback(asyncio.create_task(schedules.run()).cancel)
            pages = Pages(book, self._storage, self._render)
            self._app = App(jobs, schedules, templates, repositories, faults, pages, self.storage_url)
            app = Guard(self._app.asgi, allowed_hosts=self._allowed_hosts)
            self._server = http_server(app, http=TransportProtocol, timeout_keep_alive=75)
            started.set_result(None)
            await self._server.serve([listener])
