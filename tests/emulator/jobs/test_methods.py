"""Requests and answers on the wire, also those that no client library sends."""

from __future__ import annotations

import pytest


def error(answer, code=400, status="INVALID_ARGUMENT"):
    found = answer.json()["error"]
    assert (answer.status_code, found["code"], found["status"]) == (code, code, status), found
    return found["message"]


@pytest.mark.parametrize(
    ("fields", "name", "path"),
    [
        ({"parameters": {"day": "today"}}, "parameters", ""),
        ({"customEnvironmentSpec": {"machineSpec": {"gpu": 1}}}, "gpu", ".custom_environment_spec.machine_spec"),
    ],
)
def test_an_unknown_field_is_refused_and_named(api, fields, name, path):
    message = error(api.post(api.job(**fields)))
    text = f"Unknown name \"{name}\" at 'notebook_execution_job{path}': Cannot find field."
    assert message == f"Invalid JSON payload received. {text}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("displayName", 1),
        ("labels", ["a"]),
        ("labels", {"a": 1}),
        ("executionTimeout", "1h"),
        ("executionTimeout", 60),
        ("executionTimeout", "999999999999s"),
        ("directNotebookSource", {"content": "no base64!"}),
        ("directNotebookSource", "bm8="),
        ("customEnvironmentSpec", {"machineSpec": {"acceleratorType": "ABACUS"}}),
        ("customEnvironmentSpec", {"machineSpec": {"acceleratorType": 99}}),
        ("customEnvironmentSpec", {"machineSpec": {"acceleratorCount": 2**31}}),
        ("customEnvironmentSpec", {"persistentDiskSpec": {"diskSizeGb": "ten"}}),
        ("customEnvironmentSpec", {"networkSpec": {"enableInternetAccess": "yes"}}),
        ("jobState", "JOB_STATE_DREAMING"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(api, field, value):
    assert error(api.post(api.job(**{field: value}))).startswith("Invalid value at 'notebook_execution_job.")


def test_other_spellings_are_accepted_and_answered_in_googles_form(api):
    machine = {"accelerator_type": 5, "acceleratorCount": "1", "machine_type": "n1-standard-4"}
    spec = {"machine_spec": machine, "persistentDiskSpec": {"diskSizeGb": 100}, "networkSpec": {}}
    job = {"display_name" if key == "displayName" else key: value for key, value in api.job().items()}
    answer = api.http.post(api.jobs, json={**job, "customEnvironmentSpec": None, "custom_environment_spec": spec})
    found = api.get(answer.json()["name"].partition("/operations/")[0])
    assert found["displayName"] == "a job"
    assert found["customEnvironmentSpec"] == {
        "machineSpec": {"acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1, "machineType": "n1-standard-4"},
        "persistentDiskSpec": {"diskSizeGb": "100"},
        "networkSpec": {},
    }


def test_read_only_fields_are_ignored(api):
    name = api.create(name="projects/p/locations/l/notebookExecutionJobs/1", jobState="JOB_STATE_FAILED")
    assert not name.endswith("/1")
    assert api.history(name)[0] == "QUEUED"


@pytest.mark.parametrize(
    ("extra", "oneof"),
    [
        ({"gcsNotebookSource": {"uri": "gs://bucket/x.ipynb"}}, "notebook_source"),
        ({"notebookRuntimeTemplateResourceName": "x"}, "environment_spec"),
        ({"executionUser": "me@example.com"}, "execution_identity"),
    ],
)
def test_two_of_one_kind_are_refused(api, extra, oneof):
    assert f"oneof field '{oneof}' is already set" in error(api.post(api.job(**extra)))


def test_a_workbench_runtime_runs_as_a_service_account(api):
    assert "Colab" in error(api.post(api.job(workbenchRuntime={}, executionUser="me@example.com", serviceAccount=None)))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"a": NaN}', "application/json"),
        (b"{}", "text/plain"),
        (b"[" * 200_000, "application/json"),
    ],
    ids=["incomplete", "a list", "NaN", "text", "nested"],
)
def test_a_body_that_is_not_a_json_object_is_refused(api, content, kind):
    error(api.http.post(api.jobs, content=content, headers={"Content-Type": kind}))


def test_a_body_over_64_mib_is_refused(api):
    headers = {"Content-Type": "application/json"}
    message = error(api.http.post(api.jobs, content=b" " * (64 * 2**20 + 1), headers=headers))
    assert message == "Request payload size exceeds the limit: 67108864 bytes."


@pytest.mark.parametrize("query", [{"fields": "name"}, {"page": "1"}])
def test_an_unknown_query_parameter_is_refused(api, query):
    assert "Cannot bind query parameter" in error(api.http.get(api.jobs, params=query))


def test_the_parameters_of_every_method_are_accepted(api):
    query = {"alt": "json", "$alt": "json;enum-encoding=int", "prettyPrint": "false", "key": "k", "quotaUser": "me"}
    assert api.http.get(api.jobs, params=query).json() == {}


