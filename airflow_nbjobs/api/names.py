"""Resource names: what is said to be one is matched whole, since it becomes part of a host name or a path.

Jobs are compared by their id alone (:func:`same_job`): a request may say ``projects/my-project``, and the service
answers with the project's number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = [
    "JobName",
    "check_location",
    "check_parent",
    "check_project",
    "job_name",
    "job_of_operation",
    "operation_parent",
    "parent",
    "same_job",
    "template_name",
]

_LOCATION = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# "example.com:project" is a project id of a domain; a number is a project too.
_PROJECT = r"[a-z0-9](?:[a-z0-9.:-]*[a-z0-9])?"
_ID = r"[A-Za-z0-9](?:[A-Za-z0-9_.~-]*[A-Za-z0-9_~-])?"
_PARENT = rf"projects/(?P<project>{_PROJECT})/locations/(?P<location>{_LOCATION})"
_PLACE = re.compile(_PARENT)
_JOB = re.compile(rf"{_PARENT}/notebookExecutionJobs/(?P<job_id>{_ID})")
_OPERATION = re.compile(rf"(?P<owner>{_PARENT}(?:/notebookExecutionJobs/(?P<job_id>{_ID}))?)/operations/{_ID}")
_TEMPLATE = re.compile(rf"{_PARENT}/notebookRuntimeTemplates/{_ID}")
_NO_JOB = "is not the name of a notebook execution job"
_WHOLE = "give it whole, as 'projects/my-project/locations/us-central1/notebookExecutionJobs/1234567890123456789'."


def check_location(location: object) -> str:
    """Return ``location`` when it is one, such as ``us-central1``.

    :raises InvalidNotebookJobError: otherwise. A location becomes a host name: a bad one would send a token elsewhere.
    """
    if isinstance(location, str) and re.fullmatch(_LOCATION, location):
        return location
    if location in (None, ""):
        raise InvalidNotebookJobError("location is missing: give the jobs' region, like location='us-central1'.")
    raise InvalidNotebookJobError(
        f"location={location!r} is not a location: give one in lower-case letters, digits and '-', like 'us-central1'."
    )


def check_project(project: object) -> str:
    """Return ``project`` when it is a project id or number.

    :raises InvalidNotebookJobError: otherwise.
    """
    if isinstance(project, str) and re.fullmatch(_PROJECT, project):
        return project
    raise InvalidNotebookJobError(
        f"project_id={project!r} is not a project: give an id like 'my-project', as project_id or in the connection."
    )


def parent(project: str, location: str) -> str:
    """Return ``projects/{project}/locations/{location}``.

    :raises InvalidNotebookJobError: when one of them is not well formed.
    """
    return f"projects/{check_project(project)}/locations/{check_location(location)}"


def check_parent(name: object) -> str:
    """Return ``name`` when it is ``projects/{project}/locations/{location}``.

    :raises InvalidNotebookJobError: otherwise.
    """
    if isinstance(name, str) and _PLACE.fullmatch(name):
        return name
    raise InvalidNotebookJobError(f"{name!r} is not a place of jobs: give 'projects/my-project/locations/us-central1'.")


@dataclass(frozen=True)
class JobName:
    """The name of a job, in its parts."""

    project: str
    location: str
    job_id: str

    @classmethod
    def parse(cls, name: object) -> JobName:
        """Read ``projects/{project}/locations/{location}/notebookExecutionJobs/{id}``.

        :raises InvalidNotebookJobError: when ``name`` is not exactly that.
        """
        match = _JOB.fullmatch(name) if isinstance(name, str) else None
        if match is None:
            raise InvalidNotebookJobError(f"{name!r} {_NO_JOB}: {_WHOLE}")
        return cls(**match.groupdict())

    @classmethod
    def build(cls, project: str, location: str, job_id: object) -> JobName:
        """Build a name from its parts, each of them checked.

        :raises InvalidNotebookJobError: when one of them is not well formed.
        """
        check_project(project)
        check_location(location)
        if not (isinstance(job_id, str) and re.fullmatch(_ID, job_id)):
            raise InvalidNotebookJobError(f"job_id={job_id!r} is not an id: give the last part of a job's name.")
        return cls(project, location, job_id)

    @property
    def parent(self) -> str:
        """``projects/{project}/locations/{location}``."""
        return f"projects/{self.project}/locations/{self.location}"

    def __str__(self) -> str:
        """Return the whole name."""
        return f"{self.parent}/notebookExecutionJobs/{self.job_id}"


def job_name(given: object, parent_name: Callable[[], str]) -> str:
    """Return the whole name of the job that somebody names by it, by its bare id, or by a create task's output.

    :param parent_name: returns ``projects/p/locations/l``; asked only for a bare id.
    :raises InvalidNotebookJobError: when it is none of them.
    """
    name = given.get("name") if isinstance(given, Mapping) else given
    if isinstance(name, str) and name != "None" and re.fullmatch(_ID, name):
        try:
            name = f"{parent_name()}/notebookExecutionJobs/{name}"
        except InvalidNotebookJobError as error:
            raise InvalidNotebookJobError(f"job_name={name!r} is a bare id, which needs a place. {error}") from error
    try:
        return str(JobName.parse(name))
    except InvalidNotebookJobError as error:
        raise InvalidNotebookJobError(f"job_name={given!r} {_NO_JOB}: {_why_no_job(given, name)}") from error


def _why_no_job(given: object, name: object) -> str:
    if isinstance(given, Mapping) and name is None:
        return "it has no 'name'. Give the output of a create task."
    if name in (None, "", "None"):
        return (
            "a template that finds no XCom gives that. Is the task_id in it right, and did that task run and push its "
            "result?"
        )
    if isinstance(name, str) and name.startswith("{"):
        return "it is a dict as text. Ask for its ['name'] in the template, or give the create task's .output."
    return _WHOLE


def same_job(one: str, other: str) -> bool:
    """Tell whether two names are of one job, whether they carry the project's id or its number."""
    return JobName.parse(one).job_id == JobName.parse(other).job_id


