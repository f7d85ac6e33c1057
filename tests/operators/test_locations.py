"""The location of each operator is checked when the DAG is parsed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_nbjobs import operators, sensors
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from tests.support.task_runs import JOB

SCHEDULED = {name: JOB[name] for name in ("notebook", "runtime_template", "service_account", "gcs_output_uri")}

PLACE = "projects/p/locations/us-central1"
NAMED: dict[Any, dict[str, Any]] = {
    operators.GetNotebookExecutionJobOperator: {"job_name": f"{PLACE}/notebookExecutionJobs/1"},
    operators.DeleteNotebookExecutionJobOperator: {"job_name": f"{PLACE}/notebookExecutionJobs/1"},
    operators.GetNotebookScheduleOperator: {"schedule": f"{PLACE}/schedules/1"},
    operators.RunNotebookScheduleOperator: {"schedule": f"{PLACE}/schedules/1"},
    sensors.NotebookExecutionJobSensor: {"job_name": f"{PLACE}/notebookExecutionJobs/1"},
}
LOCATED: dict[Any, dict[str, Any]] = {
    operators.ListNotebookExecutionJobsOperator: {},
    operators.PruneNotebookExecutionJobsOperator: {"older_than": timedelta(days=1)},
    operators.ListNotebookSchedulesOperator: {},
    operators.CreateNotebookScheduleOperator: {"display_name": "a", "cron": "0 6 * * *", "job": SCHEDULED},
    operators.ListNotebookRuntimeTemplatesOperator: {},
    operators.CreateNotebookRuntimeTemplateOperator: {"display_name": "a"},
}


@pytest.mark.parametrize(("make", "arguments"), [*NAMED.items(), *LOCATED.items()])
def test_a_malformed_location_is_an_import_error(make: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"Task 'a': location='US Central' is not a location"):
        make(task_id="a", location="US Central", **arguments)


@pytest.mark.parametrize(("make", "arguments"), LOCATED.items())
def test_a_missing_location_is_an_import_error(make: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidNotebookJobError, match="Task 'a': location is missing"):
        make(task_id="a", **arguments)


@pytest.mark.parametrize(("make", "arguments"), [*NAMED.items(), *LOCATED.items()])
def test_a_templated_location_is_checked_in_a_run(make: Any, arguments: dict[str, Any]) -> None:
    assert make(task_id="a", location="{{ var.value.region }}", **arguments).location == "{{ var.value.region }}"


@pytest.mark.parametrize(("make", "arguments"), NAMED.items())
def test_a_whole_name_needs_no_location(make: Any, arguments: dict[str, Any]) -> None:
    assert make(task_id="a", **arguments).location is None
    assert make(task_id="b", location="", **arguments).location == ""  # as of a variable that is not set


@pytest.mark.parametrize(("make", "arguments"), NAMED.items())
def test_a_bare_id_without_a_location_is_an_import_error(make: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidNotebookJobError, match=r"Task 'a': .*location is missing"):
        make(task_id="a", **dict.fromkeys(arguments, "1"))
