"""Pages of the list of jobs.

A token holds the last job's place in the order, not a count: a job that is created, deleted or changed between two
pages moves no other job from one page to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_nbjobs.emulator.jobs.book import Job
from airflow_nbjobs.emulator.page_tokens import read_token, write_token

Order = Sequence[tuple[str, bool]]
"""Columns, each with whether it is descending."""


def token_after(job: Job, order: Order, request: str) -> str:
    """Return the token of the page that begins after a job."""
    places = {"seq": job.seq, "created": job.created, "updated": job.updated, "display_name": job.body["displayName"]}
    return write_token(request, [places[column] for column, _ in order])


def after(token: str, order: Order, request: str) -> tuple[str, list[Any]]:
    """Return the SQL condition, with its parameters, for the jobs after the token.

    Its first part repeats the leading column alone, which lets SQLite search an index.

    :raises ServiceError: 400 for a malformed token, or one of another request.
    """
    values = read_token(token, request, [str if column == "display_name" else int for column, _ in order])
    column, down = order[0]
    parts, parameters = [], [values[0]]
    for index, (last, last_down) in enumerate(order):
        same = [f"{name} = ?" for name, _ in order[:index]]
        parts.append(" AND ".join([*same, f"{last} {'<' if last_down else '>'} ?"]))
        parameters += values[: index + 1]
    return f"{column} {'<=' if down else '>='} ? AND (({') OR ('.join(parts)}))", parameters


def order_sql(order: Order) -> str:
    """Return the columns for SQL's ORDER BY."""
    return ", ".join(f"{column} DESC" if down else column for column, down in order)
