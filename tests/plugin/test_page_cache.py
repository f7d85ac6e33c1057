"""Pages on disk: rendered once, few at a time, within a bound, and out of others' reach."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from airflow_nbjobs.notebooks.storage import StoredObject
from airflow_nbjobs.plugin import page_cache as rendering
from airflow_nbjobs.plugin.notebook import ShownNotebook
from airflow_nbjobs.plugin.page_cache import PageCache, cache_folder
from airflow_nbjobs.plugin.unavailable import Unavailable
from tests.plugin.conftest import CANARY, paper
from tests.support.papers import as_bytes
from tests.support.task_rows import TaskRow


def shown(generation: str = "1") -> ShownNotebook:
    """Return a notebook in Cloud Storage."""
    stored = StoredObject(uri="gs://results/runs/1/report.ipynb", generation=generation, size=9)
    return ShownNotebook(kind="executed", stored=stored, job_name="job", failed_cell=None)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let notebooks be read from here, and note each reading."""
    seen: list[str] = []

    def download(asked: ShownNotebook, to: Path) -> None:
        seen.append(asked.key)
        to.write_bytes(as_bytes(paper()))

    monkeypatch.setattr(rendering, "_download", download)
    return seen


async def test_a_page_is_rendered_once_for_all_who_ask(downloads: list[str], pages: Path) -> None:
    kept = PageCache()
    await asyncio.gather(*(kept.page(shown(), "light") for _ in range(5)))
    await kept.page(shown(), "light")
    await PageCache().page(shown(), "light")  # another process
    assert len(downloads) == 1
    (folder,) = pages.iterdir()
    assert sorted(file.name for file in folder.iterdir()) == ["facts.json", "page.html"]


async def test_another_generation_is_another_page(downloads: list[str]) -> None:
    for generation in ("1", "2"):
        await PageCache().page(shown(generation), "light")
    assert len(set(downloads)) == 2


def test_the_pages_read_longest_ago_are_dropped(
    downloads: list[str], pages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(*generations: str) -> None:
        for generation in generations:
            page = await PageCache().page(shown(generation), "light")
            os.utime(page.folder, (now := int(generation) + 1_000_000, now))

    asyncio.run(ask("1"))
    size = sum(file.stat().st_size for folder in pages.iterdir() for file in folder.iterdir())
    monkeypatch.setenv("AIRFLOW__NBJOBS__UI_CACHE_BYTES", str(size * 2 + size // 2))
    asyncio.run(ask("2", "3", "4"))
    assert {folder.name.partition("-")[0] for folder in pages.iterdir()} == {shown("3").key, shown("4").key}


def test_what_a_killed_process_left_is_removed(downloads: list[str], pages: Path) -> None:
    for name, age in (("work-old", 7200), ("work-new", 0)):
        (pages / name).mkdir()
        os.utime(pages / name, (then := time.time() - age, then))
    asyncio.run(PageCache().page(shown(), "light"))
    assert {folder.name for folder in pages.iterdir() if folder.name.startswith("work-")} == {"work-new"}


@pytest.mark.parametrize("lost", ["page.html", "facts.json"])
async def test_a_page_that_lost_a_file_is_rendered_again(lost: str, downloads: list[str], pages: Path) -> None:
    """A system may delete old files of the folder of temporary files."""
    page = await PageCache().page(shown(), "light")
    (page.folder / lost).unlink()
    again = await PageCache().page(shown(), "light")
    again.html().close()
    assert again.facts()["cells"]
    assert len(downloads) == 2


async def test_few_notebooks_are_rendered_at_once(downloads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[int] = []

    async def run(notebook: Path, *_: Any) -> None:
        running.append(running[-1] + 1 if running else 1)
        await asyncio.sleep(0.01)
        running.append(running[-1] - 1)

    monkeypatch.setattr(rendering, "_run", run)
    kept = PageCache()
    await asyncio.gather(*(kept.page(shown(str(number)), "light") for number in range(6)))
    assert max(running) == 2


@pytest.mark.parametrize("number", ["0", "-1"])
async def test_a_setting_of_no_renderings_stops_no_page(
    number: str, downloads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__UI_RENDERINGS", number)
    await asyncio.wait_for(PageCache().page(shown(), "light"), 120)
    assert len(downloads) == 1


async def test_a_reader_who_leaves_does_not_stop_the_rendering(downloads: list[str], pages: Path) -> None:
    kept = PageCache()
    reader = asyncio.create_task(kept.page(shown(), "light"))
    await asyncio.sleep(0.05)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    await kept.page(shown(), "light")
    assert len(downloads) == 1


def test_a_rendering_that_takes_too_long_is_ended(
    downloads: list[str], pages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 0.01)
    with pytest.raises(Unavailable, match=r"takes more than 0\.01 seconds or 2,000 MB of memory"):
        asyncio.run(PageCache().page(shown(), "light"))
    assert list(pages.iterdir()) == []


def test_after_a_rendering_that_was_ended_the_page_is_plainer(
    downloads: list[str], pages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, asked = rendering._start, []

    async def starting(request: dict[str, Any]) -> tuple[int, str]:
        asked.append(request["seconds"])
        return (-9, "") if len(asked) == 1 else await start(request)

    monkeypatch.setattr(rendering, "_start", starting)
    with asyncio.run(PageCache().page(shown(), "light")).html() as page:
        assert "shown as plain text" in page.read().decode()
    assert asked == [30, 0]


@pytest.mark.parametrize("content", [b"", b"[]", b"not a notebook", b"\xff\xfe", b'{"cells": 1}'])
def test_what_is_no_notebook_gets_a_sentence(content: bytes, ann: TestClient, ran: Callable[..., TaskRow]) -> None:
    answer = ann.get(ran(content).path("frame"))
    assert answer.status_code == 404
    assert "otebook" in answer.text


def test_the_folder_belongs_to_this_user_alone(tmp_path: Path) -> None:
    folder = cache_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(PermissionError, match="TMPDIR"):
        cache_folder()
    folder.rmdir()
    (tmp_path / "theirs").mkdir()
    folder.symlink_to(tmp_path / "theirs")
    with pytest.raises(PermissionError, match="TMPDIR"):
        cache_folder()


def test_a_folder_of_somebody_else_is_said_in_a_sentence(
    ann: TestClient, ran: Callable[..., TaskRow], pages: Path
) -> None:
    pages.chmod(0o755)
    answer = ann.get(ran().path("frame"))
    assert answer.status_code == 404
    assert "TMPDIR" in answer.text


def test_the_rendering_process_knows_no_secret_of_the_server(
    downloads: list[str], pages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []
    start = asyncio.create_subprocess_exec

    async def starting(*call: str, **options: Any) -> Any:
        seen.append(options["env"])
        return await start(*call, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", starting)
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", CANARY)
    asyncio.run(PageCache().page(shown(), "light"))
    assert CANARY not in seen[0].values()


def test_a_page_that_is_dropped_while_it_is_sent_is_sent_whole(
    ann: TestClient, ran: Callable[..., TaskRow], pages: Path
) -> None:
    row = ran()
    with ann.stream("GET", row.path("frame")) as answer:
        for folder in pages.iterdir():
            for file in folder.iterdir():
                file.unlink()
        assert CANARY in answer.read().decode()
