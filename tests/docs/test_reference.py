"""The reference has an entry for each public name, option, command, error, label, metric, XCom, route and fault."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from airflow_nbjobs.cli import parser
from airflow_nbjobs.emulator.faults import _SHAPES, METHODS
from airflow_nbjobs.links import LINKS
from airflow_nbjobs.provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[2]
CODE = "\n".join(path.read_text() for path in (ROOT / "airflow_nbjobs").rglob("*.py"))


def page(name: str) -> str:
    return (ROOT / "docs/reference" / name).read_text()


ALL = "\n".join(path.read_text() for path in (ROOT / "docs/reference").iterdir())
TOLD = [entry for kind in ("hooks", "operators", "sensors", "triggers") for entry in get_provider_info()[kind]]
PUBLIC = {
    *(name for entry in TOLD for name in entry["python-modules"]),
    *(f"airflow_nbjobs.api.{name}" for name in ("calls", "checks", "flows", "job", "names", "schedule", "template")),
    *(f"airflow_nbjobs.{name}" for name in ("decorators", "emulator", "exceptions", "links", "retry_policy")),
}


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_every_public_name_has_an_entry(module: str) -> None:
    if module.endswith("retry_policy"):
        pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="of Airflow 3.3 and later")
    found = importlib.import_module(module)
    if re.search(rf"automodule:: {re.escape(module)}$", ALL, re.MULTILINE):
        assert found.__doc__
        return
    classes = re.search(rf"classes:: {re.escape(module)}$", ALL, re.MULTILINE)
    missing = []
    for name in found.__all__:
        value = getattr(found, name)
        paths = {f"{module}.{name}", f"{getattr(value, '__module__', module)}.{name}"}
        if not (classes and isinstance(value, type)) and not any(
            re.search(rf"{re.escape(path)}\b", ALL) for path in paths
        ):
            missing.append(name)
    assert missing == []


def test_the_options_have_their_directive() -> None:
    """It makes a row of each; ``test_pages.py`` asks for their descriptions."""
    assert ".. settings::" in page("settings.rst")


def test_every_command_and_its_options_have_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ".. commands::" in page("command-line.rst")
    monkeypatch.syspath_prepend(str(ROOT / "docs/extensions"))
    described = importlib.import_module("described_arguments")
    commands = dict(described.described_commands("nbjobs", parser()))
    assert {"nbjobs doctor", "nbjobs template create"} <= set(commands)
    for name, command in commands.items():
        assert command.description, name
        assert [option for option, text in described.described_options(command) if not text] == []


def test_every_error_has_a_remedy_of_one_line() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .+? \| (.+?) \|$", page("errors.md"), re.MULTILINE))
    grouping = {"ApiError", "NbjobsError", "NotebookJobError"}
    names = importlib.import_module("airflow_nbjobs.exceptions").__all__
    assert set(rows) == {name for name in names if name.endswith("Error")} - grouping
    assert all(rows.values())


def test_every_label_has_an_entry() -> None:
    text = page("xcom.md") + (ROOT / "docs/assets-and-lineage.md").read_text()
    labels = set(
        re.findall(
            r"\"((?:nbjobs|airflow)-[a-z]+)\"",
            "\n".join(p.read_text() for p in (ROOT / "airflow_nbjobs/run").glob("*.py")),
        )
    )
    assert len(labels) > 9
    assert [label for label in labels if f"`{label}`" not in text] == []


def test_every_metric_has_an_entry() -> None:
    sent = (ROOT / "airflow_nbjobs/metrics.py").read_text()
    jobs = re.search(r"JobMetric = Literal\[(.+)\]", sent)
    assert jobs
    names = {f"nbjobs.job.{name}" for name in re.findall(r'"(\w+)"', jobs[1])}
    names |= {name.replace("{host}", "{hostname}") for name in re.findall(r'f?"(nbjobs\.[a-z.]+(?:\{host\})?)"', sent)}
    assert len(names) > 8
    assert [name for name in names if f"`{name}`" not in page("metrics.md")] == []


def test_every_xcom_has_an_entry() -> None:
    keys = {"return_value", "notebook_execution_job", *(link.xcom_key for link in LINKS)}
    assert [key for key in keys if f"`{key}`" not in page("xcom.md")] == []


def test_every_fault_and_route_of_the_emulator_has_an_entry() -> None:
    text = page("emulator.md")
    fields = {field for shape in _SHAPES.values() for field in shape}
    assert [name for name in (*METHODS, *fields) if f"`{name}`" not in text] == []
    routes = set(re.findall(r'Route\("(/_emulator/[^"]+)"', (ROOT / "airflow_nbjobs/emulator/app.py").read_text()))
    assert len(routes) > 4
    assert [route for route in routes if route.replace("{job}", "{id}") not in text] == []


def test_every_variable_has_an_entry() -> None:
    known = set(re.findall(r"\bNBJOBS_[A-Z_]+\b", CODE)) - {"NBJOBS_EMULATOR_JOB"}
    assert [name for name in known if name not in ALL] == []