def job_of_operation(name: str) -> JobName:
    """Return the job that an operation belongs to; the service's operation names begin with it.

    :raises InvalidNotebookJobError: when the name is not an operation's, or has no job in it.
    """
    match = _match_operation(name)
    if match["job_id"] is None:
        raise InvalidNotebookJobError(f"{name!r} is an operation without a job in its name.")
    return JobName(match["project"], match["location"], match["job_id"])


def operation_parent(name: str) -> tuple[str, str]:
    """Return the project and the location of an operation.

    :raises InvalidNotebookJobError: when the name is not an operation's.
    """
    match = _match_operation(name)
    return match["project"], match["location"]


def _match_operation(name: object) -> re.Match[str]:
    match = _OPERATION.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise InvalidNotebookJobError(f"{name!r} is not the name of an operation of a notebook execution job.")
    return match


def template_name(template: str, project: str, location: str) -> str:
    """Return a runtime template's full name, whether it was given whole or as a bare id.

    :raises InvalidNotebookJobError: when it is neither, or of another location: the service wants both in one.
    """
    if isinstance(template, str) and re.fullmatch(_ID, template):
        return f"{parent(project, location)}/notebookRuntimeTemplates/{template}"
    match = _TEMPLATE.fullmatch(template) if isinstance(template, str) else None
    if match is None:
        raise InvalidNotebookJobError(
            f"runtime_template={template!r} is not a runtime template: give its id, or "
            f"'projects/{project}/locations/{location}/notebookRuntimeTemplates/ID'."
        )
    if match["location"] != location:
        raise InvalidNotebookJobError(
            f"runtime_template={template!r} is in {match['location']!r} and the job in {location!r}: "
            "a job and its runtime template must be in one location."
        )
    return template
