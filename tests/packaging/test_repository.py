"""What the repository promises of its own files."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = pytest.mark.parametrize("path", sorted(ROOT.glob("constraints/*.txt")), ids=lambda path: path.name)


@CONSTRAINTS
def test_constraints_are_plain_versions_and_name_no_index(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[0-9][A-Za-z0-9.+!]*", line)] == []


@CONSTRAINTS
def test_each_package_that_is_asked_for_is_constrained(path: Path) -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if path.name != "newest.txt":
        for group in ("docs", "browser", "test"):  # they are installed with the newest versions only
            del asked["dependency-groups"][group]
    lists = [
        asked["build-system"]["requires"],
        asked["project"]["dependencies"],
        *asked["project"]["optional-dependencies"].values(),
        *asked["dependency-groups"].values(),
    ]
    names = {re.split("[^a-z0-9-]", each)[0] for wanted in lists for each in wanted if isinstance(each, str)}
    assert names - {line.partition("==")[0] for line in path.read_text().splitlines()} == set()
    assert len(names) > 20


PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_and_leads_to_is_there(page: Path) -> None:
    text = re.sub("`[^`]*`", "", page.read_text())
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_begins_with_picture_commands_and_cloud() -> None:
    screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:30])
    places = [screen.find(each) for each in ("![", "$ make demo", "$ make test", "(example_dags/hello_notebook.py)")]
    assert places == sorted(places)
    assert min(places) > 0


def test_the_first_example_is_a_dag_of_a_few_lines() -> None:
    tree = ast.parse((ROOT / "example_dags" / "hello_notebook.py").read_text())
    (dag,) = (node for node in tree.body if isinstance(node, ast.With))
    assert dag.end_lineno is not None
    assert dag.end_lineno - dag.lineno + 1 <= 15


def test_all_code_compiles_without_a_warning(tmp_path: Path) -> None:
    call = [sys.executable, "-W", "error", "-m", "compileall", "-q", "-f", "airflow_nbjobs", "tests", "example_dags"]
    run = subprocess.run(
        call, cwd=ROOT, env=os.environ | {"PYTHONPYCACHEPREFIX": str(tmp_path)}, stdout=subprocess.PIPE
    )
    assert run.returncode == 0, run.stdout.decode()


def test_an_unknown_set_of_versions_gets_the_list_of_sets() -> None:
    call = ["make", "--no-print-directory", "test-on", "SET=4.0"]
    run = subprocess.run(call, cwd=ROOT, text=True, stderr=subprocess.PIPE)
    assert run.returncode == 2
    sets = " ".join(sorted(path.stem for path in ROOT.glob("constraints/*.txt")))
    assert run.stderr.splitlines()[0] == f"There is no set '4.0'. Give one of these as SET: {sets}"
