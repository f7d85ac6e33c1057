"""What happens to a job between its create and its end, and the long-running operations that tell of it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.emulator import states
from airflow_nbjobs.emulator.clock import timestamp
from airflow_nbjobs.emulator.errors import ApiError, invalid, not_found
from airflow_nbjobs.emulator.execution import INTERNAL, Failure
from airflow_nbjobs.emulator.faults import played_failure
from airflow_nbjobs.emulator.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from airflow_nbjobs.emulator.book import Book, Job, Operation
    from airflow_nbjobs.emulator.execution import Execution
    from airflow_nbjobs.emulator.faults import Fault, Faults
    from airflow_nbjobs.emulator.ids import Parent

log = logging.getLogger(__name__)

_TYPES = "type.googleapis.com/google.cloud.aiplatform.v1"
_CANCELLED = 1  # google/rpc/code.proto


class Jobs:
    """The jobs of one emulator; used from its event loop only.

    :param book: where they are kept.
    :param execute: carries out one job (see :mod:`~airflow_nbjobs.emulator.execution`).
    :param concurrency: how many run at once, the others stay QUEUED; None for no bound.
    :param cleanup_seconds: from the end of a job to the end of its create operation (some five minutes on the
        real service).
    """

    def __init__(
        self,
        book: Book,
        execute: Execution,
        faults: Faults,
        *,
        concurrency: int | None,
        cleanup_seconds: float,
    ) -> None:
        self.book = book
        self._execute = execute
        self._faults = faults
        self._slots = asyncio.Semaphore(concurrency) if concurrency else None
        self._cleanup = int(cleanup_seconds * 10**9)
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._endings: set[asyncio.Task[None]] = set()

    def take_over(self) -> None:
        """Settle what an earlier emulator on this data left: jobs have lost their kernels, deletes go through."""
        for job in self.book.active():
            text = (
                f"The emulator stopped while this job was {job.state.removeprefix('JOB_STATE_')}; its kernel is gone."
            )
            for state in states.route(job.state, states.FAILED):
                self._move(job.seq, state, Failure(INTERNAL, text) if state == states.FAILED else None)
        for operation in self.book.unfinished_deletes():
            self.book.delete_job(operation.job, operation.id)

    async def stop(self) -> None:
        """End every kernel; what was active is told as such when the data is used again."""
        tasks = [*self._endings, *self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def create(self, parent: Parent, job_id: str, job: dict[str, Any]) -> dict[str, Any]:
        """Accept a checked job and start on it; give its create operation.

        :param job_id: the user's id, or empty for one of the emulator's making.
        :raises ApiError: 409 ALREADY_EXISTS when the id is taken.
        """
        operation_id = new_id()
        made = self.book.add_job(parent, job_id or new_id(), job, operation_id)
        if made is None:
            raise ApiError(409, f"{parent}/notebookExecutionJobs/{job_id} already exists.")
        fault = self._faults.play(parent.number)
        run = self._play(made, fault) if fault else self._run(made)
        task = asyncio.get_running_loop().create_task(run)
        self._runs[made.seq] = task
        task.add_done_callback(lambda _: self._runs.pop(made.seq, None))
        return self.operation(parent, made.id, operation_id)

    def get(self, parent: Parent, job_id: str) -> Job:
        """Read a job.

        :raises ApiError: 404 when there is none.
        """
        job = self.book.find(parent, job_id)
        if job is None:
            raise not_found(f"{parent}/notebookExecutionJobs/{job_id}")
        return job

    def delete(self, parent: Parent, job_id: str) -> dict[str, Any]:
        """Delete a job and give the delete operation.

        A job that has ended is gone at once. An active one is cancelled first, and is gone, its operation done, when
        its kernel has ended.
        """
        job = self.get(parent, job_id)
        operation_id = new_id()
        self.book.add_operation(job.seq, "delete", operation_id)
        if job.is_active:
            self._end(job.seq, then=lambda: self.book.delete_job(job.seq, operation_id))
        else:
            self.book.delete_job(job.seq, operation_id)
        return self.operation(parent, job_id, operation_id)

    def cancel(self, parent: Parent, job_id: str, operation_id: str) -> None:
        """Cancel an operation: of a create this cancels the job, if it is active; a delete goes on."""
        operation = self._find_operation(parent, job_id, operation_id)
        job = self.book.job(operation.job)
        if operation.kind == "create" and job.is_active and not job.deleted:
            self._end(job.seq, then=lambda: None)

    async def lead(self, job_id: str, state: str, message: str | None = None) -> None:
        """Take a job out of its own hands and lead it to a state, in which it stays.

        :param job_id: its id; of several jobs that had it, the newest is meant.
        :param message: of its status.
        :raises ApiError: 404 when there is no such job; 400 when no job goes from its state to the other one.
        """
        job = self.book.find_id(job_id)
        if job is None:
            raise not_found(f"notebookExecutionJobs/{job_id}")
        if not states.route(job.state, state):
            raise invalid("state", f"No job goes from {job.state} to {state}.")
        run = self._runs.get(job.seq)
        if run:
            run.cancel()
            await asyncio.wait([run])
        # It may have come to its end before the cancellation did.
        for step in states.route(self.book.job(job.seq).state, state):
            self._move(job.seq, step, played_failure(state, message) if step == state else None)

    def operation(self, parent: Parent, job_id: str, operation_id: str) -> dict[str, Any]:
        """Give an operation in its wire form.

        :raises ApiError: 404 when there is none.
        """
        return self._wire(self._find_operation(parent, job_id, operation_id))

    def operations(self, parent: Parent, job_id: str) -> list[dict[str, Any]]:
        """Give a job's operations, newest first; a deleted job's too.

        :raises ApiError: 404 when there never was such a job.
        """
        if self.book.find(parent, job_id, deleted=True) is None:
            raise not_found(f"{parent}/notebookExecutionJobs/{job_id}")
        return [self._wire(operation) for operation in self.book.operations(parent, job_id)]

    def forget(self, parent: Parent, job_id: str, operation_id: str) -> None:
        """Delete an operation's record; what it does goes on."""
        self.book.delete_operation(self._find_operation(parent, job_id, operation_id).id)

    async def wait(self, parent: Parent, job_id: str, operation_id: str, seconds: float) -> dict[str, Any]:
        """Give an operation when it is done, or as it is after so many seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            operation = self.operation(parent, job_id, operation_id)
            left = end - loop.time()
            if operation.get("done") or left <= 0:
                return operation
            await asyncio.sleep(min(left, 0.1))

    def _find_operation(self, parent: Parent, job_id: str, operation_id: str) -> Operation:
        for operation in self.book.operations(parent, job_id):
            if operation.id == operation_id:
                return operation
        raise not_found(f"{parent}/notebookExecutionJobs/{job_id}/operations/{operation_id}")

    def _wire(self, operation: Operation) -> dict[str, Any]:
        job = self.book.job(operation.job)
        is_create = operation.kind == "create"
        metadata = "CreateNotebookExecutionJobOperationMetadata" if is_create else "DeleteOperationMetadata"
        done = operation.done is not None and operation.done <= self.book.clock.now()
        times = {
            "createTime": timestamp(operation.created),
            "updateTime": timestamp(operation.updated if done else operation.created),
        }
        wire: dict[str, Any] = {
            "name": f"{job.name}/operations/{operation.id}",
            "metadata": {"@type": f"{_TYPES}.{metadata}", "genericMetadata": times},
        }
        if not done:
            return wire
        wire["done"] = True
        if not is_create:
            wire["response"] = {"@type": "type.googleapis.com/google.protobuf.Empty"}
        elif operation.cancelled:
            wire["error"] = {"code": _CANCELLED, "message": "The operation was cancelled."}
        else:
            # No error here when the notebook failed: the job's own state is what tells.
            wire["response"] = {"@type": f"{_TYPES}.NotebookExecutionJob", **job.to_wire()}
        return wire

    def _move(self, seq: int, state: str, failure: Failure | None = None) -> None:
        self.book.move(seq, state, status=failure.to_status() if failure else None, cleanup=self._cleanup)

    async def _run(self, job: Job) -> None:
        slot: AbstractAsyncContextManager[Any] = self._slots or nullcontext()
        async with slot:
            self._move(job.seq, states.PENDING)
            try:
                failure = await self._execute(job, lambda: self._move(job.seq, states.RUNNING))
            except Exception as error:  # whatever goes wrong, the job must end and say so
                log.exception("Job %s", job.name)
                failure = Failure(INTERNAL, f"The emulator itself failed: {type(error).__name__}: {error}")
            self._move(job.seq, states.FAILED if failure else states.SUCCEEDED, failure)

    async def _play(self, job: Job, fault: Fault) -> None:
        """Lead a job through the states that were asked for; a last one that is not terminal stays."""
        targets = fault.states
        if targets[0] not in (states.QUEUED, states.PENDING, states.RUNNING):
            targets = [states.RUNNING, *targets]
        state = states.QUEUED
        for target in targets:
            await asyncio.sleep(fault.step_seconds)
            for step in states.route(state, target):
                self._move(job.seq, step, fault.failure() if step == targets[-1] else None)
            state = target

    def _end(self, seq: int, then: Callable[[], None]) -> None:
        """Cancel an active job in the background, and do the rest when its kernel has ended."""
        if self.book.job(seq).state != states.CANCELLING:
            self._move(seq, states.CANCELLING)
        run = self._runs.get(seq)
        if run:
            run.cancel()  # at once: a run that is about to go on would move a job that is CANCELLING

        async def end() -> None:
            if run:
                await asyncio.wait([run])
            if self.book.job(seq).is_active:
                self._move(seq, states.CANCELLED)
            then()

        task = asyncio.get_running_loop().create_task(end())
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
