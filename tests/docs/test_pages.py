"""The site's pages: their code runs, their commands exist, and the reference has every public name."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
import shlex
import sys
from pathlib import Path

import pytest

from airflow_nbjobs.cli import parser
from airflow_nbjobs.provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCKS = [
    (page.relative_to(ROOT), number, language, body)
    for page in PAGES
    for number, (language, body) in enumerate(
        re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    )
]
PYTHON = [(page, number, body) for page, number, language, body in BLOCKS if language == "python"]
COMMANDS = [
    (page, line)
    for page, _, language, body in BLOCKS
    if language == "console"
    for line in re.findall(r"^\$ (nbjobs .*)", body.replace("\\\n>", ""), re.MULTILINE)
]
SHORT = [page for page in PAGES if page.parent.name == "start" or page.name in ("README.md", "index.md")]


@pytest.mark.parametrize(("page", "number", "body"), PYTHON)
def test_python_of_a_page_is_valid(page: Path, number: int, body: str) -> None:
    ast.parse(body)


@pytest.mark.parametrize(
    ("page", "number", "body"), [each for each in PYTHON if "import DAG" in each[2] and "daily_report" not in each[2]]
)
def test_dags_of_a_page_can_be_made(page: Path, number: int, body: str) -> None:
    if "retry_policy" in body:
        pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="of Airflow 3.3 and later")
    exec(compile(body, str(page), "exec"), {})  # noqa: S102 - our own pages


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_commands_of_a_page_are_understood(page: Path, line: str) -> None:
    words = shlex.split(line.split("#")[0] if " #" in line else line)[1:]
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        try:
            parser().parse_args(words)
        except SystemExit:
            pytest.fail(told.getvalue())


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) > 5
    assert len(PYTHON) > 10


def reference() -> str:
    return "\n".join(page.read_text() for page in (ROOT / "docs/reference").iterdir())


@pytest.mark.parametrize(
    "module",
    [
        "operators",
        "sensors",
        "hooks",
        "links",
        "events",
        "triggers",
        "decorators",
        "exceptions",
        "retry_policy",
        "api.job",
        "api.names",
    ],
)
def test_every_public_module_is_in_the_reference(module: str) -> None:
    path = f"airflow_nbjobs.{module}"
    if module == "retry_policy":
        pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="of Airflow 3.3 and later")
    names = importlib.import_module(path).__all__
    text = reference()
    whole = re.search(rf"(classes|automodule):: {re.escape(path)}$", text, re.MULTILINE)
    assert whole or [name for name in names if name[0].isupper() and f"{path}.{name}" not in text] == []


def test_every_argument_of_an_operator_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs/extensions"), *sys.path])
    described = importlib.import_module("described_arguments").described_class
    for info in ("operators", "sensors"):
        module = importlib.import_module(f"airflow_nbjobs.{info}")
        for name in module.__all__:
            if isinstance(getattr(module, name), type):
                assert all(row[4] for row in described(f"{module.__name__}.{name}"))


def test_every_error_has_a_remedy() -> None:
    text = (ROOT / "docs/reference/errors.md").read_text()
    names = importlib.import_module("airflow_nbjobs.exceptions").__all__
    assert [name for name in names if name.endswith("Error") and f"`{name}`" not in text] == []


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
