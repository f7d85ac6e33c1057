"""Our polls stay out of the logs: the HTTP client logs each request at INFO, and a task may look for hours."""

from __future__ import annotations

import logging

import httpx2

__all__ = ["hush_own_requests"]


class _OwnRequests(logging.Filter):
    """Drops the lines of INFO about requests to notebook execution jobs; everybody else's, and all warnings, stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is logged."""
        if record.levelno != logging.INFO or not isinstance(record.args, tuple):
            return True
        return not any(isinstance(part, httpx2.URL) and _is_own(part.path) for part in record.args)


def _is_own(path: str) -> bool:
    return path.startswith("/v1/projects/") and "/notebookExecutionJobs" in path


_FILTER = _OwnRequests()


def hush_own_requests() -> None:
    """Keep our own requests out of the HTTP client's log; doing it again changes nothing."""
    logging.getLogger("httpx2").addFilter(_FILTER)
