"""The page of `make chaos` keeps what it says of the database that was not tried."""

from __future__ import annotations

from pathlib import Path

from chaos.report import Part, write
from chaos.running import Verdict


def _part(database: str, lost: int) -> Part:
    trial = Verdict(number=1, row=("polling", "sync", "task process"), ids="service", lost=lost, note="why")
    return Part(database, f"python -m chaos of {database}", 7, "abc1234", [trial], [], [])


def test_each_run_writes_the_section_of_its_own_database(tmp_path: Path) -> None:
    page = tmp_path / "chaos.md"
    for database, lost in (("SQLite", 1), ("PostgreSQL", 0), ("SQLite", 0)):
        write(page, _part(database, lost))
    text = page.read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# What kills and faults do",
        "## PostgreSQL",
        "## SQLite",
    ]
    assert text.count("`python -m chaos of SQLite`") == text.count("`python -m chaos of PostgreSQL`") == 1
    assert text.count("commit `abc1234`, seed 7") == 2
    assert "1 lost" not in text
