"""Names are matched as a whole: nothing else becomes part of a path, a query or a host."""

from __future__ import annotations

import re

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.api.names import (
    JobName,
    check_location,
    check_parent,
    check_project,
    job_name,
    job_of_operation,
    operation_parent,
    parent,
    resource_name,
    same_job,
    template_name,
)
from airflow_nbjobs.api.schedule import Schedule
from airflow_nbjobs.api.template import NotebookRuntimeTemplate
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from tests.support.raw_server import JOB

projects = st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]|[0-9]{1,12}|example\.com:[a-z]{1,9}", fullmatch=True)
locations = st.from_regex(r"[a-z]{2,9}-[a-z]{4,9}[0-9]{1,2}|global", fullmatch=True)
ids = st.from_regex(r"[0-9]{1,19}|[a-z][a-z0-9-]{0,20}[a-z0-9]", fullmatch=True)
NASTY = [
    "..", ".", "a/b", "a/../b", "%2F", "a%2fb", "a\n", "\na", "a b", "a?b", "a#b", "a@b", "a\\b", "a\0", "", "/",
    "//evil.example", "\u0663", "\uff11\uff12", "\uff41", "a\u3002b", "\u200b", "{location}",
    "us-central1.evil.example", "us-central1:443", "-a", "a-", "é",
]  # fmt: skip
other_texts = st.text(min_size=1).filter(lambda text: not (text.isascii() and text.isalnum()))
nasty = st.sampled_from(NASTY) | other_texts
REFUSED = pytest.raises(InvalidNotebookJobError)


def full(project: str, location: str, job_id: str) -> str:
    return f"projects/{project}/locations/{location}/notebookExecutionJobs/{job_id}"


@given(projects, locations, ids, ids)
def test_names_are_read_in_their_parts(project, location, job_id, operation):
    name = JobName.parse(full(project, location, job_id))
    assert name == JobName(project, location, job_id)
    assert str(name) == full(project, location, job_id)
    assert name.parent == parent(project, location) == check_parent(name.parent)
    assert job_of_operation(f"{name}/operations/{operation}") == name
    assert operation_parent(f"{name}/operations/{operation}") == (project, location)
    assert operation_parent(f"{name.parent}/operations/{operation}") == (project, location)
    with pytest.raises(InvalidNotebookJobError, match="without a job"):
        job_of_operation(f"{name.parent}/operations/{operation}")


@pytest.mark.parametrize("text", NASTY)
def test_hostile_text_is_not_a_location(text):
    for check in (check_location, lambda text: JobName.parse(full("p", text, "5"))):
        with REFUSED:
            check(text)


# Dots, colons and dashes lead nowhere in a path, and domains have projects like "example.com:p".
@pytest.mark.parametrize("text", [text for text in NASTY if not re.fullmatch("[a-z][a-z0-9.:-]+", text)])
def test_hostile_text_is_not_a_project_or_an_id(text):
    for check in (
        check_project,
        lambda text: JobName.parse(full(text, "us-central1", "5")),
        lambda text: JobName.parse(full("p", "us-central1", text)),
    ):
        with REFUSED:
            check(text)


@pytest.mark.parametrize("value", [None, 5.5, True, b"p", ["p"], {"name": 5.5}])
def test_only_text_is_a_name(value):
    for check in (check_location, check_project, check_parent, JobName.parse, operation_parent):
        with REFUSED:
            check(value)
    with REFUSED:
        job_name(value, lambda: "projects/p/locations/l")


def test_an_id_that_native_rendering_made_a_number_is_its_text():
    assert job_name(5, lambda: "projects/p/locations/l") == "projects/p/locations/l/notebookExecutionJobs/5"


@pytest.mark.parametrize(
    "name",
    [f"{JOB}/", f"/{JOB}", f"{JOB}\n", f"{JOB}/operations/1", JOB.replace("p/", "p//"), JOB.upper(), "", "5"],
)
def test_only_the_full_name_of_a_job_is_parsed(name):
    with pytest.raises(InvalidNotebookJobError, match="is not the name of a notebook execution job"):
        JobName.parse(name)


ENDPOINT = "https://us-central1-aiplatform.googleapis.com"
CALLS = {
    "create": lambda text: calls.create_job(text, NotebookExecutionJob(), text),
    "get": lambda text: calls.get_job(text, view=text),
    "list": lambda text: calls.list_jobs(text, filter=text, order_by=text, view=text),
    "delete": calls.delete_job,
    "get operation": calls.get_operation,
    "list operations": calls.list_operations,
    "cancel": calls.cancel_operation,
    "create schedule": lambda text: calls.create_schedule(text, Schedule()),
    "get schedule": calls.SCHEDULES.get,
    "patch schedule": lambda text: calls.SCHEDULES.patch(Schedule(name=text), ["cron"]),
    "delete schedule": calls.SCHEDULES.delete,
    "pause schedule": calls.pause_schedule,
    "resume schedule": calls.resume_schedule,
    "list templates": lambda text: calls.TEMPLATES.list(text, filter=text, order_by=text),
    "create template": lambda text: calls.create_template(text, NotebookRuntimeTemplate(), text),
}


