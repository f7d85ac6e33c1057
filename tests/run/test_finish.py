"""What a task says when its notebook fails, in real kernels."""

from __future__ import annotations

import os
import pickle
import runpy
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_nbjobs.exceptions import NotebookJobError, NotebookJobFailedError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from tests.support.cloud import Cloud
from tests.support.emulators import using
from tests.support.logged import Logged
from tests.support.papers import cell, notebook, task
from tests.support.task_runs import TaskRun

pytestmark = pytest.mark.usefixtures("brisk")
nbjobs_emulator_session = using("kernels")

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "failing_notebook.py"
FAILING = notebook(
    cell("print('loaded')\nrows = []"),
    cell("def mean(values):\n    return sum(values) / len(values)\n\n\nprint('3 files read')\nmean(rows)"),
    cell("print('never')"),
)


@pytest.mark.parametrize("deferrable", [False, True], ids=["here", "deferred"])
def test_error_and_log_name_the_failed_cell(project: str, logged: Logged, deferrable: bool) -> None:
    run = task(notebook=FAILING, deferrable=deferrable)
    with pytest.raises(NotebookJobFailedError) as failure:
        run.to_its_end()
    job_id = run.job_name.rpartition("/")[2]
    text, log = str(failure.value), logged()
    assert f"({job_id}) FAILED after " in text
    assert text.startswith("Cell 2, line 6: ZeroDivisionError: division by zero (`mean(rows)`). ")
    assert f"Executed notebook: gs://results/runs/{job_id}/content.ipynb. " in text
    assert (failure.value.cell, failure.value.ename) == (2, "ZeroDivisionError")
    assert failure.value.evalue == "division by zero"
    assert "[cell 2] | 3 files read" in log
    assert "[cell 2] | ZeroDivisionError: division by zero" in log
    assert any(line.startswith("[cell 2] | ZeroDivisionError") and "Traceback" in line for line in log)
    assert any(line.startswith("[cell 2] failed after ") for line in log)
    assert any(line.startswith("[cell 2] | ----> 6 mean(rows)") for line in log)
    assert "\x1b" not in "".join(log) + text
    assert [line for line in log if "loaded" in line or "never" in line] == []
    assert log[-1] == f"Notebook executions: {os.environ['NBJOBS_EMULATOR_HOST']}"
    assert [line for line in log if "console.cloud" in line] == []


