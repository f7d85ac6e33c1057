"""What a create task sends: every field of the resource, each shape of notebook, names and labels, to the letter."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.run.arguments import RunArguments
from airflow_nbjobs.run.build import build
from airflow_nbjobs.run.sources import InlineNotebook
from airflow_nbjobs.run.task import TaskContext
from tests.support import papers
from tests.support.cloud import Cloud
from tests.support.task_runs import ACCOUNT, JOB, NOTEBOOK, REGION, create

REPOSITORY = "projects/p/locations/us-central1/repositories/r"


def sent(folder: Path | None = None, **arguments: Any) -> dict[str, Any]:
    """Submit a job, and return what the service was sent: all that it does not write itself."""
    run = create(folder, wait_for_completion=False, **arguments)
    run.execute()
    own = {"name", "createTime", "updateTime", "jobState"}
    return {key: value for key, value in papers.sent(run).items() if key not in own}


def users_labels(job: dict[str, Any]) -> dict[str, str]:
    """Return the labels that are not the provider's."""
    return {key: value for key, value in job["labels"].items() if not key.startswith("nbjobs-")}


def test_every_argument_reaches_its_field(project: str) -> None:
    environment = {
        "machineSpec": {"machineType": "e2-standard-4", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1},
        "persistentDiskSpec": {"diskType": "pd-ssd", "diskSizeGb": "200"},
        "networkSpec": {"enableInternetAccess": True, "network": "projects/1/global/networks/n"},
    }
    key = f"projects/{project}/locations/{REGION}/keyRings/r/cryptoKeys/k"
    schedule = f"projects/{project}/locations/{REGION}/schedules/77"
    job = sent(
        notebook="gs://notebooks/a#b/report.ipynb#1700000000000000",
        runtime_template=None,
        custom_environment_spec=environment,
        display_name="Day {{ ds }}",
        labels={"team": "a-{{ ds }}"},
        kernel_name="python3",
        workbench_runtime={},
        kms_key_name=key,
        schedule_resource_name=schedule,
        job_timeout=90.5,
    )
    name, labels = job.pop("displayName"), job.pop("labels")
    assert name.startswith("Day 2026-11-22-")
    assert labels["team"] == "a-2026-11-22"
    assert job == {
        "gcsNotebookSource": {"uri": "gs://notebooks/a#b/report.ipynb", "generation": "1700000000000000"},
        "customEnvironmentSpec": environment,
        "gcsOutputUri": "gs://results/runs",
        "serviceAccount": ACCOUNT,
        "kernelName": "python3",
        "workbenchRuntime": {},
        "encryptionSpec": {"kmsKeyName": key},
        "scheduleResourceName": schedule,
        "executionTimeout": "90.500s",
    }


def test_nothing_is_sent_that_was_not_asked_for(project: str) -> None:
    job = sent()
    assert set(job) == {
        "displayName",
        "gcsNotebookSource",
        "notebookRuntimeTemplateResourceName",
        "gcsOutputUri",
        "serviceAccount",
        "labels",
    }


def test_a_field_that_google_adds_later_is_sent(cloud: Cloud) -> None:
    with pytest.raises(Exception, match='Unknown name "fieldOfTheFuture"'):
        sent(job_body={"fieldOfTheFuture": {"depth": 1}})
    assert cloud.requests()["create"] == {"400": 1}


@pytest.mark.parametrize("field", ["displayName", "labels", "jobState", "name", "executionTimeout"])
def test_job_body_takes_no_field_that_has_an_argument(cloud: Cloud, field: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match=f"job_body contains .*{field}.*: use the arguments"):
        sent(job_body={field: "x"})
    assert cloud.requests() == {}


@pytest.mark.parametrize(
    ("notebook", "source"),
    [
        ("gs://notebooks/r.ipynb", {"gcsNotebookSource": {"uri": "gs://notebooks/r.ipynb"}}),
        ("gs://notebooks/r.ipynb#12", {"gcsNotebookSource": {"uri": "gs://notebooks/r.ipynb", "generation": "12"}}),
        ("gs://notebooks/issue#x.ipynb", {"gcsNotebookSource": {"uri": "gs://notebooks/issue#x.ipynb"}}),
        (REPOSITORY, {"dataformRepositorySource": {"dataformRepositoryResourceName": REPOSITORY}}),
        (
            f"{REPOSITORY}@0a1b2c",
            {"dataformRepositorySource": {"dataformRepositoryResourceName": REPOSITORY, "commitSha": "0a1b2c"}},
        ),
    ],
)
def test_the_shape_of_a_notebook_tells_its_source(project: str, notebook: str, source: dict[str, Any]) -> None:
    job = sent(notebook=notebook)
    assert {key: value for key, value in job.items() if key.endswith("Source")} == source


def content(job: dict[str, Any]) -> bytes:
    """Return the notebook that was sent with the request."""
    return base64.b64decode(job["directNotebookSource"]["content"])


def test_a_file_beside_the_dag_is_sent_byte_for_byte(project: str, tmp_path: Path) -> None:
    written = json.dumps(NOTEBOOK, indent=7).encode() + b"\n\n"
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "day.ipynb").write_bytes(written)
    assert content(sent(tmp_path, notebook="reports/day.ipynb")) == written
    assert content(sent(tmp_path / "reports", notebook="{{ 'day' }}.ipynb")) == written


