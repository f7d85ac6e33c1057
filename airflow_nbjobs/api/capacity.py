"""Tell lack of machines from other errors. Only the service's words show the difference."""

from __future__ import annotations

import re

__all__ = ["is_about_machines"]

# Messages seen in practice, in issues of dbt and other public clients.
_NO_MACHINE = re.compile(
    r"does not have enough resources|RESOURCE_POOL_EXHAUSTED|Quota '[^']+' exceeded|No available zone found",
    re.IGNORECASE,
)


def is_about_machines(message: str) -> bool:
    """Tell whether a message says that no machine, or no quota for one, is available."""
    return _NO_MACHINE.search(message) is not None
