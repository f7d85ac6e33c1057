"""The trials: each step of a task, each mode, and each fault."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, cycle, islice, product
from typing import Any, Literal

Mode = Literal["sync", "deferrable"]
Ids = Literal["service", "own"]
Fault = dict[str, Any]
"""A fault as it is sent to the emulator, without its project."""

HOLD_SECONDS = 6.0
"""How long the emulator holds a request while one task is killed."""

LONG_HOLD_SECONDS = 45.0
"""The same, if all tasks of a batch must reach their steps first."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A moment at which a task can be held.

    :ivar says: its name in the table.
    :ivar stop_at: where the task stops by itself.
    :ivar holds: method and phase of requests: the last one is held, those before it pass.
    """

    says: str
    modes: tuple[Mode, ...] = ("sync", "deferrable")
    stop_at: str | None = None
    holds: tuple[tuple[str, str], ...] = ()

    def faults(self, seconds: float) -> list[Fault]:
        """Return the faults that hold the request for so many seconds."""
        last = len(self.holds) - 1
        return [
            {"method": method, "phase": phase, "delay_seconds": seconds if place == last else 0.01}
            for place, (method, phase) in enumerate(self.holds)
        ]


STEPS = {
    "begun": Step(says="before the create", stop_at="begun"),
    "sent": Step(says="create received, not carried out", holds=(("create", "before"),)),
    "made": Step(says="job created, not answered", holds=(("create", "after"),)),
    "answered": Step(says="answered, not recorded", stop_at="answered"),
    "recorded": Step(says="recorded, not deferred", modes=("deferrable",), stop_at="recorded"),
    "looked": Step(says="recorded, first look", modes=("sync",), holds=(("get", "before"),)),
    "polling": Step(says="polling", modes=("sync",), holds=(("get", "before"), ("get", "before"))),
    "deferred": Step(says="deferred", modes=("deferrable",)),
    "resumed": Step(says="event fired, resuming", modes=("deferrable",), stop_at="resumed"),
    "settled": Step(says="finished, result not stored", stop_at="settled"),
}

KILLS = {
    "task": "task process",
    "supervisor": "its supervisor",
    "worker": "worker (both)",
}
"""What is killed for one task."""

OUTAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "triggerer": ("triggerer", ("deferred", "deferred", "deferred", "resumed")),
    "api-server": ("API server", tuple(STEPS)),
    "scheduler": ("scheduler, all workers", ("begun", "answered", "polling", "deferred", "resumed", "settled")),
    "cloud": ("emulator", tuple(STEPS)),
}
"""What is killed for all tasks at once, and at which steps."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Faults of the network and the service; no process is killed.

    :ivar step: the name of the moment in the table.
    :ivar is_for_waiting: whether they are requested when the task waits, not before it starts.
    :ivar needed: how many of the faults must happen.
    """

    says: str
    step: str
    faults: tuple[Fault, ...]
    needed: int
    is_for_waiting: bool = False


def _waiting(says: str, **fault: Any) -> Trouble:
    # A triggerer may use list or get.
    faults = tuple({"method": method, "times": 3, **fault} for method in ("get", "list"))
    return Trouble(says=says, step="waiting", faults=faults, needed=3, is_for_waiting=True)


def _create(says: str, times: int = 1, **fault: Any) -> Trouble:
    return Trouble(says=says, step="create", faults=({"method": "create", "times": times, **fault},), needed=times)


TROUBLES = {
    "create-503": _create("503 before the job is created", status=503),
    "create-503-after": _create("503 after the job is created", status=503, phase="after"),
    "create-500-after": _create("500 after the job is created", status=500, phase="after"),
    "create-dropped": _create("connection cut before the job is created", drop=True),
    "create-dropped-after": _create("answer lost after the job is created", drop=True, phase="after"),
    "create-cut": _create("answer cut short after the job is created", truncate=True, phase="after"),
    "create-page": _create("a proxy's page after the job is created", body="<html>Sign in</html>", phase="after"),
    "create-429": _create("429, Retry-After 1, twice", times=2, status=429, retry_after=1),
    "create-lost-twice": Trouble(
        says="lost twice: before the job is created, then after",
        step="create",
        faults=({"method": "create", "status": 503}, {"method": "create", "drop": True, "phase": "after"}),
        needed=2,
    ),
    "poll-503": _waiting("503, three times", status=503),
    "poll-500": _waiting("500, three times", status=500),
    "poll-dropped": _waiting("connection cut, three times", drop=True),
    "poll-cut": _waiting("answers cut short, three times", truncate=True),
    "poll-page": _waiting("a proxy's page, three times", body="<html>Sign in</html>"),
    "poll-429": _waiting("429, Retry-After 1, three times", status=429, retry_after=1),
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of one task, with one fault.

    :ivar number: its number in the plan; seed and number define the trial.
    :ivar what: a key of ``KILLS``, ``OUTAGES`` or ``TROUBLES``.
    """

    number: int
    step: str
    mode: Mode
    ids: Ids
    what: str
    seed: int

    @property
    def project(self) -> str:
        """Its project at the emulator, and the id of its DAG run."""
        return f"chaos-{self.number:04d}"

    @property
    def dag_id(self) -> str:
        """Its DAG."""
        return f"chaos_{self.mode}_{self.ids}_retried"

    @property
    def pause(self) -> float:
        """Seconds between the step and the fault: up to one."""
        return random.Random(f"{self.seed}/{self.number}").random()  # noqa: S311 - not a secret

    @property
    def row(self) -> tuple[str, str, str]:
        """The first columns of the table: the step, the mode, what happens."""
        if self.what in TROUBLES:
            return TROUBLES[self.what].step, self.mode, TROUBLES[self.what].says
        what = KILLS[self.what] if self.what in KILLS else OUTAGES[self.what][0]
        return STEPS[self.step].says, self.mode, what


