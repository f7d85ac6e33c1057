"""What the repository promises of its own files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", sorted(ROOT.glob("constraints*.txt")), ids=lambda path: path.name)
def test_constraints_are_plain_versions_and_name_no_index(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[0-9][A-Za-z0-9.+!]*", line)] == []


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_first_example_is_a_dag_of_a_few_lines() -> None:
    tree = ast.parse((ROOT / "example_dags" / "hello_notebook.py").read_text())
    (dag,) = (node for node in tree.body if isinstance(node, ast.With))
    assert dag.end_lineno is not None
    assert dag.end_lineno - dag.lineno + 1 <= 15
