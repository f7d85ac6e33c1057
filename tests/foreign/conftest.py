"""Notebooks of other projects, downloaded once."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.foreign import SOURCES, download


@pytest.fixture(scope="session")
def downloads(request: pytest.FixtureRequest) -> Path:
    """Return a folder with the unpacked source distributions."""
    assert request.config.cache is not None
    cache = request.config.cache.mkdir("nbjobs-foreign")
    with FileLock(cache / "lock"):  # one process of the test run downloads, the others wait
        missing = {name: version for name, version in SOURCES.items() if not (cache / f"{name}-{version}").exists()}
        if missing:
            download(cache, missing)
    return cache