@pytest.mark.parametrize("parameter", ["notebookExecutionJobId", "notebook_execution_job_id"])
def test_a_job_id_has_two_spellings_and_may_be_empty(api, parameter):
    assert "/notebookExecutionJobs/mine/" in api.post(api.job(), **{parameter: "mine"}).json()["name"]
    error(api.post(api.job(), **{parameter: "mine"}), 409, "ALREADY_EXISTS")
    assert "/notebookExecutionJobs/mine/" not in api.post(api.job(), **{parameter: ""}).json()["name"]


def test_an_id_is_free_again_after_its_job_was_deleted(api):
    name = api.post(api.job(), notebookExecutionJobId="again").json()["name"].partition("/operations/")[0]
    api.reaches(name)
    api.http.delete(name)
    assert api.post(api.job(), notebookExecutionJobId="again").status_code == 200


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_an_unknown_http_method_is_refused_in_googles_shape(api, verb):
    error(api.http.request(verb, api.jobs), 405, "UNIMPLEMENTED")


@pytest.mark.parametrize("field", ["schedule", "scheduleResourceName", "schedule_resource_name"])
def test_a_schedule_is_filtered_by_all_its_names(api, field):
    place = f"projects/{api.project}/locations/us-central1"
    name = api.create(scheduleResourceName=f"{place}/schedules/77")
    other = api.create(scheduleResourceName=f"{place}/schedules/88")
    plain = api.create()
    of_number = f"{name.partition('/notebookExecutionJobs/')[0]}/schedules"
    for spelled in ("77", f"{place}/schedules/77", f"{of_number}/77"):
        assert listed(api, f'{field}="{spelled}"') == {name}
        assert listed(api, f'{field}!="{spelled}"') == {other, plain}
    for pattern in ("7+", f"{place}/schedules/7.", f"{of_number}/7.", "projects/.*/schedules/77"):
        assert listed(api, f'{field}=~"{pattern}"') == {name}
    assert listed(api, f'{field}=~"{place}/schedules/.*"') == {name, other}
    assert listed(api, f'{field}=~"{place}/schedules/7"') == set()


def listed(api, text):
    """Return the names of the jobs that a filter finds."""
    return {
        job["name"] for job in api.http.get(api.jobs, params={"filter": text}).json().get("notebookExecutionJobs", [])
    }


@pytest.mark.parametrize("path", ["", "/", "/v1", "projects/p/locations/l/pipelineJobs", "_emulator/nothing"])
def test_an_unknown_path_is_not_found_in_googles_shape(api, path):
    error(api.http.get(path), 404, "NOT_FOUND")


def test_an_additional_slash_is_not_found(api):
    error(api.http.post(f"{api.jobs}/", json=api.job()), 404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["projects/P!/locations/us-central1", "projects/p/locations/US_1"])
def test_an_invalid_project_or_location_is_refused(api, path):
    error(api.http.get(f"{path}/notebookExecutionJobs"))


def test_head_answers_like_get_without_a_body(api):
    answer = api.http.head(api.jobs)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"


def test_one_connection_serves_many_requests(api):
    streams = {id(api.http.get(api.jobs).extensions["network_stream"]) for _ in range(3)}
    assert len(streams) == 1


@pytest.mark.parametrize("size", ["x", "1.5", "-1", "101"])
def test_an_invalid_page_size_is_refused(api, size):
    error(api.http.get(api.jobs, params={"pageSize": size}))


def test_jobs_are_ordered_by_the_requested_time(api):
    api.emulator.fault({"job_state": "JOB_STATE_RUNNING", "times": 2})
    first, second = api.create(), api.create()
    for name in (first, second):
        api.reaches(name, "RUNNING")
    api.emulator.play(first, "JOB_STATE_SUCCEEDED")
    for field, found in (("create_time", [first, second]), ("update_time", [second, first])):
        for order, names in ((field, found), (f"{field} desc", found[::-1])):
            jobs = api.http.get(api.jobs, params={"orderBy": order}).json()["notebookExecutionJobs"]
            assert [job["name"] for job in jobs] == names


def test_the_full_view_of_a_list_has_the_notebooks(api):
    api.create()
    (job,) = api.http.get(api.jobs, params={"view": "NOTEBOOK_EXECUTION_JOB_VIEW_FULL"}).json()["notebookExecutionJobs"]
    assert job["directNotebookSource"] == api.job()["directNotebookSource"]
    error(api.http.get(api.jobs, params={"view": "EVERYTHING"}))


def test_another_projects_jobs_are_not_listed(api):
    name = api.create()
    other = api.jobs.replace(api.project, "somebody-else")
    assert api.http.get(other).json() == {}
    error(api.http.get(f"{other}/{name.rpartition('/')[2]}"), 404, "NOT_FOUND")


@pytest.mark.parametrize("prefix", ["/v1", "/ui"])
def test_operations_are_served_under_both_of_googles_paths(api, prefix):
    operation = api.operation(api.create())
    assert api.http.get(f"{api.emulator.url}{prefix}/{operation['name']}").json()["name"] == operation["name"]
