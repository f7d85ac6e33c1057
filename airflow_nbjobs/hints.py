"""Remedies for errors of the service and of notebooks, found by their messages."""

from __future__ import annotations

import re

from airflow_nbjobs import settings
from airflow_nbjobs.api.capacity import is_about_machines

__all__ = ["hint_for", "hint_for_missing"]

_NO_MACHINE = (
    "Google Cloud has no free machine of this kind, or the project has no quota for it. Use other machine types or "
    "zones as fallback_runtime_templates, ask for a larger quota, or raise capacity_retries."
)
_HINTS = {
    re.compile(r"NOTEBOOK_RUNTIME_OUT_OF_ORGANIZATION"): (
        "The runtime belongs to another organization than the caller. If its owner may see the notebook's credentials, "
        "set the label 'aiplatform.googleapis.com/notebook_runtime_out_of_org_warning' to 'ack'."
    ),
    re.compile(r"actAs|serviceAccountUser", re.IGNORECASE): (
        "Grant the connection's account roles/iam.serviceAccountUser on the account that the notebook runs as."
    ),
    re.compile(r"storage\.objects\.get", re.IGNORECASE): (
        "The service reads a notebook in Cloud Storage as the account that it runs as. Grant that account "
        "roles/storage.objectViewer on the bucket of the notebook."
    ),
    re.compile(r"gcp-sa-dataform|dataform service agent", re.IGNORECASE): (
        "Dataform's service agent must exist before a notebook in a repository can run: `gcloud beta services identity "
        "create --service=dataform.googleapis.com`."
    ),
    re.compile(r"constraints/|organi[sz]ation policy|org policy|customConstraints", re.IGNORECASE): (
        "A policy of the organization forbids this job. Ask its administrator about the constraint that is named."
    ),
    re.compile(r"StdinNotImplementedError"): (
        "Nobody can answer input() in a job. Give the value to the notebook as a parameter, in `parameters`."
    ),
    re.compile(r"has not been used in project|SERVICE_DISABLED", re.IGNORECASE): (
        "Enable the APIs in the project: `gcloud services enable aiplatform.googleapis.com compute.googleapis.com "
        "dataform.googleapis.com`. After that, it takes minutes until they answer."
    ),
}


def hint_for(message: str, *, is_exhausted: bool = False) -> str | None:
    """Return what to do about an error of the service, or ``None`` if it is not known.

    :param is_exhausted: whether there was no machine, though no word of the message says it.
    """
    if is_exhausted or is_about_machines(message):
        return _NO_MACHINE
    return next((hint for pattern, hint in _HINTS.items() if pattern.search(message)), None)


def hint_for_missing() -> str:
    """Return what to check if a job that was created is not found."""
    if here := settings.emulator_address():
        return f"NBJOBS_EMULATOR_HOST is {here} here: all workers and the triggerer need the same address."
    return "Check the project, the location and the id."
