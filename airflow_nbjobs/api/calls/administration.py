"""Calls of IAM and of Service Usage, which ``nbjobs doctor`` asks about a project.

Methods and fields: discovery documents ``iam.v1``, ``serviceusage.v1`` and, for quotas, ``serviceusage.v1beta1``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_nbjobs.api.calls.call import Call, Page
from airflow_nbjobs.api.names import check_project

__all__ = ["Quota", "list_quotas", "own_permissions", "service_state"]


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


@dataclass(frozen=True)
class Quota:
    """What a project may use of a service.

    :ivar display_name: as the console shows it.
    :ivar limits: by region; that of the key ``""`` is for all other regions. -1 means unlimited.
    """

    display_name: str
    limits: dict[str, int]


def list_quotas(project: str, service: str) -> Call[Page[Quota]]:
    """Return the quotas of a service, one page.

    :param project: id or number.
    :param service: such as ``aiplatform.googleapis.com``.
    """
    path = f"/v1beta1/projects/{check_project(project)}/services/{service}/consumerQuotaMetrics"
    return Call("GET", path, Page.reader("metrics", _quota))


def _quota(metric: dict[str, Any]) -> Quota:
    limits: dict[str, int] = {}
    for limit in metric.get("consumerQuotaLimits", []):
        for bucket in limit.get("quotaBuckets", []):
            limits.setdefault(bucket.get("dimensions", {}).get("region", ""), int(bucket["effectiveLimit"]))
    return Quota(str(metric.get("displayName", "")), limits)
