"""``@task.notebook``: a function gives the parameters, a notebook runs with them, other tasks take what it reports."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from airflow.dag_processing.bundles.local import LocalDagBundle
from airflow.sdk import DAG, task

from tests.support.cloud import Cloud
from tests.support.emulators import using
from tests.support.task_runs import ACCOUNT, JOB, REGION, TEMPLATE, TaskRun
from tests.support.whole_dags import run_whole

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag

from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NotebookJobFailedError
from airflow_nbjobs.hooks import NotebookExecutionJobHook

nbjobs_emulator_session = using("simulated")
SQUARE = nbformat.v4.new_notebook(
    metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    cells=[
        nbformat.v4.new_code_cell("side = 1\nnote = ''", metadata={"tags": ["parameters"]}, id="defaults"),
        nbformat.v4.new_code_cell("{'area': side ** 2}", metadata={"tags": ["result"]}, id="area"),
    ],
)
INLINE = {**JOB, "notebook": dict(SQUARE)}


def run_of(function: Any, *args: Any, ti: dict[str, Any] | None = None, **arguments: Any) -> TaskRun:
    """Return a run of a decorated function, called in a DAG with the arguments."""
    decorated = task.notebook(**{**INLINE, **arguments})(function)
    return TaskRun(lambda: decorated(*args).operator, **(ti or {}))


def jobs(project: str) -> list[Any]:
    """Return the project's jobs, the oldest first, with their content."""
    hook = NotebookExecutionJobHook()
    found = hook.list_jobs(location=REGION, order_by="create_time", view="NOTEBOOK_EXECUTION_JOB_VIEW_FULL")
    return [job.to_wire() for job in found]


def injected(job: Any) -> str:
    """Return the source of the cell that sets the parameters; empty without one."""
    notebook = json.loads(base64.b64decode(job["directNotebookSource"]["content"]))
    tagged = [cell for cell in notebook["cells"] if "injected-parameters" in cell["metadata"].get("tags", [])]
    return "".join(tagged[0]["source"]) if tagged else ""


def report(side: int, ds: str | None = None) -> dict[str, Any]:
    return {"side": side, "note": ds}


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_notebook_gets_what_the_function_returns(cloud: Cloud, deferrable: bool) -> None:
    result = run_of(report, 3, deferrable=deferrable).to_its_end()
    assert result["state"] == "JOB_STATE_SUCCEEDED"
    (job,) = jobs(cloud.project)
    assert injected(job) == '# Parameters\nside = 3\nnote = "2026-11-22"\n'


def test_without_parameters_the_notebook_is_as_it_is(cloud: Cloud) -> None:
    run_of(lambda: None, task_id="plain").to_its_end()
    (job,) = jobs(cloud.project)
    assert injected(job) == ""


def test_arguments_are_templated_and_what_is_returned_is_not(cloud: Cloud) -> None:
    run_of(lambda day: {"note": f"{day} {{{{ ds }}}}"}, "{{ ds }}", task_id="templated").to_its_end()
    (job,) = jobs(cloud.project)
    assert injected(job) == '# Parameters\nnote = "2026-11-22 {{ ds }}"\n'


@pytest.mark.parametrize("returned", [3, "side=3", ["side"]])
def test_anything_but_a_dict_is_refused_by_name(cloud: Cloud, returned: Any) -> None:
    def report() -> Any:
        return returned

    with pytest.raises(InvalidNotebookJobError, match=f"'report' returned a {type(returned).__name__}: return a dict"):
        run_of(report).to_its_end()
    assert cloud.requests().get("create") is None


def test_the_function_is_called_once_and_not_on_resume(cloud: Cloud) -> None:
    calls = []
    run = run_of(lambda: calls.append(1), task_id="counted", deferrable=True)
    run.to_its_end()
    assert (len(run.deferrals), len(calls)) == (1, 1)