def test_a_file_in_the_bundle_is_sent(project: str, tmp_path: Path) -> None:
    bundle, dags = tmp_path / "bundle", tmp_path / "bundle" / "dags"
    dags.mkdir(parents=True)
    (bundle / "day.ipynb").write_text(json.dumps(NOTEBOOK))
    ti = {"bundle_instance": SimpleNamespace(path=bundle)}
    assert json.loads(content(sent(dags, ti=ti, notebook="day.ipynb"))) == NOTEBOOK
    assert json.loads(content(sent(dags, ti=ti, notebook="../day.ipynb"))) == NOTEBOOK


@pytest.mark.parametrize("way", ["../secret.ipynb", "link.ipynb", "folder/secret.ipynb", "{absolute}"])
def test_a_path_that_leads_out_of_the_folder_is_refused(cloud: Cloud, tmp_path: Path, way: str) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    secret = tmp_path / "secret.ipynb"
    secret.write_text(json.dumps(NOTEBOOK))
    (dags / "link.ipynb").symlink_to(secret)
    (dags / "folder").symlink_to(tmp_path)
    with pytest.raises(InvalidNotebookJobError, match="outside the DAG's folder and bundle: keep it inside"):
        sent(dags, notebook=way.format(absolute=secret))
    assert cloud.requests() == {}


def test_a_link_within_the_folder_is_followed(project: str, tmp_path: Path) -> None:
    (tmp_path / "day.ipynb").write_text(json.dumps(NOTEBOOK))
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "day.ipynb")
    assert json.loads(content(sent(tmp_path, notebook="link.ipynb"))) == NOTEBOOK


@pytest.mark.parametrize("given", ["1234", "projects/{project}/locations/us-central1/notebookRuntimeTemplates/1234"])
def test_a_runtime_template_is_given_by_name_or_id(project: str, given: str) -> None:
    name = f"projects/{project}/locations/us-central1/notebookRuntimeTemplates/1234"
    assert sent(runtime_template=given.format(project=project))["notebookRuntimeTemplateResourceName"] == name


def test_labels_are_made_valid_when_that_is_asked_for(project: str) -> None:
    given = {"Team": "Data & Ärger", "run": 7, "long": "x" * 99}
    labels = users_labels(sent(labels=given, sanitize_labels=True))
    assert labels == {"team": "data___ärger", "run": "7", "long": "x" * 64}


def test_our_own_labels_tell_a_submission_from_all_others(project: str) -> None:
    first, again, other = sent(), sent(), sent(notebook="gs://notebooks/other.ipynb")
    for job in (first, again, other):
        labels = job["labels"]
        assert set(labels) == {
            f"nbjobs-{name}" for name in ("v", "deployment", "run", "try", "instance", "request", "submit")
        }
        assert (labels["nbjobs-v"], labels["nbjobs-try"]) == ("1", "1")
        assert all(
            len(labels[f"nbjobs-{name}"]) == 32 for name in ("deployment", "run", "instance", "request", "submit")
        )
    assert first["labels"]["nbjobs-request"] == again["labels"]["nbjobs-request"] != other["labels"]["nbjobs-request"]
    assert first["labels"]["nbjobs-submit"] != again["labels"]["nbjobs-submit"]


def test_the_display_name_is_stable_across_tries_and_unique(project: str) -> None:
    name = sent()["displayName"]
    readable, _, key = name.rpartition("-")
    assert (readable, len(key)) == ("reports.report", 16)
    assert sent(ti={"try_number": 2, "max_tries": 0})["displayName"] == name
    others = [sent(ti=each)["displayName"] for each in ({"map_index": 0}, {"map_index": 1}, {"run_id": "other"})]
    assert len({name, *others}) == 4


def test_a_long_display_name_is_shortened_and_its_key_kept(project: str) -> None:
    name = sent(display_name="n" * 128)["displayName"]
    assert len(name) == 128
    assert name.startswith("n" * 111 + "-")
    assert name[-16:] == sent(display_name="short")["displayName"][-16:]


@pytest.mark.parametrize("emulator", [None, "http://127.0.0.1:9099"])
@pytest.mark.parametrize("is_certain", [False, True])
def test_jobs_that_cannot_be_pruned_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_certain: bool, emulator: str | None
) -> None:
    monkeypatch.delenv("NBJOBS_EMULATOR_HOST", raising=False)
    if emulator:
        monkeypatch.setenv("NBJOBS_EMULATOR_HOST", emulator)
    hook = SimpleNamespace(parent=lambda *_: f"projects/p/locations/{REGION}")
    wanted = {name: JOB[name] for name in ("location", "runtime_template", "service_account", "gcs_output_uri")}
    task = replace(TaskContext.alone(Path()).identity, is_certain=is_certain)
    build(
        RunArguments(**wanted, notebook=InlineNotebook(NOTEBOOK)),
        task,
        hook,
        folders=(),
        log=logging.getLogger("airflow_nbjobs.tests"),
    )
    warned = [each for each in caplog.messages if "cannot be pruned. Set [nbjobs] deployment" in each]
    assert len(warned) == (0 if is_certain or emulator else 1)
