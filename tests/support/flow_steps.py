"""A flow that is run step by step, without a client."""

from __future__ import annotations

from typing import Any

from airflow_nbjobs.api.flows import Sleep


def answered(flow: Any, answers: Any) -> tuple[Any, list[Any]]:
    """Run a flow whose calls are answered, or refused, by the answers in turn.

    :returns: what the flow returns, and its steps: pauses in seconds, calls by verb and last part of the path.
    """
    steps: list[Any] = []
    remaining = iter(answers)
    advance, value = flow.send, None
    while True:
        try:
            step = advance(value)
        except StopIteration as end:
            assert list(remaining) == []
            return end.value, steps
        advance, value = flow.send, None
        if isinstance(step, Sleep):
            steps.append(step.seconds)
            continue
        steps.append(f"{step.verb} {step.path.rpartition('/')[2]}")
        value = next(remaining)
        if isinstance(value, Exception):
            advance = flow.throw
