"""What each argument may be, regardless of the others: the rules that need no request.

An operator applies them to what is known when its DAG is parsed, and a run to its rendered arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from airflow_nbjobs.api.names import check_id, check_location, check_project
from airflow_nbjobs.api.pacing import positive_seconds
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.run.window import as_time

__all__ = ["RULES", "KillPolicy", "as_dict", "as_text", "check_kill_policy", "check_values", "seconds_of"]

KillPolicy = Literal["cancel", "delete", "leave"]
"""
What happens to the job when its task is killed.

``cancel`` cancels its create operation, and deletes the job if it stays active. ``delete`` deletes the job and its
record. ``leave`` lets it run. A job that has ended is kept in any case: a retry may need its result.
"""

_CRON = re.compile(r"(?:(?:CRON_)?TZ=(?P<zone>\S+)\s+)?(?P<fields>\S+(?:\s+\S+){4})")
_POLICIES: dict[str, KillPolicy] = {"cancel": "cancel", "delete": "delete", "leave": "leave"}


def check_values(arguments: Mapping[str, Any]) -> None:
    """Check each argument on its own.

    :param arguments: names and values; those without a rule may be anything.
    :raises InvalidNotebookJobError: names the first argument that is wrong, its value and the remedy.
    """
    for argument, value in arguments.items():
        if rule := RULES.get(argument):
            rule(argument, value)


def check_kill_policy(kill: object) -> KillPolicy:
    """Return ``kill`` if it is a policy.

    :raises InvalidNotebookJobError: otherwise.
    """
    if isinstance(kill, str) and (policy := _POLICIES.get(kill)):
        return policy
    raise InvalidNotebookJobError(f"kill={kill!r} is not a kill policy: use 'cancel', 'delete' or 'leave'.")


def as_text(argument: str, value: Any) -> Any:
    """Return an argument that is text, or a list or dict of texts, as text.

    A template stays text (:mod:`airflow_nbjobs.operators.text_templates`), but a user may give a number, or an XCom or
    a parameter of the DAG that is one. An int is turned into text. A float may have been written in several ways
    ("1.10") that people use, and is refused.

    :raises InvalidNotebookJobError: names the argument, its value and the remedy.
    """
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        raise InvalidNotebookJobError(
            f"{argument}={value!r} is a number, and its original spelling is unknown: give it as text, also in an XCom "
            "or a parameter of the DAG."
        )
    if isinstance(value, Mapping):
        return {as_text(argument, key): as_text(f"{argument}[{key!r}]", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_text(argument, item) for item in value]
    return value


def as_dict(argument: str, value: object) -> dict[str, Any]:
    """Return a dict, an empty one for ``None``.

    :raises InvalidNotebookJobError: if it is something else.
    """
    if value is None or isinstance(value, Mapping):
        return dict(value or {})
    raise InvalidNotebookJobError(f"{argument}={value!r} is not a dict: give keys and values.")


def seconds_of(argument: str, value: Any) -> float:
    """Return the seconds of a duration that is given as a timedelta, or in seconds.

    :raises InvalidNotebookJobError: if it is something else, or not more than 0.
    """
    return positive_seconds(argument, value.total_seconds() if isinstance(value, timedelta) else value)


def _boolean(argument: str, value: object) -> None:
    if value not in (True, False):  # numpy's are equal to these
        raise InvalidNotebookJobError(f"{argument}={value!r} is not a boolean: give True or False.")


def _choice(*allowed: str) -> Callable[[str, object], None]:
    def rule(argument: str, value: object) -> None:
        if value not in allowed:
            raise InvalidNotebookJobError(
                f"{argument}={value!r} is not allowed: use {' or '.join(map(repr, allowed))}."
            )

    return rule


def _number(what: str, least: int, otherwise: str = "") -> Callable[[str, object], None]:
    """Return the rule for an int; ``otherwise`` says what ``None`` stands for, if it is allowed."""

    def rule(argument: str, value: object) -> None:
        if (value is not None or not otherwise) and (type(value) is not int or value < least):
            remedy = f"give an int of {least} or more{otherwise}"
            raise InvalidNotebookJobError(f"{argument}={value!r} is not a number of {what}: {remedy}.")

    return rule


def _text(argument: str, value: object) -> None:
    if not isinstance(as_text(argument, value), str | None):
        raise InvalidNotebookJobError(f"{argument}={value!r} is not text: write it as a string.")


def _connection(argument: str, value: object) -> None:
    if not isinstance(as_text(argument, value), str) or not value:
        raise InvalidNotebookJobError(f"{argument}={value!r} is not a connection: give the id of one.")


def _chain(argument: str, value: object) -> None:
    accounts = as_text(argument, value)
    if not isinstance(accounts, str | list | None) or not all(isinstance(each, str) for each in accounts or ()):
        raise InvalidNotebookJobError(f"{argument}={value!r} is not a service account: give one as text, or a list.")


def _templates(argument: str, value: object) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidNotebookJobError(f"{argument}={value!r} is not a list: give a list of runtime templates.")


def _parameters(argument: str, value: object) -> None:
    from airflow_nbjobs.notebooks.parameters import plain_parameters

    plain_parameters(as_dict(argument, value))


def _location(_: str, value: object) -> None:
    if value:  # a name may be whole, and an operator says whether it needs a location
        check_location(as_text("location", value))


def _project(_: str, value: object) -> None:
    if value:
        check_project(as_text("project_id", value))


def _job_timeout(argument: str, value: object) -> None:
    if value is not None:
        try:
            timedelta(seconds=seconds_of(argument, value))
        except OverflowError:
            raise InvalidNotebookJobError(f"{argument}={value!r} is too long: give fewer seconds.") from None


def _id(argument: str, value: object) -> None:
    if value:
        check_id(argument, as_text(argument, value))


def _display_name(argument: str, value: object) -> None:
    from airflow_nbjobs.api.checks import DISPLAY_NAME_LIMIT

    name = as_text(argument, value)
    if name is not None and (not isinstance(name, str) or not 0 < len(name) <= DISPLAY_NAME_LIMIT):
        has = f"has {len(name)} characters" if isinstance(name, str) else "is not text"
        raise InvalidNotebookJobError(f"{argument}={name!r} {has}: give 1 to {DISPLAY_NAME_LIMIT} characters.")


def _cron(argument: str, value: object) -> None:
    match = _CRON.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not _has_times(match["fields"]):
        raise InvalidNotebookJobError(
            f"{argument}={value!r} is not a cron expression: give five fields, such as '0 6 * * *' or "
            "'TZ=Europe/Berlin 0 6 * * *'."
        )
    try:
        ZoneInfo(match["zone"] or "UTC")
    except (KeyError, ValueError, OSError):  # OSError: the name of a folder, or one that is too long
        raise InvalidNotebookJobError(
            f"{argument}={value!r} names {match['zone']!r}, which is not a time zone: give one as 'Europe/Berlin'."
        ) from None


def _has_times(fields: str) -> bool:
    try:
        from croniter import croniter
    except ImportError:  # it is Airflow's: without it, the service decides
        return True
    return bool(croniter.is_valid(fields))


RULES: Mapping[str, Callable[[str, Any], object]] = {
    **dict.fromkeys(
        (
            "allow_queueing", "catch_up", "cost_labels", "deferrable", "deterministic_job_id", "dry_run", "html",
            "ignore_if_exists", "ignore_if_missing", "include_active", "retry_on_notebook_error", "sanitize_labels",
            "wait_for_completion",
        ),
        _boolean,
    ),
    **dict.fromkeys(("older_than", "poke_interval"), seconds_of),
    **dict.fromkeys(("end_time", "interval_end", "interval_start", "start_time"), as_time),
    **dict.fromkeys(("filter", "order_by"), _text),
    **dict.fromkeys(("job_id", "template_id"), _id),
    "capacity_retries": _number("retries", 0, ", or None for one for each fallback"),
    "cron": _cron,
    "display_name": _display_name,
    "fallback_runtime_templates": _templates,
    "gcp_conn_id": _connection,
    "impersonation_chain": _chain,
    "job_timeout": _job_timeout,
    "kill": lambda _, value: check_kill_policy(value),
    "limit": _number("items", 1, ", or None for all"),
    "location": _location,
    "log_output": _choice("errors", "all", "none"),
    "max_concurrent_run_count": _number("runs", 1),
    "max_run_count": _number("runs", 1, ", or None for no limit"),
    "parameters": _parameters,
    "poll_interval": positive_seconds,
    "project_id": _project,
    "unknown_parameters": _choice("fail", "warn"),
    "unusable_results": _choice("fail", "omit"),
}  # fmt: skip
"""The rule of each argument with a special rule. A rule raises an error that names the argument and the remedy."""
