"""Pages of a list: sizes, and tokens that say where the next one begins.

A token holds the last row's place in the order, not a count: a job that is created, deleted or changed while somebody
turns the pages moves no other job across the fold.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.emulator.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_nbjobs.emulator.book import Job

MAX_PAGE_SIZE = 100


def page_size(text: str | None) -> int:
    """Read ``pageSize``: 1 to 100 (more is refused, as the service does), 100 when it is not given or 0.

    :raises ApiError: 400 for anything else.
    """
    try:
        size = int(text or "0")
    except ValueError:
        raise invalid("page_size", f"Invalid value at 'page_size' (TYPE_INT32), {text!r}") from None
    if not 0 <= size <= MAX_PAGE_SIZE:
        raise invalid("page_size", f"Invalid page_size {size}: it must be between 0 and {MAX_PAGE_SIZE}.")
    return size or MAX_PAGE_SIZE


def fingerprint(*asked: str) -> str:
    """Shorten what a list asks for, so that a token is taken for the same question only, as AIP-158 has it."""
    return hashlib.sha256("\0".join(asked).encode()).hexdigest()[:12]


def token_after(job: Job, order: Sequence[tuple[str, bool]], question: str) -> str:
    """Make the token of the page that begins after a job."""
    places = {"seq": job.seq, "created": job.created, "updated": job.updated, "display_name": job.body["displayName"]}
    text = json.dumps([question, *(places[column] for column, _ in order)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str, order: Sequence[tuple[str, bool]], question: str) -> list[Any]:
    """Read a token back: one value for each column of the order.

    :raises ApiError: 400 when it is none of ours, or was made for another filter, order, view or parent.
    """
    wrong = invalid("page_token", f"Invalid page_token {token!r}: it is none, or of a request with other arguments.")
    try:
        found = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise wrong from None
    if not isinstance(found, list) or found[:1] != [question] or len(found) != len(order) + 1:
        raise wrong
    for (column, _), value in zip(order, found[1:], strict=True):
        if type(value) is not (str if column == "display_name" else int):
            raise wrong
    return found[1:]


def after(order: Sequence[tuple[str, bool]], values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Write the SQL condition for the rows that come after these values.

    Its first part repeats the leading column alone: that is what lets SQLite jump there in an index.
    """
    column, down = order[0]
    parts, parameters = [], [values[0]]
    for index, (last, last_down) in enumerate(order):
        same = [f"{name} = ?" for name, _ in order[:index]]
        parts.append(" AND ".join([*same, f"{last} {'<' if last_down else '>'} ?"]))
        parameters += values[: index + 1]
    return f"{column} {'<=' if down else '>='} ? AND (({') OR ('.join(parts)}))", parameters


def order_sql(order: Sequence[tuple[str, bool]]) -> str:
    """Write the order for SQL's ORDER BY."""
    return ", ".join(f"{column} DESC" if down else column for column, down in order)
