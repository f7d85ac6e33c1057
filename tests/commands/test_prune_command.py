"""``nbjobs prune``: one Airflow's old jobs are deleted, from the command line."""

from __future__ import annotations

import os

import pytest

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.submission import deployment_label
from tests.commands.conftest import Command
from tests.emulator.running import eventually

OLD = ["prune", "--older-than", "0.001s", "--location", "us-central1", "--deployment", "team-a"]


@pytest.fixture
def made(nbjobs_emulator: Emulator) -> dict[str, str]:
    """Make a job that is over and one that still runs, and return their states by their ids."""
    project = os.environ["GOOGLE_CLOUD_PROJECT"]
    place = f"projects/{project}/locations/us-central1"
    labels = {"nbjobs-v": "1", "nbjobs-deployment": deployment_label("team-a")}
    for state in ("SUCCEEDED", "RUNNING"):
        nbjobs_emulator.fault({"job_state": f"JOB_STATE_{state}", "times": 1})
        job = NotebookExecutionJob.from_wire(
            {
                "displayName": state,
                "gcsNotebookSource": {"uri": "gs://notebooks/report.ipynb"},
                "notebookRuntimeTemplateResourceName": f"{place}/notebookRuntimeTemplates/1",
                "gcsOutputUri": "gs://results/runs",
                "serviceAccount": "a@b.iam.gserviceaccount.com",
                "labels": labels,
            }
        )
        NotebookExecutionJobHook().create_job(job, location="us-central1")

    def book() -> dict[str, str]:
        return {job["name"].rpartition("/")[2]: job["state"] for job in nbjobs_emulator.book(project)}

    eventually(lambda: sorted(book().values()) == ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"])
    return book()


def deleted(emulator: Emulator) -> int:
    return sum(job["deleted"] for job in emulator.book(os.environ["GOOGLE_CLOUD_PROJECT"]))


def test_a_dry_run_tells_and_then_it_is_done(nbjobs: Command, nbjobs_emulator: Emulator, made: dict[str, str]) -> None:
    over = next(job for job, state in made.items() if state == "JOB_STATE_SUCCEEDED")
    dry = nbjobs(*OLD, "--dry-run")
    assert (dry.returncode, deleted(nbjobs_emulator)) == (0, 0)
    assert dry.stdout.strip().endswith(f"/{over}")
    assert "would be deleted" in dry.stderr
    done = nbjobs(*OLD)
    assert (done.returncode, done.stdout, deleted(nbjobs_emulator)) == (0, dry.stdout, 1)
    everything = nbjobs(*OLD, "--include-active")
    assert (len(everything.stdout.splitlines()), deleted(nbjobs_emulator)) == (1, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prune", "--older-than", "a month", "--location", "x"], "'a month' is no time: give a number and s, m, h"),
        (["prune", "--older-than", "30d"], "--location is missing"),
        (["prune", "--older-than", "30d", "--location", "us-central1"], "say with --deployment whose jobs to delete"),
    ],
)
def test_bad_input_is_named_with_its_remedy(nbjobs: Command, arguments: list[str], words: str) -> None:
    done = nbjobs(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
