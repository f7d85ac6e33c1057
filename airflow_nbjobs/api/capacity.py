"""Whether a refusal, or a job's end, is for want of machines. The service tells by its words alone."""

from __future__ import annotations

import re

__all__ = ["is_about_machines"]

# Texts that were seen in practice: dbt's and other public clients' issues.
_NO_MACHINE = re.compile(
    r"does not have enough resources|RESOURCE_POOL_EXHAUSTED|Quota '[^']+' exceeded|No available zone found",
    re.IGNORECASE,
)


def is_about_machines(message: str) -> bool:
    """Tell whether a message says that there is no machine to be had, or no quota for one."""
    return _NO_MACHINE.search(message) is not None
