"""Source distributions of nbclient, papermill and jupytext, which carry the notebooks that they are tested with."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

SOURCES = {"nbclient": "0.11.0", "papermill": "2.7.0", "jupytext": "1.19.6"}


def download(cache: Path, packages: Mapping[str, str]) -> None:
    """Download packages and unpack each into a folder of its name and version."""
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        venv.create(Path(folder) / "venv", with_pip=True)
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ",".join(packages)]
        pip = [f"{folder}/venv/bin/python", "-m", "pip", "download", *options, "--dest", folder]
        subprocess.run([*pip, *(f"{name}=={version}" for name, version in packages.items())], check=True)
        for archive in Path(folder).glob("*.tar.gz"):
            with tarfile.open(archive) as opened:
                opened.extractall(folder, filter="data")
            unpacked = archive.name.removesuffix(".tar.gz")
            (Path(folder) / unpacked).rename(cache / unpacked)
