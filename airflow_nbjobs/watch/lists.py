"""Whether a place's jobs can be listed: a list may be refused, fail for minutes, or come in another order."""

from __future__ import annotations

import logging

from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.exceptions import ApiError, CredentialsError
from airflow_nbjobs.watch.line import is_about_all

__all__ = ["Lists"]

log = logging.getLogger(__name__)

_REFUSED_SECONDS = 600.0
"""After so long a list that was refused is tried again: somebody may have granted the permission."""

_FAILED_SECONDS = 60.0
"""After so long a list that has failed for minutes is tried again."""


class Lists:
    """What is known of the lists of one place.

    :param parent: ``projects/p/locations/l``.
    :param patience: a list may fail for a third of its ``seconds``.
    """

    def __init__(self, parent: str, patience: Patience) -> None:
        self._parent = parent
        self._longest = patience.seconds / 3
        self._not_before = 0.0
        self._failing_since: float | None = None
        self._told_of: set[type[Exception]] = set()

    def are_to_be_had(self, now: float) -> bool:
        """Tell whether it is worth asking for one; ``now`` in the loop's time, as below."""
        return now >= self._not_before

    def worked(self) -> None:
        """Take note that one was had."""
        self._failing_since = None

    def give_up(self, error: ApiError | CredentialsError, now: float, jobs: int) -> None:
        """Do without lists for a while, and say so once for each kind of error.

        :param jobs: how many are asked for one by one then.
        :raises ApiError: the error itself, when it is not about lists, or may pass.
        :raises CredentialsError: the same.
        """
        if is_about_all(error):
            raise error
        if error.is_transient:
            self._failing_since = now if self._failing_since is None else self._failing_since
            if now - self._failing_since < self._longest:
                raise error
        self._not_before = now + (_FAILED_SECONDS if error.is_transient else _REFUSED_SECONDS)
        if type(error) not in self._told_of:
            self._told_of.add(type(error))
            log.warning(
                "The notebook jobs in %s cannot be listed (%s): %d are asked for one by one. Listing them takes one "
                "request for all; it needs the permission aiplatform.notebookExecutionJobs.list.",
                *(self._parent, error, jobs),
            )
