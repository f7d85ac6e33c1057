"""The examples of docs/howto/migrate.md."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = {path.stem: path for path in (ROOT / "docs/migrations").glob("*.py")}
PROVIDERS = {"papermill_before": "airflow.providers.papermill", "databricks_before": "airflow.providers.databricks"}


def loaded(name: str) -> Any:
    """Import an example."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES[name])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.endswith("_after") or name == "client_before"])
def test_an_example_is_a_dag_of_one_task(name: str) -> None:
    assert len(loaded(name).dag.tasks) == 1


@pytest.mark.parametrize("name", PROVIDERS)
def test_an_example_of_another_provider_can_be_parsed(name: str) -> None:
    ast.parse(EXAMPLES[name].read_text())
    pytest.importorskip(PROVIDERS[name], reason="the provider is not installed")
    loaded(name)


def test_all_examples_are_on_the_page() -> None:
    page = (ROOT / "docs/howto/migrate.md").read_text()
    assert [name for name in EXAMPLES if f"../migrations/{name}.py" not in page] == []
