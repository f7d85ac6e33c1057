"""What Airflow is told about the provider, and what importing it says."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module, resources
from pathlib import Path
from types import SimpleNamespace

import airflow
import jsonschema
import pytest

from airflow_nbjobs import settings
from airflow_nbjobs.links import LINKS
from airflow_nbjobs.notebooks.outcome import RESULT_BYTES
from airflow_nbjobs.provider_info import get_provider_info


def test_the_metadata_is_what_airflow_expects() -> None:
    schema = resources.files(airflow) / "provider_info.schema.json"
    jsonschema.validate(get_provider_info(), json.loads(schema.read_text()))


def test_every_link_is_registered() -> None:
    known = {f"airflow_nbjobs.links.{type(link).__name__}" for link in LINKS}
    assert set(get_provider_info()["extra-links"]) == known


def test_every_module_that_is_named_is_there() -> None:
    info = get_provider_info()
    for room in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[room]:
            for name in entry["python-modules"]:
                assert import_module(name).__all__


def test_every_guide_that_is_named_is_there() -> None:
    guides = [guide for entry in get_provider_info()["integrations"] for guide in entry["how-to-guide"]]
    assert guides
    assert [guide for guide in guides if not Path(__file__).parents[1].joinpath(guide.lstrip("/")).is_file()] == []


def test_every_setting_that_is_described_is_read() -> None:
    described = set(get_provider_info()["config"]["nbjobs"]["options"])
    assert described >= {"deployment", "endpoint", "allowed_endpoints"}
    assert described <= set(settings.__all__)


def test_every_default_that_is_described_is_the_one_that_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    options = get_provider_info()["config"]["nbjobs"]["options"]
    # Where the provider is installed, Airflow takes the described ones: these hold where it is not.
    monkeypatch.setattr(settings, "_conf", lambda: SimpleNamespace(getint=lambda *_, fallback: fallback))
    described = {name: int(option["default"]) for name, option in options.items() if option["type"] == "integer"}
    assert described == {name: getattr(settings, name)() for name in described}
    assert described["result_bytes"] == RESULT_BYTES == 49_152


def test_importing_it_all_uses_nothing_that_is_deprecated() -> None:
    # Airflow's own imports come first: on 3.1 one of them warns of another.
    code = (
        "import airflow.providers.common.compat.sdk as sdk; import airflow.providers.google.common.hooks.base_google\n"
        "import warnings; warnings.simplefilter('error')\n"
        "import airflow_nbjobs.operators, airflow_nbjobs.sensors, airflow_nbjobs.triggers, airflow_nbjobs.hooks\n"
        "import airflow_nbjobs.links, airflow_nbjobs.provider_info\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False, text=True, capture_output=True)
    assert run.returncode == 0, run.stderr