@dataclass(frozen=True)
class Plan:
    """The trials of one run.

    :ivar alone: independent trials.
    :ivar outages: batches of trials; one outage affects a whole batch.
    """

    alone: list[Trial] = field(default_factory=list)
    outages: list[list[Trial]] = field(default_factory=list)


def make_plan(seed: int, trials: int, batch: int) -> Plan:
    """Return a plan: every cell of the table in turn, in an order that the seed decides.

    :param trials: the minimum number.
    :param batch: how many tasks one outage affects at most.
    """
    order = random.Random(seed)  # noqa: S311 - not a secret
    outages = list(_outage_cells())
    alone = list(_alone_cells())
    order.shuffle(alone)
    wanted = max(len(alone), trials - len(outages))
    numbers = iter(range(1, 10_000))

    def trial(cell: tuple[str, str, Mode, Ids]) -> Trial:
        step, what, mode, ids = cell
        return Trial(number=next(numbers), step=step, mode=mode, ids=ids, what=what, seed=seed)

    plan = Plan(alone=[trial(cell) for cell in islice(cycle(alone), wanted)])
    for what in OUTAGES:
        cells = [cell for cell in outages if cell[1] == what]
        order.shuffle(cells)
        while cells:
            plan.outages.append([trial(cell) for cell in cells[:batch]])
            del cells[:batch]
    return plan


def _alone_cells() -> Iterator[tuple[str, str, Mode, Ids]]:
    kills = (
        (step, what, mode)
        for (step, each), what in product(STEPS.items(), KILLS)
        for mode in each.modes
        if step != "deferred"  # no process runs the task then
    )
    modes: tuple[Mode, ...] = ("sync", "deferrable")
    troubles = (("", what, mode) for what, mode in product(TROUBLES, modes))
    every_ids: tuple[Ids, ...] = ("service", "own")
    for (step, what, mode), ids in product(chain(kills, troubles), every_ids):
        yield step, what, mode, ids


def _outage_cells() -> Iterator[tuple[str, str, Mode, Ids]]:
    every_ids: tuple[Ids, ...] = ("service", "own")
    for what, (_, steps) in OUTAGES.items():
        for step, ids in product(steps, every_ids):
            for mode in STEPS[step].modes:
                yield step, what, mode, ids
