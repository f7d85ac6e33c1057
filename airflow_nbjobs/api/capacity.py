"""Whether an error or a job's status means that Google Cloud has no machine, or the project no quota, for the job."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import Status

__all__ = ["is_about_machines", "is_capacity"]

_RESOURCE_EXHAUSTED = 8  # google.rpc.Code

# Texts that were seen in practice: issues of dbt and other public clients. The service has no code for it.
_NO_MACHINE = re.compile(
    r"does not have enough resources|RESOURCE_POOL_EXHAUSTED|Quota '[^']+' exceeded|No available zone found",
    re.IGNORECASE,
)


def is_about_machines(message: str) -> bool:
    """Return whether a message is about a missing machine, or about the quota of machines."""
    return _NO_MACHINE.search(message) is not None


def is_capacity(status: Status | None) -> bool:
    """Return whether the status of a job says that there was no machine or no quota for it.

    A create request is refused with RESOURCE_EXHAUSTED for too many requests, too. A job is not.
    """
    if status is None:
        return False
    message = status.message or ""
    return status.code == _RESOURCE_EXHAUSTED or is_about_machines(message) or "RESOURCE_EXHAUSTED" in message
