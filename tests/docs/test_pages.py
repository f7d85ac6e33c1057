"""The site's pages: their code runs, their commands exist, and the reference has every public name."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from airflow_nbjobs.provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SHORT = [page for page in PAGES if page.parent.name == "start" or page.name in ("README.md", "index.md")]


def test_every_argument_of_an_operator_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs/extensions"), *sys.path])
    described = importlib.import_module("described_arguments").described_class
    for info in ("operators", "sensors"):
        module = importlib.import_module(f"airflow_nbjobs.{info}")
        for name in module.__all__:
            if isinstance(getattr(module, name), type):
                assert all(row[4] for row in described(f"{module.__name__}.{name}"))


def test_every_setting_is_described() -> None:
    options = get_provider_info()["config"]["nbjobs"]["options"]
    assert all(option["description"].endswith(".") for option in options.values())


@pytest.mark.parametrize("page", SHORT, ids=lambda page: page.name)
def test_sentences_have_at_most_30_words(page: Path) -> None:
    assert [each for each in sentences(page.read_text()) if words(each) > 30] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One of e.g. two. `a. B` is one.\n```python\nNo. Yes.\n```\nThree: it\ngoes on.", [4, 3, 4]),
        (
            "# A heading\n- An item\n- Two words - or three. New.\n\n| a cell | two more words. Yes |",
            [2, 2, 4, 1, 2, 3, 1],
        ),
        ("[A link](https://a.org/x.y z) is two words.", [5]),
    ],
)
def test_words_of_sentences_are_counted(text: str, found: list[int]) -> None:
    assert [words(each) for each in sentences(text)] == found


def sentences(page: str) -> list[str]:
    """Return the sentences of a page: code blocks are left out, and items and cells of tables end a sentence."""
    text = re.sub(r"^```.*?^```", "\n\n", page, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "Code", text))
    blocks = re.split(r"\n\s*\n|^#+ |^\s*(?:[-*]|\d+\.) |^: |^\||\|$| \| ", text, flags=re.MULTILINE)
    parts = [each for block in blocks for each in re.split(r"(?<=[.!?])\s+(?=[^a-z])", " ".join(block.split()))]
    return [each for each in parts if words(each)]


def words(sentence: str) -> int:
    return len(re.findall(r"\S*\w\S*", sentence))


def test_the_readme_has_at_most_90_lines_and_one_picture() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 90
    assert re.findall(r"!\[[^]]*\]\(([^)]*)\)", text) == ["docs/img/notebook_tab_light.png"]