def request_of(call):
    with httpx.Client(base_url=ENDPOINT) as client:
        return client.build_request(call.verb, call.path, params=dict(call.query))


@pytest.mark.parametrize("make", CALLS.values(), ids=CALLS)
@given(text=nasty, place=st.sampled_from([0, 1, 3, 5, 7]))
@example(text="..", place=5)
def test_a_hostile_name_leads_no_request_elsewhere(make, text, place):
    """A hostile part in place of a good one is refused before there is a request."""
    parts = f"{JOB}/operations/7".split("/")
    for name in ("/".join([*parts[:place], text, *parts[place + 1 :]]), "/".join(parts[:-2]) + text, text):
        with REFUSED:
            call = make(name)
            # A suffix may make another good name ("5" + "1"): then it is that name, whole, and nothing else.
            assert request_of(call).url.path.removesuffix(":cancel").removesuffix("/operations") == f"/v1/{name}"
            raise InvalidNotebookJobError


@given(value=st.text(min_size=1))
@example("a&view=FULL")
@example("x#y?z")
@example("é\n\u3002%00")
def test_each_value_stays_in_its_own_parameter(value):
    list_url = request_of(calls.list_jobs("projects/p/locations/l", filter=value, order_by=value, view=value)).url
    assert list_url.host == "us-central1-aiplatform.googleapis.com"
    assert list_url.path == "/v1/projects/p/locations/l/notebookExecutionJobs"
    assert dict(list_url.params) == {"filter": value, "orderBy": value, "view": value}
    create_url = request_of(calls.create_job("projects/p/locations/l", NotebookExecutionJob(), value)).url
    assert dict(create_url.params) == {"notebookExecutionJobId": value}


def test_jobs_are_compared_by_their_id():
    assert same_job(JOB, JOB.replace("/p/", "/123/"))
    assert not same_job(JOB, JOB + "1")


SCHEDULE = "projects/p/locations/us-central1/schedules/5"


@pytest.mark.parametrize("given_", ["5", 5, SCHEDULE, {"name": SCHEDULE, "cron": "0 6 * * *"}])
@pytest.mark.parametrize("location", ["us-central1", None])
def test_a_schedule_is_named_by_id_name_or_task_output(given_, location):
    name = resource_name(given_, "schedules", lambda: "projects/p/locations/us-central1", location)
    assert str(name) == SCHEDULE
    assert name.parent == "projects/p/locations/us-central1"


@pytest.mark.parametrize("given_", [None, "", "None", {}, {"name": JOB}, JOB, f"{SCHEDULE}/", f"{SCHEDULE}\n", True])
def test_what_names_no_schedule_is_refused(given_):
    with pytest.raises(InvalidNotebookJobError, match="is not the name of a schedule: give its id, or 'projects/"):
        resource_name(given_, "schedules", lambda: "projects/p/locations/us-central1", None)


def test_a_schedule_of_another_location_is_refused():
    problem = "schedule=.* is in 'us-central1', and location='europe-west4' is another one: give the location"
    with pytest.raises(InvalidNotebookJobError, match=problem):
        resource_name(SCHEDULE, "schedules", lambda: "projects/p/locations/europe-west4", "europe-west4")


@pytest.mark.parametrize("given_", ["5", JOB, {"name": JOB, "state": "JOB_STATE_QUEUED"}])
def test_a_job_is_named_by_id_name_or_task_output(given_):
    assert job_name(given_, lambda: "projects/p/locations/us-central1") == JOB


def test_a_bare_id_needs_a_location():
    with pytest.raises(InvalidNotebookJobError, match=r"job_name='5' is a bare id.* location is missing"):
        job_name("5", lambda: parent("p", ""))


TEMPLATE = "projects/p/locations/us-central1/notebookRuntimeTemplates/9"


@pytest.mark.parametrize("template", ["9", 9, TEMPLATE])
def test_a_template_is_named_by_id_or_name(template):
    assert template_name(template, "p", "us-central1") == TEMPLATE


@pytest.mark.parametrize("template", ["", "a/b", f"{TEMPLATE}\n", 9.0, "None", None])
def test_a_bad_template_is_refused_with_the_remedy(template):
    with pytest.raises(
        InvalidNotebookJobError, match=r"runtime_template=.*is not the name of a runtime template: give its id"
    ):
        template_name(template, "p", "us-central1")


def test_a_template_of_another_location_is_refused():
    with pytest.raises(InvalidNotebookJobError, match="must be in one location"):
        template_name(TEMPLATE, "p", "europe-west4")
