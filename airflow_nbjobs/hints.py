"""What to do about failures that are the service's, told from its words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_nbjobs import settings
from airflow_nbjobs.api.capacity import is_about_machines

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import Status

__all__ = ["hint_for", "hint_for_missing", "is_capacity"]

_RESOURCE_EXHAUSTED = 8  # google.rpc.Code

_EXHAUSTED = re.compile("RESOURCE_EXHAUSTED")  # of a job; a create is refused with it for too many requests, too
_NO_MACHINE = (
    "Google Cloud has no machine of this kind to spare, or the project no quota. What helps: other machine types or "
    "zones, as fallback_runtime_templates; a larger quota; asking more often, by capacity_retries."
)
_HINTS = {
    re.compile(r"NOTEBOOK_RUNTIME_OUT_OF_ORGANIZATION"): (
        "The runtime is in another organisation than the caller. If its owner may see the notebook's credentials, set "
        "the label 'aiplatform.googleapis.com/notebook_runtime_out_of_org_warning' to 'ack'."
    ),
    re.compile(r"actAs|serviceAccountUser", re.IGNORECASE): (
        "The connection's account needs roles/iam.serviceAccountUser on the account that the notebook runs as."
    ),
    re.compile(r"constraints/|organi[sz]ation policy|org policy|customConstraints", re.IGNORECASE): (
        "A policy of the organisation forbids this job: its administrator knows the constraint that is named."
    ),
    re.compile(r"has not been used in project|SERVICE_DISABLED", re.IGNORECASE): (
        "Enable the APIs aiplatform, dataform and compute in the project."
    ),
}


def is_capacity(status: Status | None) -> bool:
    """Tell whether a job's status says that there was no machine or no quota for it."""
    if status is None:
        return False
    message = status.message or ""
    return status.code == _RESOURCE_EXHAUSTED or is_about_machines(message) or _EXHAUSTED.search(message) is not None


def hint_for(message: str, *, is_exhausted: bool = False) -> str | None:
    """Return what to do about a failure of the service's, or nothing for another one.

    :param is_exhausted: whether :func:`is_capacity` says so, though no word of the message does.
    """
    if is_exhausted or is_about_machines(message):
        return _NO_MACHINE
    return next((hint for pattern, hint in _HINTS.items() if pattern.search(message)), None)


def hint_for_missing() -> str:
    """Return what to look at when a job is not found that somebody has made."""
    here = settings.emulator_address() or "not set"
    return f"Do all workers and the triggerer have the same NBJOBS_EMULATOR_HOST? It is {here} here."
