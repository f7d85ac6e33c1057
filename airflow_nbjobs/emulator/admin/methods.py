"""The methods. A fault plays a refusal: the emulator has no accounts and no permissions."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow_nbjobs.emulator.errors import invalid
from airflow_nbjobs.emulator.http import MethodRequest, MethodRoute
from airflow_nbjobs.emulator.resources import project_number

_QUOTAS = {
    "Resource management (CRUD) requests": ("crud_requests", 600),
    "Job or long-running operation requests": ("job_lro_requests", 60),
}
"""The quotas that colab/docs/quotas names: the name of each metric, which is an assumption, and its limit a minute."""


def routes() -> list[MethodRoute]:
    """Return the routes."""
    account = "/v1/projects/{project}/serviceAccounts/{account}:testIamPermissions"
    return [
        (account, "POST", "test_account_permissions", test_account_permissions),
        ("/v1/projects/{project}/services/{service}", "GET", "get_service", get_service),
        ("/v1beta1/projects/{project}/services/{service}/consumerQuotaMetrics", "GET", "list_quotas", list_quotas),
    ]


async def test_account_permissions(call: MethodRequest) -> dict[str, Any]:
    """Answer with all of the permissions that were asked about."""
    asked = call.body.get("permissions") if isinstance(call.body, dict) else None
    if not isinstance(asked, list) or not all(isinstance(each, str) for each in asked):
        raise invalid("permissions", "permissions must be a list of strings.")
    return {"permissions": asked}


async def get_service(call: MethodRequest) -> dict[str, Any]:
    """Answer with an enabled service."""
    parent = f"projects/{project_number(call.path['project'])}"
    return {"name": f"{parent}/services/{call.path['service']}", "parent": parent, "state": "ENABLED"}


async def list_quotas(call: MethodRequest) -> dict[str, Any]:
    """Answer with the documented quotas of a project that has asked for no others."""
    parent = f"projects/{project_number(call.path['project'])}/services/{call.path['service']}"
    metrics = []
    for shown, (name, limit) in _QUOTAS.items():
        metric = f"{call.path['service']}/{name}"
        full = f"{parent}/consumerQuotaMetrics/{quote(metric, safe='')}"
        bucket = {"effectiveLimit": str(limit), "defaultLimit": str(limit)}
        unit = {"name": f"{full}/limits/%2Fmin%2Fproject", "unit": "1/min/{project}", "metric": metric}
        limits = [{**unit, "quotaBuckets": [bucket]}]
        metrics.append(
            {"name": full, "metric": metric, "displayName": shown, "consumerQuotaLimits": limits, "unit": "1"}
        )
    return {"metrics": metrics}
