"""Tries of tasks in any order, killed at any point, with jobs that end in any way: the rules hold throughout.

Airflow's side is a model (tries, retries, clears, workers that die, runs that are made again, requests that change);
the service is the emulator. Hypothesis looks for an order of events that breaks a rule.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from asking import TASK, request
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from airflow_nbjobs import adoption
from airflow_nbjobs.adoption import Submitted, submit
from airflow_nbjobs.api.calls import Call
from airflow_nbjobs.api.client import Client, Conversation
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import ApiError
from airflow_nbjobs.submission import TaskIdentity, identify

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
KILLS = st.sampled_from(["cancel", "delete"])


def has(*phases: str) -> Any:
    """Return a precondition: that a task is in one of these phases."""
    return lambda self: any(model.phase in phases for model in self.models)


class WorkerDiedError(Exception):
    """The process that carries a try out is killed."""


def dying(conversation: Conversation[Submitted], where: str | None) -> Conversation[Submitted]:
    """Carry a conversation on until the worker dies: before its create is sent, or when it has been carried out."""
    step = next(conversation)
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
            step = conversation.throw(answer) if isinstance(answer, ApiError) else conversation.send(answer)
        except StopIteration as end:
            return end.value


@dataclass
class Model:
    """One task instance, as Airflow knows it.

    :ivar phase: ``new``, ``waiting``, ``failed`` (a retry follows, or a clear) or ``done``.
    :ivar held: id of the job that the try waits for.
    :ivar made: ids of the jobs of this DAG run: the generation and the request that each was made for.
    """

    identity: TaskIdentity
    version: int = 0
    phase: str = "new"
    held: str | None = None
    made: dict[str, tuple[int, int]] = field(default_factory=dict)


class Tries(RuleBasedStateMachine):
    """The rules of submission, tried in any order."""

    emulator: ClassVar[Emulator]
    runs: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).runs += 1
        self.project = f"{os.environ['GOOGLE_CLOUD_PROJECT']}-{self.runs}"
        self.client = Client(Endpoint.of_emulator(self.emulator.url), None, sleep=lambda _: None)
        self.models = [Model(replace(task, run_started=datetime.now(UTC))) for task in TASKS]
        self.seen: list[dict[str, Any]] = []

    def teardown(self) -> None:
        for job in self.active():
            self.emulator.play(job["name"], "JOB_STATE_FAILED")
        self.client.close()

    def book(self) -> list[dict[str, Any]]:
        return self.emulator.book(self.project)

    def active(self) -> list[dict[str, Any]]:
        """Return the jobs that cost money and are not being ended, as they were after the last event."""
        return [job for job in self.seen if job["state"] not in {*ENDED, "JOB_STATE_CANCELLING"}]

    def carry_out(self, model: Model, dies: str | None, lost: dict[str, Any] | None, kill: Any) -> None:
        """Carry a try out to its wait, and hold what it does against the rules."""
        before = {job["id"]: job for job in self.book()}
        expected = self.adoptable(model, before)
        if lost and dies != "before" and not expected:
            self.emulator.fault({"method": "create", "project": self.project, **lost})
        job = identify(request(f"gs://notebooks/{model.version}.ipynb"), model.identity, f"{model.version:032x}")
        submitting = submit(f"projects/{self.project}/locations/us-central1", job, model.identity, kill)
        submitted: Submitted | None = None
        try:
            submitted = self.client.follow(dying(submitting, dies))
        except WorkerDiedError:
            model.phase, model.held = "failed", None
        self.seen = self.book()
        after = {job["id"]: job for job in self.seen}
        self.check_nothing_foreign(model, before, after)
        assert len(after) <= len(before) + 1
        for new in after.keys() - before.keys():
            model.made[new] = model.identity.first_try, model.version
        if submitted is None:
            return
        model.phase, model.held = "waiting", (submitted.job.name or "").rpartition("/")[2]
        if dies == "recorded":
            model.phase = "failed"
        assert model.made[model.held] == (model.identity.first_try, model.version)
        assert after[model.held]["labels"]["nbjobs-request"] == f"{model.version:032x}"
        if expected:
            assert (model.held, submitted.is_adopted) == (expected, True)
        if model.identity.is_first_try:
            assert model.held not in before
        wanted = [job["id"] for job in self.active() if job["id"] in model.made]
        assert set(wanted) <= {model.held}

    def adoptable(self, model: Model, jobs: dict[str, dict[str, Any]]) -> str | None:
        """Return the id of the job that a retry has to take: the newest of its kind, unless it ended in vain."""
        mine = (model.identity.first_try, model.version)
        states = {name: job["state"] for name, job in jobs.items() if not job["deleted"]}
        newest = next((job for job in reversed(states) if model.made.get(job) == mine), None)
        if model.identity.is_first_try or newest is None:
            return None
        ended_in_vain = {*ENDED, "JOB_STATE_CANCELLING"} - {"JOB_STATE_SUCCEEDED"}
        return None if states[newest] in ended_in_vain else newest

    def check_nothing_foreign(self, model: Model, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Check that a try ended no job of another task, and made none for one."""
        key = f"-{model.identity.key}"
        ended = [
            job
            for job in after.values()
            if job["deleted"] or job["state"] in {"JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"}
        ]
        touched = [job for job in ended if job["id"] in before and job["history"] != before[job["id"]]["history"]]
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

    @rule(which=WHICH, dies=DIES, lost=MAYBE_LOST, kill=KILLS)
    @precondition(has("done", "failed"))
    def is_cleared(self, which: int, dies: str | None, lost: dict[str, Any] | None, kill: str) -> None:
        """Clear a task that is over; when its worker dies at once, a retry follows."""
        model = self.pick(which, "done", "failed")
        anew = model.identity.try_number + 1
        model.identity = replace(model.identity, try_number=anew, first_try=anew)
        self.carry_out(model, dies, lost, kill)
        if dies:
            model.identity = replace(model.identity, try_number=anew + 1)
            self.carry_out(model, None, None, kill)

    @rule(which=WHICH, state=st.sampled_from(ENDS), is_seen=st.booleans())
    @precondition(lambda self: bool(self.active()))
    def job_ends(self, which: int, state: str, is_seen: bool) -> None:
        """End a job, one that somebody waits for or not; whoever waits may see it."""
        active = self.active()
        job = active[which % len(active)]
        self.emulator.play(job["name"], f"JOB_STATE_{state}")
        for model in self.models:
            if is_seen and model.phase == "waiting" and model.held == job["id"]:
                model.phase = "done" if state == "SUCCEEDED" else "failed"

    @rule(which=WHICH, changed=st.booleans())
    @precondition(has("waiting"))
    def worker_dies(self, which: int, changed: bool) -> None:
        """Kill the worker of a task that waits; what the task asks for may change before its next try."""
        model = self.pick(which, "waiting")
        model.phase = "failed"
        model.version += changed

    @rule(which=WHICH, dies=st.sampled_from(["before", "after"]))
    @precondition(has("done", "failed"))
    def run_is_made_again(self, which: int, dies: str) -> None:
        """Delete the DAG run and make it again under its id, when nothing of it is active; its worker dies."""
        model = self.pick(which, "done", "failed")
        if not any(job["id"] in model.made for job in self.active()):
            again = replace(model.identity, try_number=1, first_try=1, run_started=datetime.now(UTC))
            made_again = Model(again, version=model.version)
            self.models[self.models.index(model)] = made_again
            self.carry_out(made_again, dies, None, "cancel")
            made_again.identity = replace(again, try_number=2)
            self.carry_out(made_again, None, None, "cancel")

    @invariant()
    def no_success_is_paid_for_twice(self) -> None:
        """Of one generation and one request at most one job succeeds."""
        self.seen = self.book()
        good = {job["id"] for job in self.seen if job["state"] == "JOB_STATE_SUCCEEDED"}
        for model in self.models:
            paid = [made for job, made in model.made.items() if job in good]
            assert len(paid) == len(set(paid))


def test_the_rules_hold_in_any_order_of_events(nbjobs_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    # Both clocks are one here, and a run that is made again is made at once, not minutes later.
    monkeypatch.setattr(adoption, "_CLOCKS_DIFFER", timedelta(0))
    monkeypatch.setattr(Tries, "emulator", nbjobs_emulator, raising=False)
    run_state_machine_as_test(
        Tries,
        settings=settings(
            stateful_step_count=40,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
