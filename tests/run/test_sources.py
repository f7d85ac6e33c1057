"""Parameters in, results out, in real kernels: from each place that a notebook can be in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.notebooks.dataform import newest_commit, read_repository
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from tests.support.cloud import Cloud
from tests.support.emulators import using
from tests.support.logged import Logged
from tests.support.papers import as_bytes, cell, notebook, sent, task
from tests.support.task_runs import TaskRun

nbjobs_emulator_session = using("kernels")

REPOSITORY = "projects/p/locations/us-central1/repositories/reports"
PLACES = ["gs", "gs, a generation", "dataform", "dataform, a commit", "file", "percent file", "Markdown file", "dict"]
PERCENT = """\
# %% tags=["parameters"]
day = "unset"
factor = 1

# %% tags=["result"]
{"day": day, "product": 21 * factor, "edition": "old"}
"""
MARKDOWN = """\
```python tags=["parameters"]
day = "unset"
factor = 1
```

```python tags=["result"]
{"day": day, "product": 21 * factor, "edition": "old"}
```
"""


def report(edition: str) -> dict[str, Any]:
    """Return a notebook that tells what it was given, and which edition of it runs."""
    return notebook(
        cell('day = "unset"\nfactor = 1', "parameters"),
        cell(f'{{"day": day, "product": 21 * factor, "edition": "{edition}"}}', "result"),
    )


def generation(cloud: Cloud, uri: str) -> str:
    """Return the newest generation of an object."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    known = httpx.get(f"{cloud.storage_url}/storage/v1/b/{bucket}/o/{name}", trust_env=False).json()
    return str(known["generation"])


def newest(repository: str) -> bytes:
    """Return the newest commit of a repository, and the notebook in it."""
    with NotebookExecutionJobHook().dataform_client() as client:
        commit = newest_commit(client, repository)
        return f"{commit} ".encode() + read_repository(client, repository, commit)


def in_storage(cloud: Cloud, _: Path) -> tuple[Any, str, Callable[[], bytes]]:
    cloud.upload("gs://papers/report.ipynb", as_bytes(report("old")))
    read = lambda: cloud.download("gs://papers/report.ipynb")  # noqa: E731 - returned beside what it is about
    return "gs://papers/report.ipynb", generation(cloud, "gs://papers/report.ipynb"), read


def in_a_generation(cloud: Cloud, folder: Path) -> tuple[Any, str, Callable[[], bytes]]:
    uri, current, read = in_storage(cloud, folder)  # fake-gcs-server keeps no other one
    return f"{uri}#{current}", current, read


def in_dataform(cloud: Cloud, _: Path) -> tuple[Any, str, Callable[[], bytes]]:
    commit = cloud.commit(REPOSITORY, as_bytes(report("old")))
    return REPOSITORY, commit, lambda: newest(REPOSITORY)


def in_a_commit(cloud: Cloud, folder: Path) -> tuple[Any, str, Callable[[], bytes]]:
    _, commit, read = in_dataform(cloud, folder)
    cloud.commit(REPOSITORY, as_bytes(report("new")))
    return f"{REPOSITORY}@{commit}", commit, read


def in_a_file(_: Cloud, folder: Path) -> tuple[Any, str, Callable[[], bytes]]:
    file = folder / "report.ipynb"
    file.write_bytes(as_bytes(report("old")))
    return file.name, "", file.read_bytes


def in_a_text_file(name: str, text: str) -> Callable[..., tuple[Any, str, Callable[[], bytes]]]:
    def put(_: Emulator, folder: Path) -> tuple[Any, str, Callable[[], bytes]]:
        file = folder / name
        file.write_text(text)
        return name, "", file.read_bytes

    return put


in_a_percent_file = in_a_text_file("report.py", PERCENT)
in_a_markdown_file = in_a_text_file("report.md", MARKDOWN)


def in_a_dict(_: Cloud, __: Path) -> tuple[Any, str, Callable[[], bytes]]:
    paper = report("old")
    return paper, "", lambda: as_bytes(paper)


