"""Calls of IAM and of Service Usage, which ``nbjobs doctor`` asks about a project.

Methods and fields: discovery documents ``iam.v1`` and ``serviceusage.v1``.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from airflow_nbjobs.api.calls.call import Call
from airflow_nbjobs.api.names import check_project

__all__ = ["own_permissions", "service_state"]


def own_permissions(service_account: str, permissions: Iterable[str]) -> Call[set[str]]:
    """Return which of the permissions on a service account the caller has.

    :param service_account: email.
    """
    _, _, domain = service_account.partition("@")
    project = domain.removesuffix(".iam.gserviceaccount.com") if domain.endswith(".iam.gserviceaccount.com") else "-"
    path = f"/v1/projects/{project}/serviceAccounts/{quote(service_account, safe='@')}:testIamPermissions"
    return Call("POST", path, lambda answer: set(answer.get("permissions", [])), body={"permissions": [*permissions]})


def service_state(project: str, name: str) -> Call[str]:
    """Return whether a service is ``ENABLED`` or ``DISABLED`` in a project.

    :param project: id or number.
    :param name: such as ``aiplatform.googleapis.com``.
    """
    path = f"/v1/projects/{check_project(project)}/services/{name}"
    return Call("GET", path, lambda answer: str(answer["state"]))
