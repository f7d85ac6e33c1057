"""``nbjobs prune`` deletes old jobs of one deployment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.names import job_of_operation
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import NotFoundError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.notebooks import storage
from airflow_nbjobs.run.identity import deployment_label
from tests.support.commands import Command
from tests.support.waiting import eventually

OLD = ["prune", "--older-than", "0.001s", "--location", "us-central1"]
OF_TEAM_A = [*OLD, "--deployment", "team-a"]

MINUTE = r"\d{4}-\d\d-\d\d \d\d:\d\d"

Make = Callable[..., str]


@pytest.fixture
def make(nbjobs_emulator: Emulator) -> Make:
    """Return a function that creates a job, waits until it is in its state, and returns its name."""
    place = f"projects/{os.environ['GOOGLE_CLOUD_PROJECT']}/locations/us-central1"

    def create(state: str, *, deployment: str = "team-a", **fields: Any) -> str:
        nbjobs_emulator.fault({"job_state": f"JOB_STATE_{state}", "times": 1})
        job = NotebookExecutionJob.from_wire(
            {
                "displayName": state,
                "gcsNotebookSource": {"uri": "gs://notebooks/report.ipynb"},
                "notebookRuntimeTemplateResourceName": f"{place}/notebookRuntimeTemplates/1",
                "gcsOutputUri": "gs://results/runs",
                "serviceAccount": "a@b.iam.gserviceaccount.com",
                **fields,
                "labels": {
                    "nbjobs-v": "1",
                    "nbjobs-deployment": deployment_label(deployment),
                    **fields.get("labels", {}),
                },
            }
        )
        hook = NotebookExecutionJobHook()
        name = str(job_of_operation(hook.create_job(job, location="us-central1").name))
        eventually(lambda: hook.get_job(name).job_state.word == state)
        return name

    return create


def deleted(emulator: Emulator) -> set[str]:
    """Return the names of the deleted jobs."""
    return {job["name"] for job in emulator.book(os.environ["GOOGLE_CLOUD_PROJECT"]) if job["deleted"]}


def test_a_dry_run_shows_what_is_then_deleted(nbjobs: Command, nbjobs_emulator: Emulator, make: Make) -> None:
    over, active = make("SUCCEEDED"), make("RUNNING")
    dry = nbjobs(*OF_TEAM_A, "--dry-run")
    assert (dry.returncode, dry.stdout, deleted(nbjobs_emulator)) == (0, f"{over}\n", set())
    line = rf"Notebook job 'SUCCEEDED' \({over.rpartition('/')[2]}\), SUCCEEDED since {MINUTE} UTC,"
    assert re.fullmatch(rf"{line} would be deleted\.\nWould delete jobs of deployment 'team-a': 1\.\n", dry.stderr)
    done = nbjobs(*OF_TEAM_A)
    assert (done.returncode, done.stdout, deleted(nbjobs_emulator)) == (0, dry.stdout, {over})
    assert re.fullmatch(rf"{line} was deleted\.\nDeleted jobs of deployment 'team-a': 1\.\n", done.stderr)
    everything = nbjobs(*OF_TEAM_A, "--include-active")
    assert (everything.stdout, deleted(nbjobs_emulator)) == (f"{active}\n", {over, active})


@pytest.mark.parametrize(("made_by", "kinds"), [("run", {"run"}), ("any", {"run", "unnamed", "named"})])
def test_jobs_of_other_makers_are_deleted_on_request(
    nbjobs: Command, nbjobs_emulator: Emulator, make: Make, made_by: str, kinds: set[str]
) -> None:
    names = {
        "run": make("SUCCEEDED", deployment="nbjobs run"),
        "unnamed": make("SUCCEEDED", deployment=""),
        "named": make("SUCCEEDED"),
    }
    done = nbjobs(*OLD, "--made-by", made_by, "--yes")
    assert (done.returncode, deleted(nbjobs_emulator)) == (0, {names[kind] for kind in kinds})


def test_jobs_of_any_maker_are_deleted_only_after_a_yes(nbjobs: Command, nbjobs_emulator: Emulator, make: Make) -> None:
    make("SUCCEEDED")
    done = nbjobs(*OLD, "--made-by", "any")
    assert (done.returncode, deleted(nbjobs_emulator)) == (2, set())
    assert "would be deleted" in done.stderr
    assert "Delete these 1 jobs? [y/N] nbjobs: Nothing was deleted." in done.stderr


def test_deleted_jobs_are_printed_although_an_error_follows(
    nbjobs: Command, nbjobs_emulator: Emulator, make: Make
) -> None:
    kept, gone = make("SUCCEEDED"), make("FAILED")
    nbjobs_emulator.fault({"method": "delete", "status": 403, "message": "Not this one."})
    done = nbjobs(*OF_TEAM_A)
    assert (done.returncode, done.stdout, deleted(nbjobs_emulator)) == (2, f"{gone}\n", {gone})
    refused, deletion, end = done.stderr.splitlines()
    assert refused.startswith("warning: Failed to delete Notebook job 'SUCCEEDED'")
    assert refused.endswith(": 403 PERMISSION_DENIED: Not this one.")
    assert deletion.endswith("was deleted.")
    assert end == (
        f"nbjobs: 403 PERMISSION_DENIED: 1 of 2 jobs could not be deleted. The first is {kept}: Not this one."
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["prune", "--older-than", "a month", "--location", "x"],
            "'a month' is not a duration: use a number",
        ),
        (["prune", "--older-than", "30d"], "--location is missing"),
        (
            ["prune", "--older-than", "30d", "--location", "us-central1"],
            "Give --deployment, or set [nbjobs]",
        ),
        (
            [*OF_TEAM_A, "--made-by", "any", "--yes"],
            "--deployment 'team-a' and --made-by any are two makers: give one of them.",
        ),
    ],
)
def test_bad_options_are_named_with_a_remedy(nbjobs: Command, arguments: list[str], words: str) -> None:
    done = nbjobs(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


@pytest.mark.parametrize("given", ["", " "], ids=["empty", "a space"])
@pytest.mark.parametrize("own", ["http://localhost:8080", "team-a"], ids=["shared", "unique"])
def test_a_blank_deployment_deletes_nothing(
    nbjobs: Command, nbjobs_emulator: Emulator, make: Make, given: str, own: str
) -> None:
    make("SUCCEEDED", deployment=own)
    done = nbjobs(*OLD, "--deployment", given, AIRFLOW__API__BASE_URL=own)
    assert (done.returncode, done.stdout, deleted(nbjobs_emulator)) == (2, "", set())
    assert f"--deployment {given!r} is blank" in done.stderr


@pytest.mark.parametrize(("age", "count"), [("1h", 0), ("999999w", 0), ("0.001s", 1)])
def test_younger_jobs_are_kept(nbjobs: Command, nbjobs_emulator: Emulator, make: Make, age: str, count: int) -> None:
    make("SUCCEEDED")
    done = nbjobs("prune", "--older-than", age, "--location", "us-central1", "--deployment", "team-a")
    assert (done.returncode, len(deleted(nbjobs_emulator))) == (0, count)


@pytest.mark.parametrize("dry_run", [True, False], ids=["dry run", "deleted"])
def test_a_staged_copy_is_deleted_with_its_job(
    nbjobs: Command, nbjobs_emulator: Emulator, make: Make, dry_run: bool
) -> None:
    folder = f"gs://results/{os.environ['GOOGLE_CLOUD_PROJECT']}"
    copy = f"{folder}/nbjobs-staged/1/report.ipynb"
    nbjobs_emulator.upload(copy, b"{}")
    with NotebookExecutionJobHook().storage_client() as client:
        source = {"uri": copy, "generation": storage.get_object(client, copy).generation}
    make("SUCCEEDED", gcsNotebookSource=source, gcsOutputUri=folder, labels={"nbjobs-submit": "1"})
    done = nbjobs(*OF_TEAM_A, *(["--dry-run"] if dry_run else []))
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    with NotebookExecutionJobHook().storage_client() as client:
        if dry_run:
            storage.get_object(client, copy)
        else:
            with pytest.raises(NotFoundError):
                storage.get_object(client, copy)


@pytest.mark.parametrize("variable", ["AIRFLOW__NBJOBS__DEPLOYMENT", "AIRFLOW__API__BASE_URL"])
def test_the_default_deployment_is_this_airflow(
    nbjobs: Command, nbjobs_emulator: Emulator, make: Make, variable: str
) -> None:
    make("SUCCEEDED", deployment="team-b")
    own = make("SUCCEEDED", deployment="https://airflow.example.com")
    done = nbjobs(*OLD, **{variable: "https://airflow.example.com"})
    assert (done.returncode, done.stdout, deleted(nbjobs_emulator)) == (0, f"{own}\n", {own})