PUT = dict(
    zip(
        PLACES,
        [
            in_storage, in_a_generation, in_dataform, in_a_commit, in_a_file, in_a_percent_file, in_a_markdown_file,
            in_a_dict,
        ],
        strict=True,
    )
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_notebook_is_given_its_parameters_and_gives_its_results(cloud: Cloud, tmp_path: Path, place: str) -> None:
    paper, version, read = PUT[place](cloud, tmp_path)
    before = read()
    deferrable = place in {"gs", "dict"}
    parameters = {"day": "{{ ds }}", "factor": 2}
    run = task(tmp_path, notebook=paper, parameters=parameters, deferrable=deferrable)

    result = run.to_its_end()

    assert result["results"] == {"day": "2026-11-22", "product": 42, "edition": "old"}
    assert result["notebook_version"] == sent(run)["labels"]["nbjobs-notebook"]
    assert result["notebook_version"] == version if version else len(result["notebook_version"]) == 40
    executed = cloud.download(result["executed_notebook"]).decode()
    assert "injected-parameters" in executed
    assert read() == before != b""


@pytest.mark.parametrize(
    "paper", ["gs://papers/no.ipynb", "gs://nobody/no.ipynb", "gs://papers/report.ipynb#7", f"{REPOSITORY}2"]
)
def test_a_notebook_that_is_not_there_is_named(cloud: Cloud, paper: str) -> None:
    cloud.upload("gs://papers/report.ipynb", as_bytes(report("old")))
    with pytest.raises(InvalidNotebookJobError, match=f"notebook='{paper}' to give it parameters .404"):
        task(notebook=paper, parameters={"day": "x"}).execute()
    assert cloud.book() == []


def test_the_version_of_content_ignores_parameters(project: str) -> None:
    versions = set()
    for paper, day in [(report("old"), "a"), (report("old"), "b"), (report("new"), "a")]:
        run = task(notebook=paper, parameters={"day": day}, wait_for_completion=False)
        versions.add(run.execute()["notebook_version"])
    assert len(versions) == 2


def test_what_scrapbook_glues_is_a_result(project: str) -> None:
    paper = notebook(
        cell("import scrapbook as sb\nsb.glue('rows', 3)"), cell("sb.glue('best', {'name': 'Ada', 'scores': [1, 2.5]})")
    )
    result = task(notebook=paper).to_its_end()
    assert result["results"] == {"rows": 3, "best": {"name": "Ada", "scores": [1, 2.5]}}


def test_values_arrive_as_they_were_given(project: str) -> None:
    given = {"text": "a\"b\\n\n'é🚀", "none": None, "yes": True, "ratio": 0.1, "deep": {"list": [1, {"x": []}]}}
    paper = notebook(cell("pass", "parameters"), cell(f"dict({', '.join(f'{name}={name}' for name in given)})", "xcom"))
    assert task(notebook=paper, parameters=given, unknown_parameters="warn").to_its_end()["results"] == given


def test_a_date_arrives_as_its_text(project: str) -> None:
    paper = notebook(cell("day = None", "parameters"), cell("day", "result"))
    assert task(notebook=paper, parameters={"day": date(2026, 11, 22)}).to_its_end()["results"] == {
        "result": "2026-11-22"
    }


def test_a_large_notebook_runs_from_its_copy(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__STAGING_BYTES", "100")
    cloud.upload("gs://papers/large.ipynb", as_bytes(report("old")))
    run = task(notebook="gs://papers/large.ipynb", parameters={"factor": 3}, deferrable=True)
    result = run.to_its_end()
    assert result["results"]["product"] == 63
    assert result["executed_notebook"].endswith("/large.ipynb")
    assert "/nbjobs-staged/" in sent(run)["gcsNotebookSource"]["uri"]


@pytest.mark.parametrize("deferrable", [False, True], ids=["poking", "deferred"])
def test_the_sensor_gives_the_results_too(project: str, deferrable: bool, logged: Logged) -> None:
    started = task(notebook=report("old"), parameters={"factor": 4}, wait_for_completion=False).execute()
    wanted = {"task_id": "wait", "job_name": started, "poke_interval": 0.2, "deferrable": deferrable}
    ended = TaskRun(lambda: NotebookExecutionJobSensor(**wanted)).to_its_end()
    assert ended["results"] == {"day": "unset", "product": 84, "edition": "old"}
    assert ended["notebook_version"] == started["notebook_version"]
    assert ended["notebook_version"] != hashlib.sha256(b"").hexdigest()[:40]
    assert f"Executed notebook: {ended['executed_notebook']}" in logged()
