"""The life of a job from its create to its end, and its long-running operations."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from airflow_nbjobs.emulator.database import timestamp
from airflow_nbjobs.emulator.errors import ServiceError, invalid, not_found
from airflow_nbjobs.emulator.faults import Fault, Faults, requested_status
from airflow_nbjobs.emulator.jobs import regions, states
from airflow_nbjobs.emulator.jobs.book import Book, Job, Operation
from airflow_nbjobs.emulator.jobs.execution import Execution
from airflow_nbjobs.emulator.jobs.states import INTERNAL, JobStatus
from airflow_nbjobs.emulator.resources import Parent, new_id

log = logging.getLogger(__name__)

_TYPES = "type.googleapis.com/google.cloud.aiplatform.v1"


class Jobs:
    """The jobs of one emulator; used from its event loop only.

    :param book: where jobs and operations are stored.
    :param execute: carries out one job.
    :param faults: failures that were asked for, of which some are for new jobs.
    :param concurrency: how many run at once, the others stay QUEUED; None for no limit.
    :param check_template: called with the name of a new job's runtime template; raises when there is no such template.
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
        check_template: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.book = book
        self._execute = execute
        self._faults = faults
        self._slots = asyncio.Semaphore(concurrency) if concurrency else None
        self._cleanup = int(cleanup_seconds * 10**9)
        self._check_template = check_template
        self._warned: set[str] = set()
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._endings: set[asyncio.Task[None]] = set()

    def take_over(self) -> None:
        """Fail the jobs that an earlier emulator on this data left active, and finish its deletes."""
        for job in self.book.active():
            state = job.state.removeprefix("JOB_STATE_")
            text = f"The emulator stopped while this job was {state}; its kernel is gone."
            for state in states.route_between(job.state, states.FAILED):
                self._move(job.seq, state, JobStatus(INTERNAL, text) if state == states.FAILED else None)
        for operation in self.book.unfinished_deletes():
            self.book.delete_job(operation.job, operation.id)

    async def stop(self) -> None:
        """End every kernel; an active job stays active in the data, and :meth:`take_over` fails it."""
        tasks = [*self._endings, *self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def create(self, parent: Parent, job_id: str, job: dict[str, Any]) -> dict[str, Any]:
        """Accept a job and start it; return its create operation.

        :param job_id: the user's id, or empty for a random one.
        :param job: in its wire form, checked.
        :raises ServiceError: 409 ALREADY_EXISTS when the id is taken, 404 when its template does not exist.
        """
        if template := job.get("notebookRuntimeTemplateResourceName"):
            self._check_template(template)
        self._check_region(parent)
        operation_id = new_id()
        made = self.book.add_job(parent, job_id or new_id(), job, operation_id)
        if made is None:
            raise ServiceError(409, f"{parent}/notebookExecutionJobs/{job_id} already exists.")
        fault = self._faults.play(parent.number)
        run = self._play_states(made, fault) if fault else self._run(made)
        task = asyncio.get_running_loop().create_task(run)
        self._runs[made.seq] = task
        task.add_done_callback(lambda _: self._runs.pop(made.seq, None))
        return self.operation(parent, made.id, operation_id)

    def _check_region(self, parent: Parent) -> None:
        problem = regions.problem_of(parent.location)
        if problem and problem not in self._warned:
            self._warned.add(problem)
            log.warning(problem)

    def get(self, parent: Parent, job_id: str) -> Job:
        """Read a job.

        :raises ServiceError: 404 when it does not exist.
        """
        job = self.book.find(parent, job_id)
        if job is None:
            raise not_found(f"{parent}/notebookExecutionJobs/{job_id}")
        return job

    def delete(self, parent: Parent, job_id: str) -> dict[str, Any]:
        """Delete a job and return the delete operation.

        A job that has ended is deleted at once. An active job is cancelled first, and is deleted when its kernel has
        ended.

        :raises ServiceError: 404 when it does not exist.
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
        """Cancel an operation: a create by cancelling the job, if it is active; a delete continues.

        :raises ServiceError: 404 when it does not exist.
        """
        operation = self._find_operation(parent, job_id, operation_id)
        job = self.book.job(operation.job)
        if operation.kind == "create" and job.is_active and not job.deleted:
            self._end(job.seq, then=lambda: None)

    async def move_to(self, job_id: str, state: str, message: str | None = None) -> None:
        """Stop the execution of a job and move it to a state, in which it stays.

        :param job_id: its id; of several jobs with this id, the newest.
        :param message: of its status.
        :raises ServiceError: 404 when it does not exist; 400 when a job cannot go from its state to the other one.
        """
        job = self.book.find_id(job_id)
        if job is None:
            raise not_found(f"notebookExecutionJobs/{job_id}")
        if not states.route_between(job.state, state):
            raise invalid("state", f"A job cannot go from {job.state} to {state}.")
        run = self._runs.get(job.seq)
        if run:
            run.cancel()
            await asyncio.wait([run])
        # It may have ended before it was cancelled.
        for step in states.route_between(self.book.job(job.seq).state, state):
            self._move(job.seq, step, requested_status(state, message) if step == state else None)

    def operation(self, parent: Parent, job_id: str, operation_id: str) -> dict[str, Any]:
        """Return an operation in its wire form.

        :raises ServiceError: 404 when it does not exist.
        """
        return self._wire(self._find_operation(parent, job_id, operation_id))

    def operations(self, parent: Parent, job_id: str) -> list[dict[str, Any]]:
        """Return a job's operations, newest first; a deleted job's too.

        :raises ServiceError: 404 when the job never existed.
        """
        if self.book.find(parent, job_id, deleted=True) is None:
            raise not_found(f"{parent}/notebookExecutionJobs/{job_id}")
        return [self._wire(operation) for operation in self.book.operations(parent, job_id)]

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
            wire["error"] = {"code": states.CANCELLED_CODE, "message": "The operation was cancelled."}
        else:
            # The operation has no error when the notebook failed: the job's state shows that.
            wire["response"] = {"@type": f"{_TYPES}.NotebookExecutionJob", **job.to_wire()}
        return wire

    def _move(self, seq: int, state: str, failure: JobStatus | None = None) -> None:
        self.book.move(seq, state, status=failure.to_wire() if failure else None, cleanup=self._cleanup)

    async def _run(self, job: Job) -> None:
        slot: AbstractAsyncContextManager[Any] = self._slots or nullcontext()
        async with slot:
            self._move(job.seq, states.PENDING)
            try:
                failure = await self._execute(job, lambda: self._move(job.seq, states.RUNNING))
            except Exception as error:  # a job must end, whatever fails
                log.exception("Job %s", job.name)
                failure = JobStatus(INTERNAL, f"The emulator itself failed: {type(error).__name__}: {error}")
            self._move(job.seq, states.FAILED if failure else states.SUCCEEDED, failure)

    async def _play_states(self, job: Job, fault: Fault) -> None:
        """Move a job through the states that were asked for; it stays in the last one."""
        targets = fault.states
        if targets[0] not in (states.QUEUED, states.PENDING, states.RUNNING):
            targets = [states.RUNNING, *targets]
        state = states.QUEUED
        for target in targets:
            await asyncio.sleep(fault.seconds)
            for step in states.route_between(state, target):
                self._move(job.seq, step, fault.final_status() if step == targets[-1] else None)
            state = target

    def _end(self, seq: int, then: Callable[[], None]) -> None:
        """Cancel an active job in the background, and call *then* when its kernel has ended."""
        if self.book.job(seq).state != states.CANCELLING:
            self._move(seq, states.CANCELLING)
        run = self._runs.get(seq)
        if run:
            run.cancel()  # at once: a run that is about to continue would move a job that is CANCELLING

        async def end() -> None:
            if run:
                await asyncio.wait([run])
            if self.book.job(seq).is_active:
                self._move(seq, states.CANCELLED)
            then()

        task = asyncio.get_running_loop().create_task(end())
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
