"""The life of a job."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re

import psutil
import pytest

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.emulator.faults import Faults
from airflow_nbjobs.emulator.jobs import model
from airflow_nbjobs.emulator.jobs.book import Book
from airflow_nbjobs.emulator.jobs.model import Jobs
from airflow_nbjobs.emulator.resources import Parent, new_id
from tests.support.emulator_api import Api, notebook
from tests.support.waiting import eventually

SLEEP = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(300)  # {mark}'])"


def stored(uri, **fields):
    return {"directNotebookSource": None, "gcsNotebookSource": {"uri": uri, **fields}}


def processes(mark):
    return [process for process in psutil.process_iter(["cmdline"]) if mark in " ".join(process.info["cmdline"] or [])]


def test_a_job_goes_through_its_states_in_order(api):
    name = api.create()
    api.reaches(name)
    assert api.history(name) == ["QUEUED", "PENDING", "RUNNING", "SUCCEEDED"]
    (entry,) = api.emulator.book(api.project)
    times = [step["time"] for step in entry["history"]]
    assert times == sorted(set(times))
    assert api.get(name)["updateTime"] == times[-1]


@pytest.mark.parametrize(("folder", "output"), [("a/b/", "report.ipynb"), ("", "model.py")])
def test_the_executed_notebook_keeps_its_sources_name(api, folder, output):
    source = f"gs://emulator-source/{folder}{output}"
    api.emulator.upload(source, notebook("print('hello')"))
    name = api.create(**stored(source), gcsOutputUri="gs://emulator-output/runs/")
    api.reaches(name, "SUCCEEDED")
    executed = api.emulator.download(f"gs://emulator-output/runs/{name.rpartition('/')[2]}/{output}")
    assert json.loads(executed)["cells"][0]["outputs"][0]["text"] == ["hello\n"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (stored("gs://emulator-output/none.ipynb"), "gs://emulator-output/none.ipynb"),
        (stored("gs://no-such-bucket/x.ipynb"), "no-such-bucket"),
        (stored("gs://emulator-output/none.ipynb", generation="5"), "none.ipynb"),
        ({"directNotebookSource": {"content": "bm8="}}, "notebook"),
        ({"kernelName": "cobol"}, "cobol"),
        ({"gcsOutputUri": "gs://no-such-bucket"}, "no-such-bucket"),
    ],
)
def test_a_notebook_that_cannot_be_read_run_or_written_fails_the_job(api, fields, message):
    job = api.reaches(api.create(**fields))
    assert job["jobState"] == "JOB_STATE_FAILED"
    assert message in job["status"]["message"]


def test_a_missing_output_bucket_is_reported_with_ways_to_create_it(api):
    job = api.reaches(api.create(gcsOutputUri="gs://no-such-bucket/runs"), "FAILED")
    assert "`nbjobs emulator --bucket no-such-bucket`" in job["status"]["message"]
    assert "`nbjobs_emulator.create_bucket('no-such-bucket')`" in job["status"]["message"]


def test_an_unknown_region_is_a_warning_once(caplog):
    with Emulator(runner="simulated", seconds=0) as emulator:
        for location in ("us-centrall1", "us-centrall1", "us-central1"):
            with Api(emulator, "regions") as api:
                api.jobs = api.jobs.replace("us-central1", location)
                api.create()
    warnings = [record.getMessage() for record in caplog.records if record.name == model.__name__]
    assert warnings == [
        "Location 'us-centrall1' is not a known region of Colab Enterprise; did you mean 'us-central1'?"
    ]


def test_only_the_templates_that_exist_are_accepted():
    names = [f"projects/p/locations/us-central1/notebookRuntimeTemplates/{number}" for number in (1, 2, 3)]
    with Emulator(runner="simulated", templates=["1", "2"]) as emulator, Api(emulator, "templates") as api:
        answers = [
            api.post(api.job(customEnvironmentSpec=None, notebookRuntimeTemplateResourceName=name)) for name in names
        ]
        assert api.post(api.job()).status_code == 200
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    text = f"{names[2]} does not exist. The runtime templates of this emulator are: 1, 2."
    assert answers[2].json()["error"]["message"] == text


@pytest.mark.parametrize("way", ["cancel", "delete"])
def test_ending_a_job_ends_its_kernel_and_its_children_first(api, way):
    mark = f"mark-{api.project}"
    name = api.create(SLEEP.format(mark=mark))
    eventually(lambda: processes(mark), within_seconds=30)
    operation = api.operation(name)["name"]
    if way == "cancel":
        assert api.http.post(f"{operation}:cancel").json() == {}
        api.reaches(name, "CANCELLED")
    else:
        answer = api.http.delete(name).json()
        assert "done" not in answer
        eventually(lambda: api.http.get(answer["name"]).json().get("done"), within_seconds=30)
        assert api.http.get(name).status_code == 404
    assert processes(mark) == []
    assert api.history(name)[-2:] == ["CANCELLING", "CANCELLED"]
    assert api.http.get(operation).json()["error"]["code"] == 1


def test_a_queued_job_can_be_cancelled_and_takes_no_slot():
    with Emulator(runner="simulated", seconds=0.3, concurrency=1) as emulator, Api(emulator, "waiting") as api:
        names = [api.create() for _ in range(3)]
        api.http.post(f"{api.operation(names[1])['name']}:cancel")
        api.reaches(names[2])
        assert [api.history(name)[1] for name in names] == ["PENDING", "CANCELLING", "PENDING"]


def test_no_more_jobs_run_at_once_than_asked():
    with Emulator(runner="simulated", seconds=0.2, concurrency=2) as emulator, Api(emulator, "bound") as api:
        names = [api.create() for _ in range(6)]
        for name in names:
            api.reaches(name)
        steps = sorted((step["time"], step["state"]) for entry in emulator.book() for step in entry["history"])
    running = most = 0
    for _, state in steps:
        running += {"JOB_STATE_RUNNING": 1, "JOB_STATE_SUCCEEDED": -1}.get(state, 0)
        most = max(most, running)
    assert most == 2


def test_by_default_as_many_jobs_run_as_there_are_cores(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    with Emulator() as emulator, Api(emulator, "cores") as api:
        first = api.create("import time; time.sleep(300)")
        api.reaches(first, "RUNNING")
        second = api.create(directNotebookSource=None, gcsNotebookSource={"uri": "gs://nowhere/x.ipynb"})
        api.http.delete(first)
        api.reaches(second, "FAILED")
        times = {(entry["id"], step["state"]): step["time"] for entry in emulator.book() for step in entry["history"]}
    first, second = (name.rpartition("/")[2] for name in (first, second))
    assert times[first, "JOB_STATE_CANCELLING"] <= times[second, "JOB_STATE_PENDING"]


def test_the_create_operation_is_done_some_time_after_its_job():
    with Emulator(runner="simulated", seconds=0, cleanup_seconds=1) as emulator, Api(emulator, "cleanup") as api:
        name = api.create()
        ended = api.reaches(name)["updateTime"]
        assert "done" not in api.operation(name)
        final = eventually(lambda: (found := api.operation(name)).get("done") and found)
    assert final["response"]["jobState"] == "JOB_STATE_SUCCEEDED"
    assert final["metadata"]["genericMetadata"]["updateTime"] > ended


def test_an_unfinished_delete_is_finished_after_a_restart(tmp_path):
    parent = Parent.parse("half", "us-central1")
    with contextlib.closing(Book(tmp_path / "jobs.sqlite")) as book:
        job = book.add_job(parent, "half-deleted", {"displayName": "a job"}, new_id())
        book.move(job.seq, "JOB_STATE_CANCELLING")
        book.add_operation(job.seq, "delete", "7")
    with Emulator(data=tmp_path, runner="simulated") as emulator, Api(emulator, "half") as api:
        assert api.http.get(job.name).status_code == 404
        assert api.http.get(f"{job.name}/operations/7").json()["done"] is True


def test_jobs_objects_and_the_book_survive_a_restart(tmp_path):
    options = {"data": tmp_path, "cleanup_seconds": 0}
    with Emulator(**options) as emulator, Api(emulator, "kept") as api:
        emulator.upload("gs://emulator-output/kept", b"kept")
        ended, active = api.create(), api.create("import time; time.sleep(300)")
        api.reaches(ended)
        api.reaches(active, "RUNNING")
        before, job = api.get(active)["updateTime"], api.get(ended)
    with Emulator(**options) as emulator, Api(emulator, "kept") as api:
        assert emulator.download("gs://emulator-output/kept") == b"kept"
        assert api.get(ended) == job
        lost = api.get(active)
        assert lost["jobState"] == "JOB_STATE_FAILED"
        assert re.search("emulator stopped while this job was RUNNING", lost["status"]["message"])
        assert lost["updateTime"] > before
        assert api.operation(active)["response"]["jobState"] == "JOB_STATE_FAILED"
        assert [entry["name"] for entry in emulator.book()] == [ended, active]


@pytest.mark.parametrize("how", ["cancel", "delete"])
async def test_a_job_cancelled_while_it_moves_on_is_cancelled(tmp_path, how):
    source = asyncio.get_running_loop().create_future()

    async def execute(job, running):
        await source
        running()

    with contextlib.closing(Book(tmp_path / "jobs.sqlite")) as book:
        jobs, parent = Jobs(book, execute, Faults(), concurrency=1, cleanup_seconds=0), Parent.parse("p", "l")
        operation = jobs.create(parent, "a", {"displayName": "a"})["name"].rpartition("/")[2]
        await asyncio.sleep(0)
        assert book.find(parent, "a").state == "JOB_STATE_PENDING"
        source.set_result(None)
        jobs.cancel(parent, "a", operation) if how == "cancel" else jobs.delete(parent, "a")
        for _ in range(5):  # as many turns as it takes to end
            await asyncio.sleep(0)
        job = book.find(parent, "a", deleted=True)
    assert (job.state, job.status) == ("JOB_STATE_CANCELLED", None)
