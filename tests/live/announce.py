"""A plugin for the pytest of ``make live``: each test once, and the relay is told which one begins."""

from __future__ import annotations

import os

import httpx
import pytest


@pytest.hookimpl(trylast=True)  # after -k
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the first case of each test."""
    first = {name_of(item): item for item in reversed(items)}
    items[:] = [item for item in items if item in first.values()]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Name the test."""
    httpx.get(f"{os.environ['NBJOBS_LIVE_ENDPOINT']}/begin/{name_of(item)}").raise_for_status()


def name_of(item: pytest.Item) -> str:
    """Return the name of a test without that of its case."""
    return item.name.partition("[")[0]
