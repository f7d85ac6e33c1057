"""The jobs of one project on Vertex AI or on an emulator, and the notebooks that they need: what a run works with."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeVar

from google.auth.credentials import AnonymousCredentials

from airflow_nbjobs import metrics, settings
from airflow_nbjobs.api import calls
from airflow_nbjobs.api.auth import retry_auth
from airflow_nbjobs.api.calls import Call, Page
from airflow_nbjobs.api.checks import check
from airflow_nbjobs.api.client import AsyncClient, Client, Flow
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.job import NotebookExecutionJob, Operation
from airflow_nbjobs.api.names import JobName, operation_parent, parent
from airflow_nbjobs.api.pacing import PATIENT, Patience
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.storage import storage_endpoint
from airflow_nbjobs.resources import ScheduleMethods, TemplateMethods

__all__ = ["EmulatorService", "JobService"]

T = TypeVar("T")


class JobService(ABC):
    """Notebook execution jobs of Vertex AI / Colab Enterprise, over REST, and the storage of their notebooks.

    With ``NBJOBS_EMULATOR_HOST`` set, everything goes there, without credentials. All methods that send something also
    raise :class:`~airflow_nbjobs.exceptions.CredentialsError` if there is no token, and
    :class:`~airflow_nbjobs.exceptions.InvalidNotebookJobError` if a name, a project or a location is not well formed.

    :param endpoint: address of the service, as for :class:`~airflow_nbjobs.hooks.NotebookExecutionJobHook`.
    :ivar is_temporary: whether the service and its data end with this process.
    """

    is_temporary = False

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint
        self._clients: dict[str, Client] = {}
        # No code runs at the end of each task that could close them: it may defer, be rescheduled or fail anywhere.
        weakref.finalize(self, _close, self._clients)

    @abstractmethod
    def get_credentials_and_project_id(self) -> tuple[Any, str | None]:
        """Return the credentials, and the project that is used if none is given.

        :raises CredentialsError: when they cannot be made, for some seconds or for good.
        """

    @property
    def project_id(self) -> str:
        """The project that is used if no project is given; empty if the connection has no project."""
        return self.get_credentials_and_project_id()[1] or ""

    def service_account_email(self) -> str | None:
        """Return the account that the connection's credentials are of, or ``None`` when they are a person's.

        :raises CredentialsError: if there are no credentials.
        """
        credentials, project = self.get_credentials_and_project_id()
        if settings.emulator_address() is not None:
            return f"emulator@{project}.iam.gserviceaccount.com"
        email = getattr(credentials, "service_account_email", None)
        if email == "default":  # a machine's own account is known to it once it has a token
            from google.auth.transport.requests import Request

            retry_auth(lambda: credentials.refresh(Request()))
            email = credentials.service_account_email
        return email if isinstance(email, str) and "@" in email else None

    def endpoint(self, location: str) -> Endpoint:
        """Return where requests for a location go.

        :raises InvalidNotebookJobError: when the location or a configured address is not well formed.
        """
        if emulator := settings.emulator_address():
            Endpoint.of_location(location)  # a location is checked on an emulator as elsewhere
            return Endpoint.of_emulator(emulator)
        return Endpoint.of_location(location, self._endpoint or settings.endpoint(), settings.allowed_endpoints())

    @property
    def is_at_google(self) -> bool:
        """Whether jobs are made at Google's own address: there is no emulator, and no other endpoint is configured."""
        return not (settings.emulator_address() or self._endpoint or settings.endpoint())

    def new_client(self, location: str) -> Client:
        """Return a client that is not shared: a signal handler may interrupt any request of a shared one.

        The caller closes it. Arguments and errors are those of :meth:`client`.
        """
        return Client(*self._destination(location), count=partial(metrics.count_request, "aiplatform"))

    def new_async_client(self, location: str) -> AsyncClient:
        """Return a client for an event loop. Making it may block, to get credentials and to read certificates.

        The caller closes it. Arguments and errors are those of :meth:`client`.
        """
        return AsyncClient(*self._destination(location), count=partial(metrics.count_request, "aiplatform"))

    def _destination(self, location: str) -> tuple[Endpoint, Any]:
        endpoint = self.endpoint(location)
        return endpoint, self.get_credentials_and_project_id()[0] if endpoint.is_trusted else None

    def client(self, location: str) -> Client:
        """Return the client for a location. It is made once.

        :param location: such as ``us-central1``.
        :raises CredentialsError: if the credentials cannot be made.
        :raises InvalidNotebookJobError: if the location or a configured address is not well formed.
        """
        return self._clients.get(location) or self._clients.setdefault(location, self.new_client(location))

    def close(self) -> None:
        """Close the clients. They are closed with the hook too, when no reference to it is left."""
        _close(self._clients)

    def storage_client(self) -> Client:
        """Return a client for Cloud Storage with the connection's credentials. The caller closes it.

        ``STORAGE_EMULATOR_HOST`` is honored unless the jobs are at Google: these read and write only there.

        :raises InvalidNotebookJobError: if the jobs are on an emulator whose storage address is not set.
        """
        storage, emulator = settings.storage_emulator_address(), settings.emulator_address()
        if emulator and not storage:
            raise InvalidNotebookJobError(
                f"NBJOBS_EMULATOR_HOST is {emulator}, but STORAGE_EMULATOR_HOST is not set: the notebooks of an "
                "emulator are not in Google's Cloud Storage. Set it to the second address of `nbjobs emulator`."
            )
        return self._notebook_client("storage", storage_endpoint(None if self.is_at_google else storage))

    def dataform_client(self) -> Client:
        """Return a client for Dataform with the connection's credentials. The caller closes it."""
        from airflow_nbjobs.notebooks.dataform import dataform_endpoint  # few tasks need it

        return self._notebook_client("dataform", dataform_endpoint(settings.emulator_address()))

    def _notebook_client(self, service: str, endpoint: Endpoint) -> Client:
        is_real = endpoint.is_trusted and settings.emulator_address() is None
        credentials = self.get_credentials_and_project_id()[0] if is_real else None
        return Client(endpoint, credentials, count=partial(metrics.count_request, service))

    @property
    def schedules(self) -> ScheduleMethods:
        """The methods of schedules."""
        return ScheduleMethods(self)

    @property
    def templates(self) -> TemplateMethods:
        """The methods of runtime templates."""
        return TemplateMethods(self)

    def parent(self, location: str, project_id: str | None = None) -> str:
        """Return ``projects/p/locations/l``.

        :param location: such as ``us-central1``.
        :param project_id: default the connection's project.
        :raises InvalidNotebookJobError: if there is no project, or one of the two is not well formed.
        """
        return parent(project_id or self.project_id, location)

    def create_job(
        self, job: NotebookExecutionJob, *, location: str, project_id: str | None = None, job_id: str | None = None
    ) -> Operation:
        """Create a job. It is sent again only if the service has certainly not created it.

        :param job: what to run.
        :param location: such as ``us-central1``.
        :param project_id: default the connection's project.
        :param job_id: id of the job; by default the service picks one, which is the safe way.
        :returns: the create operation. :func:`airflow_nbjobs.api.names.job_of_operation` returns the job of its name.
        :raises InvalidNotebookJobError: if the job is not valid; nothing is sent then.
        :raises ApiError: if the service refuses, or its answer is lost.
        """
        return self.client(location).send(calls.create_job(self.parent(location, project_id), check(job), job_id))

    def get_job(self, name: str, view: str | None = None, *, patience: Patience = PATIENT) -> NotebookExecutionJob:
        """Get a job.

        :param name: its whole name.
        :param view: ``NOTEBOOK_EXECUTION_JOB_VIEW_FULL`` for direct notebook content too.
        :param patience: how often and how long it is tried.
        :raises NotFoundError: if there is no such job.
        :raises ApiError: if the service refuses, or does not answer.
        """
        return self.client(JobName.parse(name).location).send(calls.get_job(name, view), patience)

    def list_jobs(
        self,
        *,
        location: str,
        project_id: str | None = None,
        filter: str | None = None,  # noqa: A002 - the API's own word
        order_by: str | None = None,
        page_size: int | None = None,
        view: str | None = None,
    ) -> Iterator[NotebookExecutionJob]:
        """Return the jobs of a location. A page is requested when its first job is needed.

        :param location: such as ``us-central1``.
        :param project_id: default the connection's project.
        :param filter: over ``notebookExecutionJob``, ``displayName`` and ``schedule``: ``displayName=~"report-.*"``.
        :param order_by: ``display_name``, ``create_time`` or ``update_time``, with ``desc`` or without.
        :param page_size: jobs in one request, 1 to 100.
        :param view: as of :meth:`get_job`.
        :raises ApiError: if the service refuses, or does not answer.
        """
        where = self.parent(location, project_id)
        call = calls.list_jobs(where, filter=filter, order_by=order_by, page_size=page_size, view=view)
        return self._pages(location, call)

    def delete_job(self, name: str) -> Operation:
        """Begin to delete a job.

        :param name: its whole name.
        :returns: the delete operation.
        :raises NotFoundError: if there is no such job.
        :raises ApiError: if the service refuses, or does not answer.
        """
        return self.client(JobName.parse(name).location).send(calls.delete_job(name))

    def get_operation(self, name: str) -> Operation:
        """Get a long-running operation.

        :param name: its whole name.
        :raises NotFoundError: if there is no such operation.
        :raises ApiError: if the service refuses, or does not answer.
        """
        return self.client(operation_parent(name)[1]).send(calls.get_operation(name))

    def list_operations(self, job_name: str) -> Iterator[Operation]:
        """Return the operations of a job. A page is requested when its first operation is needed.

        :param job_name: whole name of the job.
        :raises ApiError: if the service refuses, or does not answer.
        """
        return self._pages(JobName.parse(job_name).location, calls.list_operations(job_name))

    def _pages(self, location: str, call: Call[Page[T]]) -> Iterator[T]:
        yield from self.client(location).pages(call)  # this holds the hook, which closes its clients when it goes

    def cancel_operation(self, name: str) -> None:
        """Ask the service to cancel an operation. It may not succeed: look at the job.

        :param name: whole name of the operation.
        :raises NotFoundError: if there is no such operation.
        :raises ApiError: if the service refuses, or does not answer.
        """
        self.client(operation_parent(name)[1]).send(calls.cancel_operation(name))

    def run_flow(self, location: str, flow: Flow[T], patience: Patience = PATIENT) -> T:
        """Run a flow of several calls at a location.

        :param flow: a generator of calls and sleeps.
        :param patience: how often and how long each call is tried.
        :returns: what the flow returns.
        :raises ApiError: if a call fails and the flow does not handle it.
        """
        return self.client(location).run_flow(flow, patience)


class EmulatorService(JobService):
    """The jobs of an emulator for a process without Airflow, which asks for no connection.

    :param is_temporary: whether the emulator and its data end with this process.
    """

    def __init__(self, *, is_temporary: bool = False) -> None:
        super().__init__()
        self.is_temporary = is_temporary

    def get_credentials_and_project_id(self) -> tuple[Any, str | None]:
        """Return anonymous credentials, and ``GOOGLE_CLOUD_PROJECT`` or ``local``."""
        return AnonymousCredentials(), settings.emulator_project()  # type: ignore[no-untyped-call]  # as google-auth is


def _close(clients: dict[str, Client]) -> None:
    while clients:
        clients.popitem()[1].close()
