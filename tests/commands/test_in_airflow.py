"""``airflow nbjobs doctor``, which Airflow 3.2 and newer have."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib import import_module

import pytest
from airflow.providers_manager import ProvidersManager

from airflow_nbjobs.commands.doctor import add_options
from airflow_nbjobs.commands.in_airflow import airflow_commands
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.provider_info import get_provider_info


def test_airflow_has_the_command_and_its_exit_code(nbjobs_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(ProvidersManager, "cli_command_functions"):
        pytest.skip("of Airflow 3.2 and later")
    monkeypatch.setenv("AIRFLOW__LOGGING__LOGGING_LEVEL", "INFO")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:1")  # not a server that happens to run here
    command = [sys.executable, "-m", "airflow", "nbjobs", "doctor", "--location", "us-central1", "--json"]
    for output, code in (("gs://doctor-no-such-bucket", 1), (None, 0)):
        more = ["--output-uri", output] if output else []
        done = subprocess.run([*command, *more], env=os.environ, capture_output=True, text=True, check=False)
        found = {finding["check"]: finding["verdict"] for finding in json.loads(done.stdout)}
        assert (done.returncode, found["list jobs"], found.get("output bucket")) == (code, "good", output and "bad")


def test_the_command_has_the_options_of_nbjobs_doctor() -> None:
    ((group,), ours, airflows) = airflow_commands(), argparse.ArgumentParser(), argparse.ArgumentParser()
    add_options(ours)
    (command,) = group.subcommands
    for argument in command.args:
        argument.add_to_parser(airflows)
    given = ["--location", "us-central1", "--json", "--output-uri", "gs://b/runs"]
    assert airflows.format_help() == ours.format_help()
    assert airflows.parse_args(given) == ours.parse_args(given)
    assert airflows.parse_args([]) == ours.parse_args([])


def test_the_commands_that_airflow_is_told_are_there() -> None:
    for path in get_provider_info()["cli"]:
        module, _, name = path.rpartition(".")
        assert [command.name for command in getattr(import_module(module), name)()] == ["nbjobs"]
