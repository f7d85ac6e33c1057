"""A flow that is run step by step, without a client."""

from __future__ import annotations

from typing import Any

from airflow_nbjobs.api.flows import Sleep


def answered(flow: Any, answers: Any) -> tuple[Any, list[Any]]:
    """Run a flow whose calls are answered, or refused, by the answers in turn.

    :returns: what the flow returns, and its steps: pauses in seconds, calls by verb and last part of the path.
    """
    steps, remaining = [], iter(answers)
    advance = lambda: next(flow)  # noqa: E731 - a step, replaced in each round
    while True:
        try:
            step = advance()
        except StopIteration as end:
            assert list(remaining) == []
            return end.value, steps
        if isinstance(step, Sleep):
            steps.append(step.seconds)
            advance = lambda: flow.send(None)  # noqa: E731 - as above
            continue
        steps.append(f"{step.verb} {step.path.rpartition('/')[2]}")
        answer = next(remaining)
        if isinstance(answer, Exception):
            advance = lambda error=answer: flow.throw(error)  # noqa: E731 - as above
        else:
            advance = lambda value=answer: flow.send(value)  # noqa: E731 - as above
