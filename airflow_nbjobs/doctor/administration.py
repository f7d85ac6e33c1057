"""Checks of what administrators set: APIs, quotas, and who may run notebooks as an account."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_nbjobs import settings
from airflow_nbjobs.api.calls.administration import list_quotas, own_permissions, service_state
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.doctor.findings import BRIEF, Finding, Verdict, asked
from airflow_nbjobs.hooks import NotebookExecutionJobHook

__all__ = ["examine_administration"]

_SERVICES = {
    "aiplatform.googleapis.com": "notebook jobs",
    "compute.googleapis.com": "their machines",
    "dataform.googleapis.com": "notebooks in repositories",
}
_REQUEST_QUOTAS = re.compile(r"resource management.* requests|job or long.running operation requests", re.IGNORECASE)
"""The display names that colab/docs/quotas has for the requests of notebook jobs."""


def examine_administration(
    hook: NotebookExecutionJobHook, project: str, location: str, account: str | None
) -> Iterator[Finding]:
    """Check the APIs and quotas of a project, and the account that runs notebooks.

    :param hook: of the connection.
    :param project: id or number.
    :param location: region of the jobs.
    :param account: email; ``None`` if it is not known.
    """
    with _administration(hook, "serviceusage") as client:
        for name in _SERVICES:
            yield _service(client, project, name)
        yield _quotas(client, project, location)
    if account:
        with _administration(hook, "iam") as client:
            yield _account(client, account)


def _administration(hook: NotebookExecutionJobHook, service: str) -> Client:
    emulator = settings.emulator_address()
    if emulator:
        return Client(Endpoint.of_emulator(emulator), None)
    endpoint = Endpoint(f"https://{service}.googleapis.com", is_trusted=True)
    return Client(endpoint, hook.get_credentials_and_project_id()[0])


def _service(client: Client, project: str, name: str) -> Finding:
    check = f"API {name.partition('.')[0]}"
    enable = f"Enable it: `gcloud services enable {name} --project={project}`. It is for {_SERVICES[name]}."

    def answered(state: str) -> Finding | str:
        if state == "ENABLED":
            return "enabled"
        # Only notebooks in repositories need Dataform.
        verdict = Verdict.UNKNOWN if name.startswith("dataform") else Verdict.BAD
        return Finding(check, verdict, state.lower(), enable)

    ask = service_state(project, name)
    grant = f"To see it here, grant roles/serviceusage.serviceUsageViewer. {enable}"
    return asked(check, lambda: client.send(ask, BRIEF), answered, grant=grant, is_optional=True)


def _quotas(client: Client, project: str, location: str) -> Finding:
    check, service = "quotas", "aiplatform.googleapis.com"

    def ask() -> dict[str, int]:
        listed = client.pages(list_quotas(project, service), BRIEF)
        found = {each.display_name: each.limits for each in listed if _REQUEST_QUOTAS.search(each.display_name)}
        limits = {name: by.get(location, by.get("")) for name, by in found.items()}
        return {name: limit for name, limit in limits.items() if limit is not None and limit >= 0}

    def answered(limits: dict[str, int]) -> Finding | str:
        where = f"https://console.cloud.google.com/iam-admin/quotas?project={project}&service={service}"
        if not limits:
            return Finding(check, Verdict.UNKNOWN, "no limit of requests was found", f"Look at {where}.")
        detail = "; ".join(f"{name}: {limit} a minute" for name, limit in limits.items())
        watching = settings.requests_per_minute()
        lowest = min((limit for name, limit in limits.items() if name.lower().startswith("resource")), default=watching)
        if watching <= lowest:
            return detail
        found = f"{detail}; each triggerer may send {watching}"
        return Finding(check, Verdict.BAD, found, f"Lower [nbjobs] requests_per_minute, or ask for a quota: {where}.")

    grant = f"To see them here, grant the connection's account roles/servicemanagement.quotaViewer on {project}."
    return asked(check, ask, answered, grant=grant, is_optional=True)


def _account(client: Client, account: str) -> Finding:
    check, needed = "service account", "iam.serviceAccounts.actAs"
    grant = f"Grant the connection's account roles/iam.serviceAccountUser on {account}."

    def answered(permissions: set[str]) -> Finding | str:
        if needed in permissions:
            return f"{account} exists, and notebooks may run as it"
        return Finding(check, Verdict.BAD, f"the connection's account may not run notebooks as {account}", grant)

    ask = own_permissions(account, [needed])
    missing = f"The account {account} does not exist. Create it, or give another one."
    return asked(check, lambda: client.send(ask, BRIEF), answered, grant=grant, missing=missing, is_optional=True)
