"""Flows: generators that yield API calls and sleeps, and return a value.

A client runs one (``run_flow`` of a client or hook): it sends each call and hands back its parsed
answer, or raises the call's error at the ``yield``. The sync and the async client run the same flow.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_nbjobs.api.calls import Call, Page

__all__ = ["Flow", "Sleep", "all_pages"]

T = TypeVar("T")


@dataclass(frozen=True)
class Sleep:
    """What a flow yields to wait, in seconds."""

    seconds: float


Flow = Generator[Call[Any] | Sleep, Any, T]


def all_pages(call: Call[Page[T]]) -> Flow[list[T]]:
    """List all items, page by page.

    :param call: the list call of the first page.
    :returns: the items of all pages, in the order of the service.
    :raises ApiError: when the service refuses a page.
    """
    items: list[T] = []
    while True:
        page: Page[T] = yield call
        items += page.items
        if not page.next_page_token:
            return items
        call = call.with_page_token(page.next_page_token)
