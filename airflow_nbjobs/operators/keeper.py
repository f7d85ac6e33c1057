"""An operator that holds a remote job, and ends it when nobody wants it any more."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, AirflowTaskTimeout

from airflow_nbjobs.compat import retry_policy
from airflow_nbjobs.operators.operator import closing_hook
from airflow_nbjobs.operators.reader import NotebookJobReader

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.api.client import Flow
    from airflow_nbjobs.api.ending import KillPolicy
    from airflow_nbjobs.api.job import NotebookExecutionJob
    from airflow_nbjobs.deferral import Held

__all__ = ["NotebookJobKeeper", "why_final"]

_KILL_SECONDS = 4.6
"""What :meth:`NotebookJobKeeper.on_kill` may take: Airflow ends the process five seconds after it has called it."""

_CALL_SECONDS = 4.3
"""The part of it after which no request is sent any more."""

_CANCEL_SECONDS = 3.0
"""The part of it after which a job that a cancellation has not ended is deleted."""


class NotebookJobKeeper(NotebookJobReader):
    """Holding a job, and ending it.

    :param kill: what becomes of the job when its task is killed, runs out of time, or fails and no retry follows.
        Default ``"cancel"``: its create operation is cancelled, and the job deleted if that does not end it.
        ``"delete"`` deletes it, ``"leave"`` lets it run.
    """

    def __init__(self, *, kill: KillPolicy = "cancel", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kill = kill
        self._asked: NotebookExecutionJob | None = None
        self._held: Held | None = None
        self._is_killed = False
        self._context: Context | None = None

    @closing_hook
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; where Airflow resumes the task only to fail it, see to the job."""
        with suppress(Exception):  # it is said where the hook is needed
            self._get_ready(context)
        self._obey_early_kill(context)
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except Exception as error:
            # Airflow calls no on_kill on this way out. Seen in 3.1.8 and 3.3.2, `BaseOperator.resume_execution`.
            if next_method == "__fail__":
                self._held = self._kept(context)
                name = self._held.name if self._held else "its remote job"
                if (next_kwargs or {}).get("error") == "Trigger timeout":
                    self.log.error("The deferral timed out; %s %s.", name, self._end())
                else:
                    self.log.error("The trigger failed; %s %s.", name, self._leave_or_end(context, error))
            raise

    def _get_ready(self, context: Context) -> None:
        """Make the hook, which ending a job needs, and be able to from then on.

        Its import takes a second. A kill that comes meanwhile cannot wait for it, since it interrupts this very thread:
        it is noted, and obeyed as soon as this is done.
        """
        try:
            _ = self.hook
        finally:
            self._context = context

    def _obey_early_kill(self, context: Context) -> None:
        """End the job when a kill came before the task was ready to.

        :raises NotebookJobError: when one did.
        """
        from airflow_nbjobs.exceptions import NotebookJobError

        if not self._is_killed:
            return
        self._held = self._held or self._kept(context)
        name = self._held.name if self._held else "its job"
        raise NotebookJobError(f"The task was killed: {name} {self._spare_or_end()}.", job_name=name)

    def _kept(self, context: Context) -> Held | None:
        from airflow_nbjobs.deferral import JOB_XCOM, Held

        ti = context["ti"]
        try:
            note = ti.xcom_pull(key=JOB_XCOM, task_ids=ti.task_id, map_indexes=ti.map_index)
        except Exception as error:  # noqa: BLE001 - whatever Airflow has against it, the job must be dealt with
            self.log.warning("The task's own note of its job could not be read: %s", error)
            return None
        return Held.from_payload(note)

    @contextmanager
    def _succeeding(self, context: Context) -> Iterator[None]:
        """Until a try has its job, answer for that of the tries before it, which it would take over or end."""
        from airflow_nbjobs.exceptions import NotebookJobError

        is_first = context["ti"].try_number == 1
        try:
            if not is_first:
                self._get_ready(context)
                self._obey_early_kill(context)
            yield
        except NotebookJobError:
            raise  # it says what becomes of the job
        except Exception as error:
            if self._held is None and not is_first and (why := why_final(context, error)):
                self.log.error(
                    "The task ends before it has its job, and %s; what earlier tries left %s.", why, self._end()
                )
            raise

    @contextmanager
    def _answering_for(self, context: Context) -> Iterator[None]:
        """Between submitting and settling, say of every failure what it means for the job."""
        from airflow_nbjobs.exceptions import (
            NotebookJobError,
            NotebookJobFailedError,
            NotebookJobGoneError,
            NotebookJobTimeoutError,
        )

        try:
            yield
        except (NotebookJobFailedError, NotebookJobGoneError, NotebookJobTimeoutError):
            raise  # the job is over, or was dealt with
        except Exception as error:
            name = self._held.name if self._held else ""
            job = f"The job {name}" if name else "Its job"
            failure = NotebookJobError(_sentence(error), job_name=name)
            failure.__cause__ = error
            became = self._leave_or_end(context, failure)
            raise NotebookJobError(f"{failure} {job} {became}.", job_name=name) from error

    def _leave_or_end(self, context: Context, error: Exception) -> str:
        """Leave the job to the retry that follows on an error; without one nobody would wait for it.

        :returns: what became of it, as the rest of a sentence.
        """
        if why := why_final(context, error):
            return f"{self._end()}, since {why}"
        return "goes on, and the retry re-attaches to it"

    def on_kill(self) -> None:
        """End the job by the kill policy; Airflow kills the process five seconds later.

        While a retry is left, the job goes on when it is only this process that ends.
        """
        self._is_killed = True
        if self._held is None and self._context is None:
            return
        name = self._held.name if self._held else "its job"
        self.log.info("The task is killed: %s %s.", name, self._spare_or_end())

    def _spare_or_end(self) -> str:
        """Do what a kill asks for, and return what became of the job, as the rest of a sentence."""
        began = time.monotonic()
        return "goes on, and the retry re-attaches to it" if self._is_only_this_process() else self._end_in_time(began)

    def _is_only_this_process(self) -> bool:
        """Tell whether Airflow ends the process and not the task."""
        from airflow_nbjobs.wanted import is_wanted

        # Airflow calls on_kill for execution_timeout too, and handles that error meanwhile.
        is_timeout = isinstance(sys.exception(), AirflowTaskTimeout)
        context = self._context
        return bool(context and not is_timeout and _has_retry(context) and is_wanted(context["ti"]))

    def _end_in_time(self, began: float) -> str:
        """End the job while Airflow waits for it, and return what became of it, as the rest of a sentence.

        It is a thread's work: a signal may have come while the task held the way to Airflow's supervisor, and an answer
        that comes byte by byte, or a token's server that says nothing, is bounded by no time-out of a request.

        :param began: when Airflow called ``on_kill``, by :func:`time.monotonic`.
        """
        said: list[str] = []
        ending = threading.Thread(target=lambda: said.append(self._end(since=began)), daemon=True)
        ending.start()
        ending.join(max(0.0, began + _KILL_SECONDS - time.monotonic()))
        return said[0] if said else f"may still run: it could not be ended within {_KILL_SECONDS:g} seconds"

    def _end(self, *, since: float | None = None) -> str:
        """End the job that is held or was asked for, and return what became of it, as the rest of a sentence.

        :param since: when Airflow called ``on_kill``, by :func:`time.monotonic`; without it there is time enough.
        """
        from airflow_nbjobs.api.pacing import BRISK, PATIENT

        forever = float("inf")
        patience, until, late = PATIENT, forever, forever
        if since is not None:
            patience, until, late = BRISK, since + _CALL_SECONDS, since + _CANCEL_SECONDS
        try:
            # Its own client: a signal can arrive in the middle of any request of the other one, which holds its locks.
            with self.hook.new_client(self.location or "") as client:
                return client.run_flow(self._ending(lambda: time.monotonic() >= late), patience, until=until)
        except Exception as error:  # noqa: BLE001 - the connection, its credentials, the service: a person must hear of it
            return f"could not be ended and may still run ({error})"

    def _ending(self, is_late: Callable[[], bool]) -> Flow[str]:
        from airflow_nbjobs.api.ending import check_kill_policy, end_job

        kill = check_kill_policy(self.kill)
        if self._held is not None:
            return end_job(self._held.name, self._held.operation_name, kill, is_late=is_late)
        if self._context is None:
            raise RuntimeError("it is not known which job that is")
        from airflow_nbjobs.adoption import abandon
        from airflow_nbjobs.operators.request import task_identity

        return abandon(self._parent(), task_identity(self._context), self._asked, kill, is_late=is_late)


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if text.endswith((".", "!", "?", ".)")) else f"{text}."


def _has_retry(context: Context) -> bool:
    return bool(context["ti"].try_number <= context["ti"].max_tries)


def why_final(context: Context, error: Exception) -> str:
    """Return why no retry follows on an error, as a clause; nothing when one does."""
    if not _has_retry(context):
        return "no retry is left"
    if isinstance(error, AirflowFailException | AirflowSkipException):
        return "its failure is final"
    policy = retry_policy(context["task"])
    if policy is None:
        return ""
    ti = context["ti"]
    try:
        decision = policy.evaluate(exception=error, try_number=ti.try_number, max_tries=ti.max_tries, context=context)
    except Exception:  # noqa: BLE001 - it is the user's code; Airflow then goes by the number of retries, and says so
        return ""
    return "the task's retry policy lets no retry follow" if decision.action.value == "fail" else ""
