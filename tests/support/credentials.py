"""Credentials that count how often they are refreshed."""

from __future__ import annotations

import threading
from typing import Any

from google.auth.credentials import Credentials

from tests.support.canaries import TOKEN

JOB = "projects/p/locations/us-central1/notebookExecutionJobs/5"


class CountedCredentials(Credentials):
    """Tokens named after how often they were refreshed; the first refreshes may fail."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.refreshes = 0
        self.failures = list(failures)
        self.threads: set[str] = set()

    def refresh(self, request: Any) -> None:
        self.threads.add(threading.current_thread().name)
        if self.failures:
            raise self.failures.pop(0)
        self.refreshes += 1
        self.token = f"{TOKEN}-{self.refreshes}"
