"""What looks for canaries finds them, wherever a test lets one out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.canaries import MARK, plant, shows_canary

ROOT = Path(__file__).resolve().parent.parent

LEAKS = """
import logging

import pytest

from airflow_nbjobs.exceptions import NbjobsError
from tests.support.canaries import MARK, tell


def test_that_keeps_it(tmp_path):
    (tmp_path / "notebook.ipynb").write_text(MARK)


def test_that_prints_it():
    print(MARK)


def test_that_logs_it():
    logging.getLogger("a").warning("%s", MARK)


def test_that_raises_it():
    with pytest.raises(NbjobsError):
        raise NbjobsError(f"not {MARK}")


def test_that_stores_it():
    tell("an XCom", {"a": [MARK]})


def test_that_leaves_it_in_an_airflows_log(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "attempt=1.json").write_text(MARK)
"""


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {MARK}-1",
        "eyJub3RlYm9vayI6ICJjYW5hcnktaW4tYS1taW5lIn0=",
        "Y2FuYXJ5LWluLWEtbWluZQ==",
        plant("-----BEGIN-----\n" + "k" * 64 + "\n").replace("\n", "\\n"),
    ],
)
def test_a_canary_is_seen_in_whatever_is_around_it(text: str) -> None:
    assert shows_canary(text)
    assert not shows_canary(text.replace("a", "").replace("k", "").replace("Y", "y"))


def test_each_leak_fails_its_test_and_secrecy_passes(tmp_path: Path) -> None:
    (tmp_path / "test_leaks.py").write_text(LEAKS)
    (tmp_path / "pytest.ini").touch()
    call = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"]
    call += ["-c", f"{tmp_path}/pytest.ini", "-p", "tests.support.canaries", "-p", "no:warnings"]
    call += [f"--basetemp={tmp_path}/work", f"{tmp_path}/test_leaks.py"]
    told = subprocess.run(call, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE).stdout
    shutil.rmtree(tmp_path / "work")  # or it would be found once more
    assert "6 passed, 5 errors" in told, told
    for where in ("prints_it", "logs_it", "raises_it", "stores_it"):
        assert f"that_{where} shows in" in told, told
    assert "attempt=1.json" in told
    assert "notebook.ipynb" not in told
