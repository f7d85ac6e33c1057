"""Which jobs are of interest to a watcher. All of it is checked when a DAG file is parsed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_nbjobs.api.names import ResourceName, resource_name
from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = ["Selection"]

# What Python's expressions have and RE2's do not: (?=, (?!, (?<=, (?<!, (?P=, (?(, (?#, (?>, back references, \Z and
# possessive quantifiers.
_NOT_RE2 = re.compile(r"\(\?(?:[=!(#>]|<[=!]|P=)|(?<!\\)(?:\\\\)*(?:\\[1-9Z]|[*+?}]\+)")


@dataclass(frozen=True)
class Selection:
    """What a job must be like.

    :ivar schedule: the schedule that created it; ``None`` for any job.
    :ivar display_name: matches its whole display name; ``None`` for any name.
    :ivar labels: it has all of them.
    :ivar states: it ended in one of these, such as ``JOB_STATE_SUCCEEDED``; sorted.
    """

    schedule: ResourceName | None
    display_name: re.Pattern[str] | None
    labels: Mapping[str, str]
    states: Sequence[str]

    @classmethod
    def of(cls, schedule: object, display_name: object, labels: object, states: object, location: str) -> Selection:
        """Check arguments of the trigger, which documents them.

        :raises InvalidNotebookJobError: names the argument, its value and the remedy.
        """
        # A bare id needs no project: schedules are compared by their location and id.
        parent = f"projects/any/locations/{location}"
        named = None if schedule is None else resource_name(schedule, "schedules", lambda: parent, location)
        return cls(named, _pattern(display_name), _labels(labels), _states(states))

    def wants(self, job: Mapping[str, Any]) -> bool:
        """Return whether a job, as the service's JSON, is of interest."""
        if job.get("jobState") not in self.states:
            return False
        if self.schedule is not None and not _is_same(self.schedule, job.get("scheduleResourceName")):
            return False
        labels = job.get("labels") or {}
        if any(labels.get(key) != value for key, value in self.labels.items()):
            return False
        return self.display_name is None or self.display_name.fullmatch(job.get("displayName") or "") is not None


def _is_same(schedule: ResourceName, name: object) -> bool:
    # The project may be its id in one name and its number in the other.
    return str(name).split("/")[2:] == str(schedule).split("/")[2:]


def _pattern(display_name: object) -> re.Pattern[str] | None:
    if display_name is None:
        return None
    problem = f"display_name={display_name!r} is not an RE2 regular expression"
    if not isinstance(display_name, str) or not display_name:
        raise InvalidNotebookJobError(f"{problem}: give text such as 'report-.*', or leave it out for all names.")
    if found := _NOT_RE2.search(display_name):
        raise InvalidNotebookJobError(f"{problem}: RE2 does not have {found[0]!r}. Write it without.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # for what Python reads in another way, such as [[:alpha:]]
            return re.compile(display_name)
    except (re.error, Warning) as error:
        raise InvalidNotebookJobError(f"{problem} that Python can read too: {error}. Correct it.") from error


def _labels(labels: object) -> dict[str, str]:
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise InvalidNotebookJobError(f"labels={labels!r} is not a dict: give keys and values that a job must have.")
    from airflow_nbjobs.api.checks import valid_labels

    for key, value in labels.items():
        if not key or valid_labels({key: value}) != {key: value}:
            raise InvalidNotebookJobError(
                f"labels={labels!r}: no job can have the label {key!r}={value!r}. Give keys and values of at most 64 "
                "lower-case letters, digits, '_' and '-'; a key is not empty."
            )
    return dict(sorted(labels.items()))


def _states(states: object) -> list[str]:
    from airflow_nbjobs.api.job import JobState

    final = [state.word for state in JobState if state.is_terminal]
    given = [states] if isinstance(states, str) else states
    if not isinstance(given, Sequence) or not given:
        raise InvalidNotebookJobError(f"states={states!r} names no state: give some of {', '.join(final)}.")
    words = [str(state).removeprefix("JOB_STATE_") for state in given]
    if wrong := next((word for word in words if word not in final), None):
        what = "is a state of a job that goes on" if wrong in JobState.__members__ else "is not a state of a job"
        raise InvalidNotebookJobError(f"states={states!r}: {wrong!r} {what}. Give some of {', '.join(final)}.")
    return sorted({f"JOB_STATE_{word}" for word in words})
