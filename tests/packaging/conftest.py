"""The wheel, built once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the tools that are installed, so that no network is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    call = [sys.executable, "-m", "uv", "build", "--quiet", "--offline", "--wheel", "--no-build-isolation"]
    subprocess.run([*call, "--python", sys.executable, "--out-dir", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))
