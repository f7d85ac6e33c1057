"""Clients for the places where notebooks are kept, with the credentials of the jobs' connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_nbjobs import settings
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.storage import storage_endpoint

if TYPE_CHECKING:
    from airflow_nbjobs.api.endpoint import Endpoint
    from airflow_nbjobs.hooks import NotebookExecutionJobHook

__all__ = ["dataform_client", "storage_client"]


def storage_client(hook: NotebookExecutionJobHook) -> Client:
    """Return a client for Cloud Storage, to be closed.

    ``STORAGE_EMULATOR_HOST`` is honoured unless the jobs are Google's: these read and write nowhere but there.

    :raises InvalidNotebookJobError: when there is an emulator, and it is not said where its storage is.
    """
    storage, emulator = settings.storage_emulator_address(), settings.emulator_address()
    if emulator and not storage:
        raise InvalidNotebookJobError(
            f"NBJOBS_EMULATOR_HOST is {emulator}, and STORAGE_EMULATOR_HOST is not set: the notebooks of an emulator "
            "are not in Google's Cloud Storage. Set it to the second address that `nbjobs emulator` prints."
        )
    return _client(hook, storage_endpoint(None if hook.is_at_google else storage))


def dataform_client(hook: NotebookExecutionJobHook) -> Client:
    """Return a client for Dataform, to be closed; an emulator serves it beside the jobs."""
    from airflow_nbjobs.notebooks.dataform import dataform_endpoint

    return _client(hook, dataform_endpoint(settings.emulator_address()))


def _client(hook: NotebookExecutionJobHook, endpoint: Endpoint) -> Client:
    is_real = endpoint.is_trusted and settings.emulator_address() is None
    return Client(endpoint, hook.get_credentials_and_project_id()[0] if is_real else None)
