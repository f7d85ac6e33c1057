"""Tries of tasks in any order, killed at any point, with jobs that end in any way: the rules hold throughout.

Airflow's side is a model (tries, retries, clears of what is over and of what runs, workers that die, runs that are made
again at once, requests that change, machines that are not to be had); the service is the emulator, and the jobs have
its ids or the task's own. Hypothesis looks for an order of events that breaks a rule.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_nbjobs.api.calls import Call
from airflow_nbjobs.api.client import Client, Flow
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import ApiError
from airflow_nbjobs.run.identity import TaskIdentity, identify
from airflow_nbjobs.run.submit import Request, Submitted, submit
from tests.support.asking import TASK, wanted_job
from tests.support.emulators import using

nbjobs_emulator_session = using("lasting")

ENDS = ["SUCCEEDED", "SUCCEEDED", "FAILED", "EXPIRED", "PARTIALLY_SUCCEEDED"]
ENDED = {f"JOB_STATE_{state}" for state in [*ENDS, "CANCELLED"]}
LOST = [{"status": 503}, {"drop": True}, {"status": 503, "phase": "after"}, {"drop": True, "phase": "after"}]
TASKS = [
    TASK,
    replace(TASK, map_index=0),
    replace(TASK, deployment="https://another-airflow.example.com"),
]


WHICH = st.integers(0, 5)
DIES = st.sampled_from([None, None, "before", "after", "recorded"])
MAYBE_LOST = st.sampled_from([None, None, *LOST])
KILLS = st.sampled_from(["cancel", "delete", "leave"])
NO_MACHINE = "us-central1-a does not have enough resources available to fulfill the request"

Key = tuple[str, str]
"""A job's id and the moment of its creation: an id of the task's own is free again when its job was deleted."""


def has(*phases: str) -> Any:
    """Return a precondition: that a task is in one of these phases."""
    return lambda self: any(model.phase in phases for model in self.models)


def key_of(job: dict[str, Any]) -> Key:
    """Return what tells a job from all others in the book."""
    return job["id"], job["createTime"]


class WorkerDiedError(Exception):
    """The process that carries a try out is killed."""


def dying(flow: Flow[Submitted], where: str | None) -> Flow[Submitted]:
    """Carry a flow on until the worker dies: before its create is sent, or when it has been carried out."""
    step = next(flow)
    while True:
        is_create = isinstance(step, Call) and step.verb == "POST" and step.path.endswith("/notebookExecutionJobs")
        if is_create and where == "before":
            raise WorkerDiedError
        try:
            answer: Any = yield step
        except ApiError as error:
            answer = error
        if is_create and where == "after":
            raise WorkerDiedError
        try:
            step = flow.throw(answer) if isinstance(answer, ApiError) else flow.send(answer)
        except StopIteration as end:
            return end.value


@dataclass
class Model:
    """One task instance, as Airflow knows it.

    :ivar phase: ``new``, ``waiting``, ``failed`` (a retry follows, or a clear) or ``done``.
    :ivar held: the job that the try waits for.
    :ivar made: the jobs of this DAG run: the generation and the request that each was made for.
    :ivar has_own_ids: as ``deterministic_job_id=True`` makes them.
    """

    identity: TaskIdentity
    version: int = 0
    phase: str = "new"
    held: Key | None = None
    made: dict[Key, tuple[int, int]] = field(default_factory=dict)
    has_own_ids: bool = False


class Tries(RuleBasedStateMachine):
    """The rules of submission, tried in any order."""

    emulator: ClassVar[Emulator]
    runs: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).runs += 1
        self.project = f"{os.environ['GOOGLE_CLOUD_PROJECT']}-{self.runs}"
        self.client = Client(Endpoint.of_emulator(self.emulator.url), None, sleep=lambda _: None)
        # The emulator is told by the id alone which job is to end, so no two examples may have the same ids.
        run_id = f"{TASK.run_id}/{self.runs}"
        self.models = [
            Model(replace(task, run_id=run_id, run_started=datetime.now(UTC), instance=str(uuid.uuid4())))
            for task in TASKS
        ]
        self.seen: list[dict[str, Any]] = []

    @initialize(own=st.lists(st.booleans(), min_size=len(TASKS), max_size=len(TASKS)))
    def ids_are_chosen(self, own: list[bool]) -> None:
        """Let some tasks give their jobs ids of their own."""
        for model, has_own_ids in zip(self.models, own, strict=True):
            model.has_own_ids = has_own_ids

    def teardown(self) -> None:
        self.client.close()
        self.seen = self.book()  # an event that failed half-way leaves what was seen before it
        for job in self.active():
            self.emulator.play(job["name"], "JOB_STATE_FAILED")

    def book(self) -> list[dict[str, Any]]:
        return self.emulator.book(self.project)

    def active(self) -> list[dict[str, Any]]:
        """Return the jobs that cost money and are not being ended, as they were after the last event."""
        return [job for job in self.seen if job["state"] not in {*ENDED, "JOB_STATE_CANCELLING"}]

    def carry_out(
        self, model: Model, dies: str | None, lost: dict[str, Any] | None, kill: Any, *, is_fresh: bool = False
    ) -> None:
        """Carry a try out to its wait, and hold what it does against the rules.

        :param is_fresh: whether it adopts nothing, as a try does that submits once more.
        """
        generation = model.identity.first_try, model.version
        task = replace(model.identity, is_adopting=False) if is_fresh else model.identity
        before = {key_of(job): job for job in self.book()}
        expected = None if is_fresh else self.adoptable(model, before)
        if lost and dies != "before" and not expected:
            self.emulator.fault({"method": "create", "project": self.project, **lost})
        submitted = self.submit(model, task, dies, kill)
        self.seen = self.book()
        after = {key_of(job): job for job in self.seen}
        self.check_nothing_foreign(model, before, after)
        assert len(after) <= len(before) + 1
        model.made |= dict.fromkeys(after.keys() - before.keys(), generation)
        if submitted is None:
            model.phase, model.held = "failed", None
            return
        name = (submitted.job.name or "").rpartition("/")[2]
        held = model.held = next(key for key in reversed(after) if key[0] == name)
        model.phase = "failed" if dies == "recorded" else "waiting"
        assert model.made[held] == generation
        assert after[held]["labels"]["nbjobs-request"] == f"{model.version:032x}"
        assert after[held]["labels"]["nbjobs-run"] == task.run_label
        if expected:
            assert (held, submitted.is_adopted) == (expected, True)
        else:
            assert held not in before
        assert kill == "leave" or {key_of(job) for job in self.active()} & model.made.keys() <= {held}

    def submit(self, model: Model, task: TaskIdentity, dies: str | None, kill: Any) -> Submitted | None:
        """Submit as the operator does; return nothing when the worker dies meanwhile."""
        job = identify(wanted_job(f"gs://notebooks/{model.version}.ipynb"), task, f"{model.version:032x}")
        job_ids = tuple(model.identity.job_ids()) if model.has_own_ids else (None,)
        where = f"projects/{self.project}/locations/us-central1"
        asked = Request(parent=where, job=job, task=task, kill=kill, job_ids=job_ids)
        try:
            return self.client.run_flow(dying(submit(asked), dies))
        except WorkerDiedError:
            return None

    def adoptable(self, model: Model, jobs: dict[Key, dict[str, Any]]) -> Key | None:
        """Return the job that a retry has to take: the newest of its kind that has not ended in vain."""
        mine = (model.identity.first_try, model.version)
        in_vain = {*ENDED, "JOB_STATE_CANCELLING"} - {"JOB_STATE_SUCCEEDED"}
        good = [key for key, job in jobs.items() if not job["deleted"] and job["state"] not in in_vain]
        return next((key for key in reversed(good) if model.made.get(key) == mine), None)

    def check_nothing_foreign(self, model: Model, before: dict[Key, Any], after: dict[Key, Any]) -> None:
        """Check that a try ended no job of another task, and made none for one."""
        key = f"-{model.identity.key}"
        ended = [
            job
            for job in after.values()
            if job["deleted"] or job["state"] in {"JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"}
        ]
        touched = [job for job in ended if key_of(job) in before and job["history"] != before[key_of(job)]["history"]]
        assert all(job["displayName"].endswith(key) for job in touched)
        assert all(after[new]["displayName"].endswith(key) for new in after.keys() - before.keys())

    def pick(self, which: int, *phases: str) -> Model:
        """Return one of the tasks that are in one of these phases."""
        fitting = [model for model in self.models if model.phase in phases]
        return fitting[which % len(fitting)]

    @rule(which=WHICH, dies=DIES, lost=MAYBE_LOST, kill=KILLS)
    @precondition(has("new", "failed"))
    def starts(self, which: int, dies: str | None, lost: dict[str, Any] | None, kill: str) -> None:
        """Start a task for the first time, or retry one that failed."""
        model = self.pick(which, "new", "failed")
        if model.phase == "failed":
            model.identity = replace(model.identity, try_number=model.identity.try_number + 1)
        self.carry_out(model, dies, lost, kill)

    @rule(which=WHICH, dies=DIES, lost=MAYBE_LOST, kill=KILLS, is_run_over=st.booleans())
    @precondition(has("done", "failed"))
    def is_cleared(
        self, which: int, dies: str | None, lost: dict[str, Any] | None, kill: str, is_run_over: bool
    ) -> None:
        """Clear a task that is over; when its worker dies at once, a retry follows.

        A run that is over starts again with that.
        """
        model = self.pick(which, "done", "failed")
        cleared = model.identity.try_number + 1
        model.identity = replace(model.identity, try_number=cleared, first_try=cleared)
        if is_run_over:
            model.identity = replace(model.identity, run_started=datetime.now(UTC))
        self.carry_out(model, dies, lost, kill)
        if dies:
            model.identity = replace(model.identity, try_number=cleared + 1)
            self.carry_out(model, None, None, kill)

    @rule(which=WHICH, state=st.sampled_from(ENDS), is_seen=st.booleans())
    @precondition(lambda self: bool(self.active()))
    def job_ends(self, which: int, state: str, is_seen: bool) -> None:
        """End a job, waited for or not; a waiting task may see it."""
        active = self.active()
        job = active[which % len(active)]
        self.emulator.play(job["name"], f"JOB_STATE_{state}")
        for model in self.models:
            if is_seen and model.phase == "waiting" and model.held == key_of(job):
                model.phase = "done" if state == "SUCCEEDED" else "failed"

    @rule(which=WHICH, changed=st.booleans())
    @precondition(has("waiting"))
    def worker_dies(self, which: int, changed: bool) -> None:
        """Kill the worker of a task that waits; what the task asks for may change before its next try."""
        model = self.pick(which, "waiting")
        model.phase = "failed"
        model.version += changed

    @rule(which=WHICH, dies=DIES, lost=MAYBE_LOST, kill=KILLS)
    @precondition(has("waiting"))
    def is_started_twice(self, which: int, dies: str | None, lost: dict[str, Any] | None, kill: str) -> None:
        """Start a try again that waits, as Airflow may do with a resumption that it has lost track of."""
        self.carry_out(self.pick(which, "waiting"), dies, lost, kill)

    def held_job(self, model: Model) -> dict[str, Any] | None:
        """Return the job that a task waits for, while it is active."""
        return next((job for job in self.active() if key_of(job) == model.held), None)

    @rule(which=WHICH, dies=DIES, lost=MAYBE_LOST, kill=KILLS, is_fast=st.booleans())
    @precondition(has("waiting"))
    def is_cleared_while_it_runs(
        self, which: int, dies: str | None, lost: dict[str, Any] | None, kill: str, is_fast: bool
    ) -> None:
        """Clear a task that waits: to the next try it looks like a retry, which may re-attach before the old one ends.

        A job that was re-attached to and is canceled then is replaced, once.
        """
        model = self.pick(which, "waiting")
        model.identity = replace(model.identity, try_number=model.identity.try_number + 1)
        job = self.held_job(model)
        if is_fast:
            self.carry_out(model, None, None, kill)
        if job is not None:
            self.emulator.play(job["name"], "JOB_STATE_CANCELLED")
        if job is not None or not is_fast:
            self.carry_out(model, dies, lost, kill, is_fresh=is_fast)

    @rule(which=WHICH, dies=DIES, lost=MAYBE_LOST, kill=KILLS)
    @precondition(has("waiting"))
    def gets_no_machine(self, which: int, dies: str | None, lost: dict[str, Any] | None, kill: str) -> None:
        """Let a job fail for lack of a machine: the same try submits another one."""
        model = self.pick(which, "waiting")
        if (job := self.held_job(model)) is not None:
            self.emulator.play(job["name"], "JOB_STATE_FAILED", NO_MACHINE)
            self.carry_out(model, dies, lost, kill, is_fresh=True)

    @rule(which=WHICH, dies=st.sampled_from(["before", "after"]))
    @precondition(has("done", "failed"))
    def run_is_made_again(self, which: int, dies: str) -> None:
        """Delete the DAG run and create it again under its id at once, with its jobs left; its worker dies.

        What the deleted one has left is ended.
        """
        model = self.pick(which, "done", "failed")
        again = replace(
            model.identity, try_number=1, first_try=1, run_started=datetime.now(UTC), instance=str(uuid.uuid4())
        )
        made_again = Model(again, version=model.version, has_own_ids=model.has_own_ids)
        self.models[self.models.index(model)] = made_again
        self.carry_out(made_again, dies, None, "cancel")
        made_again.identity = replace(again, try_number=2)
        self.carry_out(made_again, None, None, "cancel")
        assert not {key_of(job) for job in self.active()} & model.made.keys()

    @invariant()
    def no_success_is_paid_for_twice(self) -> None:
        """Of one generation and one request at most one job succeeds."""
        self.seen = self.book()
        good = {key_of(job) for job in self.seen if job["state"] == "JOB_STATE_SUCCEEDED"}
        for model in self.models:
            paid = [made for job, made in model.made.items() if job in good]
            assert len(paid) == len(set(paid))


def test_the_rules_hold_in_any_order_of_events(nbjobs_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tries, "emulator", nbjobs_emulator, raising=False)
    run_state_machine_as_test(
        Tries,
        settings=settings(
            stateful_step_count=30,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
