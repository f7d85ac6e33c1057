"""The two methods. A fault plays a refusal: the emulator has no accounts and no permissions."""

from __future__ import annotations

from typing import Any

from airflow_nbjobs.emulator.errors import invalid
from airflow_nbjobs.emulator.http import MethodRequest, MethodRoute
from airflow_nbjobs.emulator.resources import project_number


def routes() -> list[MethodRoute]:
    """Return the routes of both."""
    account = "/v1/projects/{project}/serviceAccounts/{account}:testIamPermissions"
    return [
        (account, "POST", "test_account_permissions", test_account_permissions),
        ("/v1/projects/{project}/services/{service}", "GET", "get_service", get_service),
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
