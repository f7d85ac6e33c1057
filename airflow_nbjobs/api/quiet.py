"""Our polls stay out of the logs: the HTTP client logs each request at INFO, and a task may look for hours."""

from __future__ import annotations

import logging
import re

import httpx2

__all__ = ["hush_own_requests"]

_OWN = re.compile(r"/v1/projects/[^/]+/locations/[^/]+/notebookExecutionJobs(?:/.*)?")


class _OwnRequests(logging.Filter):
    """Drops the lines of INFO about requests to notebook execution jobs; everybody else's, and all warnings, stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is logged."""
        if record.levelno != logging.INFO or not isinstance(record.args, tuple):
            return True
        return not any(isinstance(part, httpx2.URL) and _OWN.fullmatch(part.path) for part in record.args)


_FILTER = _OwnRequests()


def hush_own_requests() -> None:
    """Keep our own requests out of the HTTP client's log; doing it again changes nothing."""
    logging.getLogger("httpx2").addFilter(_FILTER)
