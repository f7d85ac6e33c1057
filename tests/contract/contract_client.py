"""What the contract's scenarios ask of a client: plain dicts in the wire's shape, in and out."""

from __future__ import annotations

import builtins
from typing import Any, Protocol


class ServiceError(Exception):
    """The service refused; ``code`` is the canonical name, such as ``NOT_FOUND``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ContractClient(Protocol):
    """One client of the service. Each method raises ``ServiceError`` when the service refuses.

    Names are resource names (``projects/...``); jobs and operations are dicts as in REST's JSON. A client checks every
    exchange on the wire with ``discovery.check``.
    """

    def create(self, parent: str, job: dict[str, Any], job_id: str = "") -> dict[str, Any]:
        """Create a job and return the operation; an empty ``job_id`` sends none."""

    def get(self, name: str, view: str = "") -> dict[str, Any]:
        """Return a job; an empty ``view`` sends none."""

    def list(
        self, parent: str, *, where: str = "", order_by: str = "", page_size: int = 0, page_token: str = ""
    ) -> dict[str, Any]:
        """Return one page, ``{"notebookExecutionJobs": [...], "nextPageToken": "..."}``, empty keys left out."""

    def delete(self, name: str) -> dict[str, Any]:
        """Delete a job and return the operation."""

    def get_operation(self, name: str) -> dict[str, Any]:
        """Return an operation."""

    def list_operations(self, name: str) -> builtins.list[dict[str, Any]]:
        """Return the operations of the job of this name."""

    def cancel_operation(self, name: str) -> None:
        """Cancel an operation."""
