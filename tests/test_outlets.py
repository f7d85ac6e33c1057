"""Asset events: what they carry, and which asset ``asset=`` names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias, TaskGroup

from airflow_nbjobs.decorators import notebook_task
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
from airflow_nbjobs.outlets import EXTRA_BYTES, event_extra
from airflow_nbjobs.sensors import NotebookExecutionJobSensor
from tests.support.emulators import using
from tests.support.logged import Logged
from tests.support.papers import cell, notebook, task
from tests.support.task_runs import JOB, TaskRun

nbjobs_emulator_session = using("kernels")

PAPER = notebook(cell("print({'visitors': 42})", "result"))
REPORT = Asset("report")


def extra_of(run: TaskRun, outlet: Any = REPORT) -> dict[str, Any]:
    """Return what a task's event of an outlet carries, as it goes through Airflow's database."""
    return dict(json.loads(json.dumps(run.outlet_events[outlet].extra)))


def expected(result: dict[str, Any], cloud: Emulator) -> dict[str, Any]:
    """Return what the event of a task with this result has to carry."""
    return {
        "name": result["name"],
        "job_id": result["name"].rpartition("/")[2],
        "state": "JOB_STATE_SUCCEEDED",
        "executed_notebook": result["executed_notebook"],
        "generation": generation_of(cloud, result["executed_notebook"]),
        "notebook_version": result["notebook_version"],
        "results": {"visitors": 42},
    }


def of_day(day: int | None) -> dict[str, Any] | None:
    return {"day": day} if day else None


def generation_of(cloud: Emulator, uri: str) -> str:
    from airflow_nbjobs.hooks import NotebookExecutionJobHook
    from airflow_nbjobs.notebooks import storage

    assert cloud.download(uri)
    with NotebookExecutionJobHook().storage_client() as client:
        return storage.get_object(client, uri).generation


@pytest.mark.parametrize("deferrable", [False, True], ids=["here", "deferred"])
@pytest.mark.parametrize(
    "given", [{"asset": "report"}, {"asset": REPORT}, {"outlets": [REPORT]}, {"asset": "report", "outlets": [REPORT]}]
)
def test_the_event_of_an_asset_carries_the_result(
    nbjobs_emulator: Emulator, given: dict[str, Any], deferrable: bool
) -> None:
    run = task(notebook=PAPER, deferrable=deferrable, **given)
    result = run.to_its_end()
    assert run.operator.outlets == [REPORT]
    assert extra_of(run) == expected(result, nbjobs_emulator)
    assert len(run.deferrals) == deferrable


def test_the_event_of_a_decorated_task_carries_the_result(nbjobs_emulator: Emulator) -> None:
    arguments = {**JOB, "notebook": PAPER, "do_xcom_push": True, "asset": "report"}
    decorated: Any = notebook_task(**arguments)(of_day)
    run = TaskRun(lambda: decorated(None).operator)
    assert extra_of(run) == {}
    result = run.to_its_end()
    assert run.operator.outlets == [REPORT]
    assert extra_of(run) == expected(result, nbjobs_emulator)


def test_the_event_of_a_sensor_carries_the_result(nbjobs_emulator: Emulator) -> None:
    result = task(notebook=PAPER).to_its_end()
    sensor = TaskRun(lambda: NotebookExecutionJobSensor(task_id="wait", job_name=result["name"], outlets=[REPORT]))
    sensor.to_its_end()
    assert extra_of(sensor) == expected(result, nbjobs_emulator)


def test_an_alias_gets_the_executed_notebook_as_its_asset(nbjobs_emulator: Emulator) -> None:
    run = task(notebook=PAPER, asset=AssetAlias("reports"))
    result = run.to_its_end()
    (event,) = run.outlet_events[AssetAlias("reports")].asset_alias_events
    assert (event.source_alias_name, event.dest_asset_key.uri) == ("reports", result["executed_notebook"])
    assert event.extra == expected(result, nbjobs_emulator)


def test_an_alias_gets_nothing_without_an_executed_notebook(nbjobs_emulator: Emulator) -> None:
    run = task(notebook=PAPER, outlets=[AssetAlias("reports"), REPORT], wait_for_completion=False)
    run.to_its_end()
    assert run.outlet_events[AssetAlias("reports")].asset_alias_events == []
    assert extra_of(run)["generation"] is None
    assert "results" not in extra_of(run)


def test_what_the_users_own_code_has_set_is_kept(nbjobs_emulator: Emulator) -> None:
    run = task(notebook=PAPER, asset="report")
    run.outlet_events[REPORT].extra = {"state": "mine", "rows": 3}
    run.to_its_end()
    assert extra_of(run)["state"] == "mine"
    assert (extra_of(run)["rows"], extra_of(run)["results"]) == (3, {"visitors": 42})


def test_a_failed_job_leaves_no_event(nbjobs_emulator: Emulator) -> None:
    run = task(notebook=notebook(cell("1 / 0")), outlets=[REPORT, AssetAlias("reports")])
    with pytest.raises(Exception, match="ZeroDivisionError"):
        run.to_its_end()
    assert len(run.outlet_events) == 0


def test_an_unknown_reference_does_not_fail_the_task(nbjobs_emulator: Emulator, logged: Logged) -> None:
    """Airflow asks its server for a reference, and here is none."""
    run = task(notebook=PAPER, outlets=[Asset.ref(name="nowhere"), REPORT, "no asset"])
    assert run.to_its_end()["results"] == {"visitors": 42}
    assert extra_of(run)["results"] == {"visitors": 42}
    assert any("nowhere" in line and "does not describe the job" in line for line in logged())


def test_large_results_are_left_out_of_events(nbjobs_emulator: Emulator, logged: Logged) -> None:
    text = "x" * EXTRA_BYTES
    run = task(notebook=notebook(cell(f"print({{'text': {text!r}}})", "result")), asset="report")
    assert run.to_its_end()["results"] == {"text": text}
    assert extra_of(run)["results"] is None
    assert "read them from the task's XCom" in extra_of(run)["results_omitted"]
    assert any("have no results" in line for line in logged())


@pytest.mark.parametrize("spare", [0, 1])
def test_an_event_is_as_large_as_it_may_be(spare: int) -> None:
    bare = {"name": "n", "state": "s", "executed_notebook": "gs://b/o", "results": ""}
    room = EXTRA_BYTES - len(json.dumps(event_extra(bare, "1")))
    extra = event_extra({**bare, "results": "x" * (room + spare)}, "1")
    assert (extra["results"] is None) == bool(spare)
    assert len(json.dumps(extra)) <= EXTRA_BYTES


@pytest.mark.parametrize(
    ("asset", "problem"),
    [
        ("report-{{ ds }}", "contains a template"),
        ("", "empty"),
        ("   ", "whitespace"),
        ("self", "prohibited"),
        ("airflow://report", "reserved"),
        ("x" * 1501, "1500"),
        (7, "is not an asset: give a name"),
        ([REPORT], "is not an asset: give a name"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_wrong_asset_is_an_import_error_of_the_dag(asset: Any, problem: str) -> None:
    with DAG("reports"), pytest.raises(InvalidNotebookJobError, match=f"asset=.*{problem}"):
        CreateNotebookExecutionJobOperator(task_id="report", **JOB, asset=asset)
    with DAG("reports"), pytest.raises(InvalidNotebookJobError, match=f"asset=.*{problem}"):
        CreateNotebookExecutionJobOperator.partial(task_id="report", **JOB, asset=asset)


def test_an_asset_needs_a_job_that_is_waited_for() -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"'report': asset='report' needs wait_for_completion=True"):
        CreateNotebookExecutionJobOperator(task_id="report", **JOB, asset="report", wait_for_completion=False)


@pytest.mark.parametrize("where", ["arguments", "defaults"])
@pytest.mark.parametrize("make", [CreateNotebookExecutionJobOperator.partial, notebook_task])
def test_a_mapped_or_decorated_task_with_an_asset_waits_too(make: Any, where: str) -> None:
    given, defaults = [{"wait_for_completion": False}, {}][:: 1 if where == "arguments" else -1]
    with (
        DAG("daily", schedule=None, default_args=defaults),
        pytest.raises(InvalidNotebookJobError, match="asset='report' needs wait_for_completion=True"),
    ):
        make(task_id="report", **JOB, asset="report", **given)


def test_a_mapped_task_has_the_asset_before_it_runs() -> None:
    """Airflow takes the outlets of a mapped task from its arguments."""
    with DAG("reports"):
        partial = CreateNotebookExecutionJobOperator.partial(task_id="report", **JOB, asset="report")
        mapped = partial.expand(parameters=[{"day": 1}, {"day": 2}])
        decorated: Any = notebook_task(**JOB, asset=REPORT, outlets=Asset("other"))(of_day)
        also = decorated.expand(day=[1, 2]).operator
    assert mapped.outlets == [REPORT]
    assert also.outlets == [Asset("other"), REPORT]


@pytest.mark.parametrize("where", ["dag", "group", "task"])
def test_a_mapped_task_has_the_asset_of_its_default_arguments(where: str) -> None:
    def defaults(name: str) -> dict[str, Any]:
        return {"asset": "report", "outlets": [Asset("other")]} if where == name else {}

    with DAG("reports", default_args=defaults("dag")), TaskGroup("group", default_args=defaults("group")):
        more = {"default_args": defaults("task")} if where == "task" else {}
        partial = CreateNotebookExecutionJobOperator.partial(task_id="report", **JOB, **more)
        decorated: Any = notebook_task(**JOB, **more)(of_day)
        for mapped in (partial.expand(parameters=[{"day": 1}]), decorated.expand(day=[1]).operator):
            assert mapped.outlets == [Asset("other"), REPORT]
