"""The wheel, as users get it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel, which is all that installing a pure Python one does."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)  # noqa: S202 - built above
    return folder


def test_it_holds_the_package_its_types_and_nothing_else(unpacked: Path) -> None:
    tops = {path.name for path in unpacked.iterdir()}
    assert tops == {"airflow_nbjobs", f"airflow_nbjobs-{PROJECT['version']}.dist-info"}
    assert (unpacked / "airflow_nbjobs" / "py.typed").is_file()


def test_every_module_of_the_repository_is_in_it(unpacked: Path) -> None:
    def modules(root: Path) -> set[str]:
        return {str(path.relative_to(root)) for path in (root / "airflow_nbjobs").rglob("*.py")}

    assert modules(unpacked) == modules(ROOT)


def test_its_metadata_name_the_extra_and_the_licence(unpacked: Path) -> None:
    metadata = Parser().parsestr(next(unpacked.glob("*.dist-info/METADATA")).read_text())
    assert metadata["Name"] == "airflow-nbjobs"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    assert metadata["Keywords"] == ",".join(PROJECT["keywords"])
    assert metadata.get_all("Classifier") == PROJECT["classifiers"]
    assert "Typing :: Typed" in PROJECT["classifiers"]
    assert metadata.get_payload() == (ROOT / "README.md").read_text()


def test_the_source_archive_has_examples_docs_and_tests(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "uv", "build", "--quiet", "--offline", "--sdist", "--no-build-isolation"]
    subprocess.run([*call, "--python", sys.executable, "--out-dir", tmp_path, ROOT], check=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    examples = (ROOT / "example_dags").rglob("*.[pi]*y*")
    asked = {str(path.relative_to(ROOT)) for path in examples if "__pycache__" not in path.parts}
    assert len(asked) > 10
    assert asked | {"README.md", "CHANGELOG.md", "LICENSE", "docs/index.md", "tests/conftest.py"} <= names


def test_its_entry_points_load_from_it(unpacked: Path) -> None:
    entry_points = ConfigParser()
    entry_points.read(next(unpacked.glob("*.dist-info/entry_points.txt")))
    targets = [target for group in entry_points.values() for target in group.values()]
    assert len(targets) == 4
    program = (
        "import importlib, sys\n"
        "for target in sys.argv[1:]:\n"
        "    module, _, name = target.partition(':')\n"
        "    loaded = importlib.import_module(module)\n"
        "    getattr(loaded, name) if name else None\n"
        "    print(loaded.__file__)\n"
    )
    # -P and PYTHONPATH: the unpacked wheel comes before the repository that is installed for development.
    call = [sys.executable, "-P", "-c", program, *targets]
    printed = subprocess.run(call, check=True, text=True, stdout=subprocess.PIPE, env=_environment(unpacked)).stdout
    assert all(Path(line).is_relative_to(unpacked) for line in printed.splitlines())
    assert len(printed.splitlines()) == 4


def _environment(unpacked: Path) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(unpacked)}