def test_the_log_of_a_failure_leads_to_googles_console(
    project: str, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_nbjobs.run.result.emulator_url", lambda: None)  # as without an emulator
    with pytest.raises(NotebookJobFailedError) as failure:
        task(notebook=FAILING).to_its_end()
    *_, logs, executions = logged()
    job_id = failure.value.job_name.rpartition("/")[2]
    console = "https://console.cloud.google.com"
    assert logs.startswith(f"Notebook logs: {console}/logs/query?query=SEARCH%28%22{job_id}%22%29&")
    assert executions == f"Notebook executions: {console}/vertex-ai/colab/execution-jobs?project={project}"


def test_the_error_survives_pickling(project: str) -> None:
    with pytest.raises(NotebookJobFailedError) as failure:
        task(notebook=FAILING).to_its_end()
    copy = pickle.loads(pickle.dumps(failure.value))  # noqa: S301 - ours, from the line above
    assert (type(copy), str(copy), vars(copy)) == (NotebookJobFailedError, str(failure.value), vars(failure.value))


def test_a_failure_of_the_notebook_can_be_final(cloud: Cloud) -> None:
    with pytest.raises(AirflowFailException, match=r"^Cell 1, line 1: ZeroDivisionError: division by zero \(`1 / 0`\)"):
        task(notebook=notebook(cell("1 / 0")), retry_on_notebook_error=False).to_its_end()
    assert cloud.states() == ["FAILED"]


@pytest.mark.parametrize("deterministic_job_id", [False, True])
@pytest.mark.parametrize("second", [1, 2], ids=["the same try again", "a retry"])
def test_a_final_failure_is_not_run_again(cloud: Cloud, second: int, deterministic_job_id: bool) -> None:
    """Airflow 3.3.2 takes a task for dead that is resumed before the end of its first process is dealt with."""
    wanted = {"notebook": notebook(cell("1 / 0")), "retry_on_notebook_error": False, "retries": 1}
    wanted["deterministic_job_id"] = deterministic_job_id
    first = task(**wanted)
    with pytest.raises(AirflowFailException):
        first.to_its_end()
    again = task(ti={"try_number": second, "id": first.ti.id}, **wanted)
    with pytest.raises(AirflowFailException, match=r"^Cell 1, line 1: ZeroDivisionError: division by zero \(`1 / 0`\)"):
        again.to_its_end()
    assert cloud.states() == ["FAILED"]


def test_a_failure_of_a_replacement_is_final_too(cloud: Cloud) -> None:
    """The job that the retry has re-attached to disappears."""
    wanted = {"notebook": notebook(cell("1 / 0")), "retry_on_notebook_error": False, "retries": 2}
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    task(**wanted, wait_for_completion=False).execute()
    retry = task(ti={"try_number": 2}, **wanted)
    retry.when_it_has_its_job(lambda: NotebookExecutionJobHook().delete_job(retry.job_name))
    with pytest.raises(AirflowFailException, match="ZeroDivisionError"):
        retry.execute()
    assert cloud.states() == ["CANCELLED", "FAILED"]


def test_a_clear_runs_again_after_a_final_failure(cloud: Cloud) -> None:
    wanted = {"notebook": notebook(cell("1 / 0")), "retry_on_notebook_error": False, "retries": 1}
    for ti in ({"max_tries": 1}, {"max_tries": 2, "try_number": 2}):
        with pytest.raises(AirflowFailException):
            task(ti=ti, **wanted).to_its_end()
    assert cloud.states() == ["FAILED", "FAILED"]


@pytest.mark.parametrize("status", ["internal error", "does not have enough resources available"])
def test_a_failure_before_any_cell_is_run_again(cloud: Cloud, status: str) -> None:
    wanted = {"notebook": notebook(cell("1")), "retry_on_notebook_error": False, "retries": 1}
    cloud.fault({"job_state": "JOB_STATE_FAILED", "status_message": status})
    with pytest.raises(NotebookJobFailedError):
        task(**wanted).to_its_end()
    retry = task(ti={"try_number": 2}, **wanted)
    assert retry.to_its_end()["state"] == "JOB_STATE_SUCCEEDED"
    assert cloud.states() == ["FAILED", "SUCCEEDED"]


def test_a_failure_of_the_services_is_never_final(cloud: Cloud) -> None:
    cloud.fault({"job_state": "JOB_STATE_FAILED", "status_message": "<b>An</b> internal&nbsp;error"})
    with pytest.raises(NotebookJobFailedError, match="An internal error") as failure:
        task(notebook=FAILING, retry_on_notebook_error=False).to_its_end()
    assert failure.value.cell is None


@pytest.mark.parametrize(
    ("log_output", "seen"),
    [("errors", []), ("all", ["[cell 1] | first", "[cell 2] | second"]), ("none", [])],
)
def test_allowed_errors_are_counted_and_outputs_logged_as_asked(
    project: str, logged: Logged, log_output: Any, seen: list[str]
) -> None:
    paper = notebook(
        cell("print('first')"),
        cell("print('second')\n1 / 0", "raises-exception"),
        cell("print('\\x1b[31mthird\\x1b[0m\\n[cell 9] | ::group::forged')"),
    )
    assert task(notebook=paper, log_output=log_output).to_its_end()["state"] == "JOB_STATE_SUCCEEDED"
    log = logged()
    assert any("SUCCEEDED, but 1 of its cells have an error" in line for line in log)
    said = [line for line in log if "first" in line or "| second" in line]
    assert said == (seen or (["[cell 2] | second"] if log_output == "errors" else []))
    third = [line for line in log if "third" in line or "forged" in line]
    forged = "[cell 3] | [cell 9] | : :group::forged"
    assert third == (["[cell 3] | third", forged] if log_output == "all" else [])


def test_results_over_the_limit_fail_or_are_omitted(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    monkeypatch.setenv("AIRFLOW__NBJOBS__RESULT_BYTES", "100")
    paper = notebook(cell("{'small': 1, 'large': 'x' * 200}", "result"))
    first = task(notebook=paper, retries=1)
    with pytest.raises(NotebookJobError, match=r"over the limit of 100.*gs://results/.*unusable_results='omit'"):
        first.to_its_end()
    retry = task(notebook=paper, ti={"try_number": 2}, retries=1, unusable_results="omit")
    result = retry.to_its_end()
    assert (result["results"], cloud.states()) == (None, ["SUCCEEDED"])
    assert any("over the limit of 100" in line for line in logged())
    monkeypatch.setenv("AIRFLOW__NBJOBS__RESULT_BYTES", "1000")
    again = task(notebook=paper, ti={"try_number": 2}, retries=1).to_its_end()
    assert again["results"] == {"small": 1, "large": "x" * 200}


def test_the_failing_example_says_what_its_docstring_promises(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    cloud.upload("gs://nbjobs-examples/made", b"")
    monkeypatch.setenv("NBJOBS_POLL_INTERVAL", "0.2")
    run = TaskRun(lambda: runpy.run_path(str(EXAMPLE))["dag"].get_task("average"))
    with pytest.raises(AirflowFailException) as failure:
        run.to_its_end()
    text, log = str(failure.value), logged()
    assert "FAILED after " in text
    assert "Cell 3, line 7: ZeroDivisionError: division by zero (`average(readings)`). Notebook job" in text
    assert text.endswith("(No retry: retry_on_notebook_error=False.)")
    assert {"[cell 3] | 0 readings", "[cell 3] | ----> 7 average(readings)"} <= set(log)
    assert log[-1].startswith("Notebook executions: http://")


ENDS = {
    "sys.exit": ("import sys; sys.exit(3)", r"^Cell 2: SystemExit: 3\. "),
    "os._exit": ("import os; os._exit(3)", r"The kernel died while cell 2 was running\."),
    "no end": ("while True:\n    pass", r"did not finish within 6 s; it was ended while cell 2 was running\."),
}


@pytest.mark.parametrize("kind", ENDS)
def test_a_notebook_that_ends_badly_names_its_cell(cloud: Cloud, logged: Logged, kind: str) -> None:
    source, words = ENDS[kind]
    seconds = 6 if kind == "no end" else 60
    paper = notebook(cell("print('begun')"), cell(source))
    with pytest.raises(NotebookJobFailedError, match=words):
        task(notebook=paper, job_timeout=seconds, log_output="all").to_its_end()
    assert "[cell 1] | begun" in logged()
    assert "SUCCEEDED" not in cloud.states()


def test_a_fork_of_a_notebook_does_not_keep_its_task(project: str) -> None:
    paper = notebook(cell("import os\nif os.fork() == 0:\n    while True:\n        pass"), cell("1 + 1", "result"))
    assert task(notebook=paper, job_timeout=60).to_its_end()["results"] == {"result": 2}
