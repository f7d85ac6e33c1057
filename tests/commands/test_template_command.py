"""``nbjobs template`` lists, creates and deletes runtime templates."""

from __future__ import annotations

import pytest

from airflow_nbjobs.hooks import NotebookExecutionJobHook
from tests.support.commands import Command

WHERE = ["--location", "us-central1"]


def test_a_template_is_created_listed_and_deleted(nbjobs: Command) -> None:
    created = nbjobs("template", "create", "small one", *WHERE)
    assert created.returncode == 0, created.stderr
    name = created.stdout.strip()
    template = NotebookExecutionJobHook().templates.get(name)
    assert (template.display_name, template.machine_spec) == ("small one", {"machineType": "e2-standard-4"})
    assert (template.network_spec, template.euc_config) == ({"enableInternetAccess": True}, {"eucDisabled": True})
    listed = nbjobs("template", "list", *WHERE)
    assert listed.stdout == f"{name}\te2-standard-4\tsmall one\n"
    deleted = nbjobs("template", "delete", name.rpartition("/")[2], *WHERE)
    assert deleted.returncode == 0, deleted.stderr
    empty = nbjobs("template", "list", *WHERE)
    assert (empty.stdout, empty.returncode) == ("", 0)
    assert "There are no runtime templates in projects/" in empty.stderr


def test_the_options_describe_the_machine(nbjobs: Command) -> None:
    options = ["--id", "large", "--machine-type", "n1-standard-8", "--accelerator", "NVIDIA_TESLA_T4:2"]
    options += ["--disk-gb", "200", "--no-internet", "--idle-timeout", "3h", "--end-user-credentials"]
    options += ["--network", "projects/p/global/networks/n", "--fields", '{"labels": {"team": "a"}}']
    created = nbjobs("template", "create", "large one", *options, *WHERE)
    assert created.stdout.strip().endswith("/notebookRuntimeTemplates/large"), created.stderr
    wire = NotebookExecutionJobHook().templates.get(created.stdout.strip()).to_wire()
    machine = {"acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 2, "machineType": "n1-standard-8"}
    assert wire["machineSpec"] == machine
    assert wire["networkSpec"] == {"network": "projects/p/global/networks/n"}
    assert (wire["dataPersistentDiskSpec"], wire["labels"]) == ({"diskSizeGb": "200"}, {"team": "a"})
    assert (wire["idleShutdownConfig"], wire["eucConfig"]) == ({"idleTimeout": "10800s"}, {})
    again = nbjobs("template", "create", "other", "--id", "large", *WHERE)
    assert (again.stdout, again.returncode) == (created.stdout, 0)
    assert "exists, and is left as it is" in again.stderr
    filtered = nbjobs("template", "list", "--filter", "labels.team=a", *WHERE)
    assert filtered.stdout.endswith("\tn1-standard-8\tlarge one\n")
    nbjobs("template", "delete", "large", *WHERE)
    gone = nbjobs("template", "create", "other", "--id", "large", *WHERE)
    assert gone.returncode == 2
    assert "--id 'large' was of a template that is deleted, and stays taken" in gone.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["list"], "--location is missing"),
        (["delete", "none", *WHERE], "404 NOT_FOUND"),
        (["delete", "a/b", *WHERE], "is not the name of a runtime template"),
        (["create", "", *WHERE], "display_name='' is not a display name"),
        (["create", "x", "--accelerator", "T4:two", *WHERE], "write TYPE or TYPE:COUNT"),
        (["create", "x", "--fields", "{", *WHERE], "is not JSON"),
        (["create", "x", "--fields", "[]", *WHERE], "is not a JSON object"),
        (["list", "--filter", "x=y", *WHERE], "field 'x' cannot be filtered on"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(nbjobs: Command, arguments: list[str], problem: str) -> None:
    ended = nbjobs("template", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert problem in ended.stderr
