"""The walls between the rooms: who may import whom, at the top of a module or inside a function."""

from __future__ import annotations

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TypeGuard

import pytest

import airflow_nbjobs

ROOT = Path(airflow_nbjobs.__file__).parent
MODULES = {
    ".".join(["airflow_nbjobs", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}

# From the bottom up: a room knows those below it, and itself. Rooms of one line do not know each other.
ORDER = [
    ["__init__", "compat", "durations", "exceptions", "floors", "lineage_facets"],
    ["retry_policy"],
    ["api", "settings"],
    ["console_urls", "metrics"],
    ["notebooks"],
    ["resources"],
    ["hints", "secrecy", "service"],
    ["hooks"],
    ["watch"],
    ["links", "outlets"],
    ["lineage"],
    ["run"],
    ["doctor", "events", "pruning", "schedule_trigger", "triggers"],
    ["operators"],
    ["decorators", "sensors"],
    ["commands", "plugin"],
]
# Rooms beside the house: the far side of the wire, its two front doors, and what Airflow reads to know of us.
APART = {"emulator", "cli", "pytest_plugin", "provider_info"}
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


def room_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


@cache
def imports_of(module: str) -> frozenset[str]:
    """Name what a module imports, lazily, relatively or for types alone too; ``from a import b`` is ``a.b``."""
    tree = ast.parse(MODULES[module].read_text())
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{source}.{alias.name}" for alias in node.names}
    return frozenset(found)


def rooms_used(module: str) -> set[str]:
    """Name the rooms of ours that a module imports from."""
    names = {name for name in imports_of(module) if name.split(".")[0] == "airflow_nbjobs"}
    return {room_of(name) if ".".join(name.split(".")[:2]) in known() else "__init__" for name in names}


@cache
def known() -> frozenset[str]:
    return frozenset(".".join(module.split(".")[:2]) for module in MODULES)


def test_every_module_has_its_room():
    assert {room_of(module) for module in MODULES} <= {*LEVEL, *APART}


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) in LEVEL])
def test_nobody_imports_upwards(module):
    room = room_of(module)
    beside = {room, "emulator"} if room == "commands" else {room}  # `nbjobs run --local` starts an emulator
    wrong = {used for used in rooms_used(module) - beside if LEVEL.get(used, 99) >= LEVEL[room]}
    assert wrong == set()


@pytest.mark.parametrize(
    "module", [module for module in MODULES if room_of(module) in ("api", "notebooks", "exceptions")]
)
def test_the_wire_and_the_paper_know_nothing_of_airflow(module):
    assert {name for name in imports_of(module) if name.split(".")[0] == "airflow"} == set()


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) == "emulator"])
def test_the_far_side_knows_nothing_of_this_one(module):
    """The two meet only on the wire, so that one bug cannot hide in both."""
    assert {name for name in imports_of(module) if name.split(".")[0] == "airflow"} == set()
    assert rooms_used(module) <= {"emulator"}


def test_only_the_command_and_the_pytest_plugin_use_the_emulator():
    users = {room_of(module) for module in MODULES if "emulator" in rooms_used(module)}
    assert users == {"emulator", "cli", "commands", "pytest_plugin"}


def test_nobody_uses_the_front_doors():
    assert not [module for module in MODULES if rooms_used(module) & {"cli", "pytest_plugin", "provider_info"}]


def test_walls_see_lazy_and_relative_imports():
    """The test's own eyes: what is imported in functions and for types is seen."""
    assert "airflow_nbjobs.hooks.NotebookExecutionJobHook" in imports_of("airflow_nbjobs.operators.operator")
    assert "emulator" in rooms_used("airflow_nbjobs.pytest_plugin")


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_a_drawer(module):
    assert set(module.split(".")).isdisjoint({"utils", "helpers", "common", "base", "misc", "manager"})


@pytest.mark.parametrize("module", MODULES)
def test_no_module_needs_a_table_of_contents(module):
    assert len(MODULES[module].read_text().splitlines()) <= 300


# Nobody imports from what is apart: the emulator's one name is in its own `__all__`.
@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) not in APART])
def test_what_is_said_to_be_public_is(module):
    """Every name of ``__all__`` exists and is listed once, in order; without a list, all names are private."""
    names = getattr(import_module(module), "__all__", [])
    assert [name for name in names if not hasattr(import_module(module), name)] == []
    assert sorted(set(names), key=sort_key) == list(names)
    defined = [node.name for node in ast.parse(MODULES[module].read_text()).body if is_public(node)]
    assert set(defined) <= set(names)


def sort_key(name: str) -> tuple[int, str]:
    # As ruff's RUF022 has it: constants, classes, the rest.
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def is_public(node: ast.AST) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
        return False
    # A property is described where it is read.
    return not any(isinstance(how, ast.Attribute) and how.attr == "setter" for how in node.decorator_list)


@pytest.mark.parametrize("module", MODULES)
def test_what_is_public_is_described(module):
    def undescribed(body: list[ast.stmt]) -> list[str]:
        own = [node for node in body if is_public(node)]
        inner = [name for node in own if isinstance(node, ast.ClassDef) for name in undescribed(node.body)]
        return [node.name for node in own if not ast.get_docstring(node)] + inner

    tree = ast.parse(MODULES[module].read_text())
    assert undescribed(tree.body) == []
    assert module == "airflow_nbjobs" or ast.get_docstring(tree)


def test_types_are_shipped():
    assert (ROOT / "py.typed").is_file()
