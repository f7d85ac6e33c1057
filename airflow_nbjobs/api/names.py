"""Resource names. Each is matched as a whole, because it becomes part of a host name or a path.

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
    "ResourceName",
    "check_id",
    "check_location",
    "check_name",
    "check_parent",
    "check_project",
    "job_name",
    "job_of_operation",
    "operation_parent",
    "parent",
    "resource_name",
    "same_job",
    "template_name",
]

_LOCATION = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# "example.com:project" is the project id of a domain; a number is a project too.
_PROJECT = r"[a-z0-9](?:[a-z0-9.:-]*[a-z0-9])?"
_ID = r"[A-Za-z0-9](?:[A-Za-z0-9_.~-]*[A-Za-z0-9_~-])?"
_PARENT = rf"projects/(?P<project>{_PROJECT})/locations/(?P<location>{_LOCATION})"
_JOB = rf"{_PARENT}/notebookExecutionJobs/(?P<job_id>{_ID})"
_COLLECTIONS = {"schedules": "schedule", "notebookRuntimeTemplates": "runtime_template"}
_OF_OTHERS = rf"(?:{'|'.join(_COLLECTIONS)})/{_ID}"
_OPERATION = rf"{_PARENT}(?:/notebookExecutionJobs/(?P<job_id>{_ID})|/{_OF_OTHERS})?/operations/{_ID}"
_NOT_A_JOB = "is not the name of a notebook execution job"
_FULL_NAME = "give it whole, as 'projects/my-project/locations/us-central1/notebookExecutionJobs/1234567890123456789'."


def _match(pattern: str, value: object, problem: str) -> re.Match[str]:
    match = re.fullmatch(pattern, value) if isinstance(value, str) else None
    if match is None:
        raise InvalidNotebookJobError(problem)
    return match


def check_id(argument: str, value: object) -> str:
    """Return an id that a user gives to a new resource, if names with it can be read.

    :raises InvalidNotebookJobError: otherwise.
    """
    problem = f"{argument}={value!r} is not an id: use letters, digits, '-' and '_'."
    return _match(_ID, value, problem)[0]


def check_location(location: object) -> str:
    """Return ``location`` if it is well formed, such as ``us-central1``.

    It becomes a host name: a bad one would send a token elsewhere.

    :raises InvalidNotebookJobError: if it is not, or is missing.
    """
    if location in (None, ""):
        raise InvalidNotebookJobError("location is missing: give the jobs' region, like location='us-central1'.")
    problem = (
        f"location={location!r} is not a location: give one in lower-case letters, digits and '-', like 'us-central1'."
    )
    return _match(_LOCATION, location, problem)[0]


def check_project(project: object) -> str:
    """Return ``project`` if it is a project id or number.

    :raises InvalidNotebookJobError: if it is not.
    """
    problem = (
        f"project_id={project!r} is not a project: give an id like 'my-project', as project_id or in the connection."
    )
    return _match(_PROJECT, project, problem)[0]


def parent(project: str, location: str) -> str:
    """Return ``projects/{project}/locations/{location}``.

    :raises InvalidNotebookJobError: if one of them is not well formed.
    """
    return f"projects/{check_project(project)}/locations/{check_location(location)}"


def check_parent(name: object) -> str:
    """Return ``name`` if it is ``projects/{project}/locations/{location}``.

    :raises InvalidNotebookJobError: if it is not.
    """
    return _match(
        _PARENT, name, f"{name!r} is not a location's name: give 'projects/my-project/locations/us-central1'."
    )[0]


@dataclass(frozen=True)
class JobName:
    """The parts of a job's name."""

    project: str
    location: str
    job_id: str

    @classmethod
    def parse(cls, name: object) -> JobName:
        """Parse ``projects/{project}/locations/{location}/notebookExecutionJobs/{id}``.

        :raises InvalidNotebookJobError: if ``name`` is anything else.
        """
        return cls(**_match(_JOB, name, f"{name!r} {_NOT_A_JOB}: {_FULL_NAME}").groupdict())

    @property
    def parent(self) -> str:
        """``projects/{project}/locations/{location}``."""
        return f"projects/{self.project}/locations/{self.location}"

    def __str__(self) -> str:
        """Return the full name."""
        return f"{self.parent}/notebookExecutionJobs/{self.job_id}"


@dataclass(frozen=True)
class ResourceName:
    """The parts of the name of a schedule or a runtime template."""

    project: str
    location: str
    collection: str
    resource_id: str

    @classmethod
    def parse(cls, name: object, collection: str) -> ResourceName:
        """Parse ``projects/{project}/locations/{location}/{collection}/{id}``.

        :param collection: ``schedules`` or ``notebookRuntimeTemplates``.
        :raises InvalidNotebookJobError: if ``name`` is anything else.
        """
        argument = _COLLECTIONS[collection]
        problem = (
            f"{argument}={name!r} is not the name of a {argument.replace('_', ' ')}: give its id, or "
            f"'projects/my-project/locations/us-central1/{collection}/1234567890123456789'."
        )
        match = _match(rf"{_PARENT}/{collection}/(?P<resource_id>{_ID})", name, problem)
        return cls(collection=collection, **match.groupdict())

    @property
    def parent(self) -> str:
        """``projects/{project}/locations/{location}``."""
        return f"projects/{self.project}/locations/{self.location}"

    def __str__(self) -> str:
        """Return the full name."""
        return f"{self.parent}/{self.collection}/{self.resource_id}"


