"""A folder for each run of the demo; folders of earlier runs are deleted."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path


@contextmanager
def fresh_folder(parent: Path) -> Iterator[Path]:
    """Create a folder that is locked until the end of the block, and is deleted by the next run.

    :param parent: the folder of all runs.
    """
    parent.mkdir(exist_ok=True)
    for old in parent.glob("demo-*"):
        _remove_unless_in_use(old)
    folder = parent / f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _remove_unless_in_use(folder: Path) -> None:
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(folder)