def test_a_second_attempt_after_a_resume_gets_its_parameters(cloud: Cloud) -> None:
    """The process that resumes knows nothing of the one that asked the function first."""
    cloud.fault({"job_state": "JOB_STATE_FAILED", "times": 1, "status_message": "RESOURCE_EXHAUSTED: none"})
    run = run_of(report, 3, deferrable=True, capacity_retries=1)
    assert run.to_its_end()["state"] == "JOB_STATE_SUCCEEDED"
    assert [injected(job) for job in jobs(cloud.project)] == ['# Parameters\nside = 3\nnote = "2026-11-22"\n'] * 2


@pytest.mark.parametrize(("second", "made"), [(3, 1), (4, 2)], ids=["the same", "another"])
def test_a_retry_adopts_if_the_function_returns_the_same(cloud: Cloud, second: int, made: int) -> None:
    tries = {"ti": {"max_tries": 1}, "retries": 1, "wait_for_completion": False}
    run_of(report, 3, **tries).to_its_end()
    tries["ti"] = {"max_tries": 1, "try_number": 2}
    run_of(report, second, **tries).to_its_end()
    assert len(jobs(cloud.project)) == made


def test_parameters_are_not_given_twice() -> None:
    with pytest.raises(TypeError, match=r"takes no parameters argument: the function returns them"), DAG("twice"):
        task.notebook(**INLINE, parameters={"side": 1})(report)(2)


@pytest.mark.parametrize(("asked", "pushed"), [(None, True), (True, True), (False, False)])
def test_the_result_is_many_xcoms_unless_it_shall_not(asked: bool | None, pushed: bool) -> None:
    with DAG("outputs"):
        made: Any = task.notebook(**INLINE, multiple_outputs=asked)(report)(2)
    assert made.operator.multiple_outputs is pushed


@pytest.fixture(scope="module")
def kernels() -> Iterator[Emulator]:
    """Run an emulator that executes notebooks."""
    with Emulator(cleanup_seconds=0.0) as emulator:
        yield emulator


def test_a_whole_dag_maps_overrides_and_uses_the_results(
    kernels: Emulator, airflow_database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat.write(SQUARE, tmp_path / "square.ipynb")
    (tmp_path / "squares.py").write_text(
        f"""
from airflow.sdk import DAG, task

with DAG("squares", schedule=None):
    @task.notebook(
        notebook="square.ipynb", location={REGION!r}, runtime_template={TEMPLATE!r}, service_account={ACCOUNT!r},
        gcs_output_uri="gs://squares/runs", poll_interval=0.2, deferrable=True,
    )
    def square(side: int, note: str = "") -> dict:
        return {{"side": side, "note": note}}

    @task
    def collect(result, results, mapped):
        assert result["results"] == results, (result, results)
        return [results["area"], *(each["results"]["area"] for each in mapped)]

    one = square.override(task_id="one")(2)
    mapped = square.override(deferrable=False).partial(note="{{{{ ds }}}}").expand(side=[3, 4])
    square.override(task_id="many").expand_kwargs([{{"side": 5}}])
    collect(one, one["results"], mapped)
"""
    )
    bundle = {"classpath": f"{LocalDagBundle.__module__}.LocalDagBundle", "kwargs": {"path": str(tmp_path)}}
    bundles = {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([{"name": "squares", **bundle}])}
    for name, value in {**kernels.env, **bundles, "GOOGLE_CLOUD_PROJECT": "squares"}.items():
        monkeypatch.setenv(name, value)
    kernels.upload("gs://squares/there", b"")
    bag = DagBag(tmp_path)
    assert not bag.import_errors, bag.import_errors

    run = run_whole(bag.dags["squares"])

    (collected,) = [ti for ti in run.get_task_instances() if ti.task_id == "collect"]
    assert (run.state, collected.xcom_pull(task_ids="collect")) == ("success", [4, 9, 16])
    assert [job["state"] for job in kernels.book("squares")] == ["JOB_STATE_SUCCEEDED"] * 4


def test_a_failed_notebook_fails_the_task(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_FAILED", "times": 1})
    with pytest.raises(NotebookJobFailedError):
        run_of(report, 3).to_its_end()