def resource_name(given: object, collection: str, parent_name: Callable[[], str], location: str | None) -> ResourceName:
    """Return the name of a schedule or a runtime template.

    :param given: the full name, the bare id, or the output of a task that created it (a dict with ``name``).
    :param collection: ``schedules`` or ``notebookRuntimeTemplates``.
    :param parent_name: returns ``projects/p/locations/l``; called only for a bare id.
    :param location: the location that it must be in; ``None`` for any.
    :raises InvalidNotebookJobError: if ``given`` is something else, or in another location.
    """
    name = _name_in(given)
    if _is_id(name):
        name = f"{parent_name()}/{collection}/{name}"
    found = ResourceName.parse(name, collection)
    if location and found.location != location:
        raise InvalidNotebookJobError(
            f"{_COLLECTIONS[collection]}={given!r} is in {found.location!r}, and location={location!r} is another one: "
            "give the location that it is in, or leave location out."
        )
    return found


def check_name(argument: str, given: object, parent_name: Callable[[], str], location: str | None) -> None:
    """Check the name of a job, a schedule or a runtime template.

    :param argument: ``job_name``, ``schedule`` or ``runtime_template``; the others are those of :func:`resource_name`.
    :param location: not checked for ``job_name``.
    :raises InvalidNotebookJobError: if ``given`` is something else.
    """
    if argument == "job_name":
        job_name(given, parent_name)
    else:
        collection = next(name for name, of in _COLLECTIONS.items() if of == argument)
        resource_name(given, collection, parent_name, location)


def job_name(given: object, parent_name: Callable[[], str]) -> str:
    """Return the full name of a job.

    :param given: the full name, the bare id, or the output of a create task (a dict with ``name``).
    :param parent_name: returns ``projects/p/locations/l``; called only for a bare id.
    :raises InvalidNotebookJobError: if ``given`` is something else.
    """
    name = _name_in(given)
    if _is_id(name):
        try:
            name = f"{parent_name()}/notebookExecutionJobs/{name}"
        except InvalidNotebookJobError as error:
            raise InvalidNotebookJobError(f"job_name={name!r} is a bare id, which needs a place. {error}") from error
    return _match(_JOB, name, f"job_name={given!r} {_NOT_A_JOB}: {_remedy(given, name)}")[0]


def _name_in(given: object) -> object:
    """Return the name or id that was given, or that is in the output of a create task."""
    name = given.get("name") if isinstance(given, Mapping) else given
    # Native rendering of Airflow makes ids numbers.
    return str(name) if isinstance(name, int) and not isinstance(name, bool) else name


def _is_id(name: object) -> bool:
    return isinstance(name, str) and name != "None" and re.fullmatch(_ID, name) is not None


def _remedy(given: object, name: object) -> str:
    if isinstance(given, Mapping) and name is None:
        return "it has no 'name'. Give the output of a create task."
    if name in (None, "", "None"):
        return (
            "a template that finds no XCom gives that. Is the task_id in it right, and did that task run and push its "
            "result?"
        )
    if isinstance(name, str) and name.startswith("{"):
        return "it is a dict as text. Ask for its ['name'] in the template, or give the create task's .output."
    return _FULL_NAME


def same_job(one: str, other: str) -> bool:
    """Return whether two names are of the same job. One may have the project's id, the other its number."""
    return JobName.parse(one).job_id == JobName.parse(other).job_id


def job_of_operation(name: str) -> JobName:
    """Return the job that an operation belongs to; the service's operation names begin with the job's.

    :raises InvalidNotebookJobError: if the name is not an operation's, or has no job in it.
    """
    parts = _operation(name).groupdict()
    if parts["job_id"] is None:
        raise InvalidNotebookJobError(f"{name!r} is an operation without a job in its name.")
    return JobName(**parts)


def operation_parent(name: str) -> tuple[str, str]:
    """Return the project and the location of an operation.

    :raises InvalidNotebookJobError: if the name is not an operation's.
    """
    return _operation(name)["project"], _operation(name)["location"]


def _operation(name: object) -> re.Match[str]:
    return _match(_OPERATION, name, f"{name!r} is not the name of an operation.")


def template_name(template: object, project: str, location: str) -> str:
    """Return the full name of a job's runtime template.

    :param template: its full name or bare id.
    :param project: of a bare id.
    :param location: of the job. The service wants both in one location.
    :raises InvalidNotebookJobError: if it is neither, or in another location.
    """
    found = resource_name(template, "notebookRuntimeTemplates", lambda: parent(project, location), None)
    if found.location != location:
        raise InvalidNotebookJobError(
            f"runtime_template={template!r} is in {found.location!r} and the job in {location!r}: "
            "a job and its runtime template must be in one location."
        )
    return str(found)
