"""Rendered notebooks on disk: each is rendered once, few at a time, and the oldest ones are dropped."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import logging
import os
import shutil
import stat
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from starlette.concurrency import run_in_threadpool

from airflow_nbjobs import settings
from airflow_nbjobs.notebooks.page_files import FACTS, PAGE
from airflow_nbjobs.notebooks.render_process import MEMORY_BYTES, PLAINER, REFUSED, SECONDS, environment
from airflow_nbjobs.notebooks.sizes import amount
from airflow_nbjobs.plugin.job import new_hook
from airflow_nbjobs.plugin.notebook import ShownNotebook, read_notebook, too_large
from airflow_nbjobs.plugin.unavailable import Unavailable

__all__ = ["CachedPage", "PageCache", "cache_folder", "sentence_page"]

_WORK = "work-"
_WORK_SECONDS = 3600
_LONGEST = 1_000

_log = logging.getLogger(__name__)

Theme = Literal["light", "dark", "auto"]


@dataclass(frozen=True)
class CachedPage:
    """A rendered notebook.

    :ivar notebook: what was rendered.
    :ivar folder: where it is kept.
    """

    notebook: ShownNotebook
    folder: Path

    def html(self) -> BinaryIO:
        """Open the document.

        :raises Unavailable: if it was dropped meanwhile.
        """
        return self._open(PAGE)

    def facts(self) -> Any:
        """Return what the notebook says about itself, as JSON.

        :raises Unavailable: if it was dropped meanwhile.
        """
        with self._open(FACTS) as file:
            return json.load(file)

    def _open(self, name: str) -> BinaryIO:
        try:
            return (self.folder / name).open("rb")
        except FileNotFoundError:
            raise Unavailable("dropped", "The page was dropped from the cache. Reload it.", may_change=True) from None


class PageCache:
    """The pages of one process of the API server. All processes of one user share the folder.

    A notebook that is asked for twice at the same time is rendered once. If its reader leaves, it is still
    finished: the next reader has it.
    """

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(max(1, settings.ui_renderings()))  # with none, all pages would wait forever

    async def page(self, shown: ShownNotebook, theme: Theme) -> CachedPage:
        """Return the page of a notebook, which is rendered if it is not kept.

        :raises Unavailable: if it cannot be rendered.
        """
        try:
            folder, is_kept = await run_in_threadpool(_find, f"{shown.key}-{theme}")
            page = CachedPage(shown, folder)
            if not is_kept:
                await asyncio.shield(self._rendering(page, theme))
        except OSError as error:
            _log.exception("A page cannot be kept")
            raise Unavailable(
                "no_folder", f"The API server cannot keep the page: {error.strerror or error}. Correct its TMPDIR."
            ) from error
        return page

    def _rendering(self, page: CachedPage, theme: Theme) -> asyncio.Task[None]:
        name = page.folder.name
        if name not in self._running:
            running = self._running[name] = asyncio.create_task(self._render(page, theme))
            running.add_done_callback(lambda _: self._running.pop(name, None))
        return self._running[name]

    async def _render(self, page: CachedPage, theme: Theme) -> None:
        async with self._turns:
            work = Path(await run_in_threadpool(tempfile.mkdtemp, prefix=_WORK, dir=page.folder.parent))
            try:
                notebook = work / "notebook.ipynb"
                await run_in_threadpool(_download, page.notebook, notebook)
                await _run(notebook, page.notebook, theme)
                notebook.unlink()
                await run_in_threadpool(_keep, work, page.folder)
            finally:
                await run_in_threadpool(shutil.rmtree, work, ignore_errors=True)


async def _run(notebook: Path, shown: ShownNotebook, theme: Theme) -> None:
    """Render in a separate process, into the notebook's folder.

    :raises Unavailable: if that fails, or takes too long or too much memory.
    """
    request = {
        "notebook": str(notebook),
        "folder": str(notebook.parent),
        "theme": theme,
        "title": shown.file.removesuffix(".ipynb"),
        "failed_cell": shown.failed_cell,
        "is_source": shown.kind == "source",
        "notebook_bytes": settings.ui_notebook_bytes(),
        "memory_bytes": MEMORY_BYTES,
    }
    for seconds in PLAINER:
        code, printed = await _start(request | {"seconds": seconds})
        if code == 0:
            return
        if code == REFUSED:
            raise Unavailable("unreadable", printed.strip()[-_LONGEST:])
        _log.warning("Rendering %s failed: %s", shown.file, printed)
        if code > 0 and "MemoryError" not in printed:
            raise Unavailable(
                "unreadable", "The notebook could not be rendered. The log of the API server says why; download it."
            )
    raise Unavailable(
        "too_slow",
        f"Rendering the notebook takes more than {SECONDS:g} seconds or {amount(MEMORY_BYTES)} of memory. Download it "
        "and open it in JupyterLab.",
    )


async def _start(request: dict[str, Any]) -> tuple[int, str]:
    """Render, and return the exit code, which is negative if the process was ended, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "airflow_nbjobs.notebooks.page_files"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    try:
        _, printed = await asyncio.wait_for(process.communicate(json.dumps(request).encode()), SECONDS)
    except TimeoutError:
        return -1, "it took too long"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, printed.decode(errors="replace")


def _download(shown: ShownNotebook, to: Path) -> None:
    limit, size, hook = settings.ui_notebook_bytes(), 0, new_hook()
    try:
        with to.open("wb") as file:
            for chunk in read_notebook(shown, hook):
                size += len(chunk)
                if size > limit:
                    raise too_large(size)
                file.write(chunk)
    finally:
        hook.close()


def _find(name: str) -> tuple[Path, bool]:
    """Return the folder of a page and whether it is kept, and note that it was read.

    The rest of a page is removed: a system may delete old files of the folder of temporary files, but not folders.
    """
    folder = cache_folder() / name
    try:
        os.utime(folder)
    except FileNotFoundError:
        return folder, False
    if all((folder / file).is_file() for file in (PAGE, FACTS)):
        return folder, True
    shutil.rmtree(folder, ignore_errors=True)
    return folder, False


def _keep(work: Path, folder: Path) -> None:
    """Keep a page under its name, and drop the oldest others."""
    with contextlib.suppress(OSError):  # another process was faster
        work.rename(folder)
    others = sorted((each for each in folder.parent.iterdir() if each != folder), key=_last_read)
    room = settings.ui_cache_bytes() - _size(folder)
    for each in reversed(others):
        is_work = each.name.startswith(_WORK)
        if is_work and time.time() - _last_read(each) < _WORK_SECONDS:
            continue
        room -= _size(each)
        if is_work or room < 0:
            shutil.rmtree(each, ignore_errors=True)


def _last_read(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(folder: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return sum(file.stat().st_size for file in folder.iterdir())
    return 0


def sentence_page(sentence: str, theme: Theme) -> str:
    """Return a document with one sentence in it."""
    colors = "color-scheme:dark;color:#d4d4d8" if theme == "dark" else "color:#3f3f46"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Notebook</title>'
        f'<body style="margin:1rem;font:14px/1.5 system-ui,sans-serif;{colors}"><p>{html.escape(sentence)}</p></html>'
    )


def cache_folder() -> Path:
    """Return the folder of the pages, which no other user can read or write.

    :raises PermissionError: if another user has made it.
    """
    folder = Path(tempfile.gettempdir(), f"nbjobs-pages-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} belongs to another user, or others may use it. Delete it, or set TMPDIR.")
    return folder
