"""A service that contradicts one assumption of docs/assumptions.md at a time: the emulator, and other answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from airflow_nbjobs.emulator import Emulator
from tests.support.google_lookalike import Answer, Relay

PARENT = "projects/1/locations/us-central1"
CREATED = {
    "notebookExecutionJobs": {"name": f"{PARENT}/notebookExecutionJobs/1/operations/1"},
    "schedules": {"name": f"{PARENT}/schedules/1", "state": "ACTIVE"},
    "notebookRuntimeTemplates": {"name": f"{PARENT}/notebookRuntimeTemplates/1/operations/1"},
}


@dataclass
class Asked:
    """One request, and what the emulator answered.

    :ivar before: the requests of the same test before it, each as verb and path.
    """

    verb: str
    path: str
    status: int
    body: Any
    before: list[str] = field(default_factory=list)

    @property
    def collection(self) -> str:
        """The kind of resource that it is about."""
        return next(each for each in CREATED if f"/{each}" in self.path)

    @property
    def is_list(self) -> bool:
        """Whether it lists resources."""
        return self.verb == "GET" and self.path.partition("?")[0].endswith(tuple(CREATED))


Contradiction = Callable[[Asked], Any]
"""Returns another body for a request, or the same one."""


def says(old: str, new: str) -> Contradiction:
    """Put a text in the place of another one."""
    return lambda asked: json.loads(json.dumps(asked.body).replace(old, new))


def accepts(asked: Asked) -> Any:
    """Accept what is assumed to be refused."""
    if asked.status < 400:
        return asked.body
    return {} if asked.verb == "GET" or ":" in asked.path else CREATED[asked.collection]


def finds(count: int) -> Contradiction:
    """Let lists have no item, or one."""

    def answer(asked: Asked) -> Any:
        names = [f"{PARENT}/{asked.collection}/{number}" for number in range(count)]
        return {asked.collection: [{"name": name} for name in names]} if asked.is_list else asked.body

    return answer


def turns_round(asked: Asked) -> Any:
    """Give lists in the other order."""
    return {asked.collection: asked.body.get(asked.collection, [])[::-1]} if asked.is_list else asked.body


def goes_on_until(verb: str, state: str) -> Contradiction:
    """Let a job run until a request, and then be in a state; a job that is gone has it too."""

    def answer(asked: Asked) -> Any:
        name = asked.path.partition("?")[0].removeprefix("/v1/")
        if asked.verb != "GET" or name.split("/")[-2] != "notebookExecutionJobs":
            return asked.body
        now = state if any(each.startswith(verb) for each in asked.before) else "JOB_STATE_RUNNING"
        return {"name": name, "jobState": now}

    return answer


def forgets_jobs_of_deleted_schedules(asked: Asked) -> Any:
    """Let no job outlive its schedule."""
    is_gone = any(each.startswith("DELETE") for each in asked.before)
    return {} if is_gone and asked.is_list and asked.collection == "notebookExecutionJobs" else asked.body


def fails_runs_of_schedules(asked: Asked) -> Any:
    """Let a job of a schedule fail, and the schedule say so."""
    return says("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED")(
        Asked(**{**vars(asked), "body": says('"OK"', '"Failed"')(asked)})
    )


def gives(**fields: Any) -> Contradiction:
    """Add fields to one resource that is read."""
    return lambda asked: {**asked.body, **fields} if asked.verb == "GET" and "name" in asked.body else asked.body


def repeats_an_item(asked: Asked) -> Any:
    """Begin later pages with what the page before had."""
    if "pageToken" not in asked.path:
        return asked.body
    jobs = asked.body["notebookExecutionJobs"]
    return {**asked.body, "notebookExecutionJobs": [{"name": f"{PARENT}/notebookExecutionJobs/0"}, *jobs]}


EXPIRES = says("JOB_STATE_SUCCEEDED", "JOB_STATE_EXPIRED")
CONTRADICTIONS: dict[str, Contradiction] = {
    "test_cancelling_the_create_operation_cancels_the_job": goes_on_until("POST :cancel", "JOB_STATE_FAILED"),
    "test_deleting_a_running_job_takes_it_away": goes_on_until("DELETE", "JOB_STATE_CANCELLED"),
    "test_a_cell_that_raises_fails_the_job_only": EXPIRES,
    "test_an_own_id_is_the_id_of_the_job": EXPIRES,
    "test_an_id_that_is_taken_already_exists": accepts,
    "test_an_id_with_other_letters_is_refused": accepts,
    "test_a_job_over_its_time_fails": EXPIRES,
    "test_a_notebook_runs_and_its_executed_copy_is_stored": says('nbjobs-contract"', 'elsewhere"'),
    "test_a_notebook_that_does_not_match_the_schema_runs": EXPIRES,
    "test_sys_exit_without_an_error_fails_the_job": EXPIRES,
    "test_only_the_full_view_has_the_notebook": gives(directNotebookSource={"content": "e30="}),
    "test_what_was_sent_is_what_is_kept": says("3600.500s", "3601s"),
    "test_the_create_operation_ends_after_its_job_and_carries_it": says('"operations":', '"unreachable":'),
    "test_a_regex_must_match_the_whole_name": finds(1),
    "test_a_filter_finds_the_jobs_it_describes": finds(0),
    "test_a_schedules_jobs_are_found_by_its_name": finds(0),
    "test_a_schedules_jobs_are_found_by_its_short_id": finds(0),
    "test_a_filter_beyond_the_documented_ones_is_refused": accepts,
    "test_jobs_come_in_the_order_asked_for": turns_round,
    "test_update_time_desc_lists_the_last_changed_job_first": turns_round,
    "test_pages_show_each_job_once_while_jobs_are_added": repeats_an_item,
    "test_a_page_token_is_good_for_its_own_list_only": accepts,
    "test_a_page_has_at_most_100_jobs": accepts,
    "test_a_run_creates_a_job_under_the_schedules_name": says('"OK"', '"created"'),
    "test_ok_says_that_a_run_was_launched_and_not_that_it_succeeded": fails_runs_of_schedules,
    "test_a_paused_schedule_runs_nothing_until_it_is_resumed": gives(nextRunTime="2099-01-01T00:00:00Z"),
    "test_only_an_active_schedule_is_paused_and_a_paused_one_resumed": accepts,
    "test_a_patch_cannot_change_what_a_schedule_runs": accepts,
    "test_a_deleted_schedule_is_gone_and_its_jobs_stay": forgets_jobs_of_deleted_schedules,
    "test_a_schedule_with_a_bad_field_is_refused": accepts,
    "test_a_filter_finds_the_schedules_it_describes": finds(0),
    "test_a_schedule_with_a_bad_request_is_refused": accepts,
    "test_a_create_operation_names_the_template_and_gives_it": says("/operations/", "/actions/"),
    "test_an_own_id_is_the_id_and_stays_taken_after_a_delete": accepts,
    "test_a_patch_of_a_template_changes_its_mask_only": accepts,
    "test_a_filter_finds_the_templates_it_describes": finds(0),
    "test_a_job_with_a_bad_field_is_refused": accepts,
    "test_a_job_without_an_environment_is_refused": accepts,
    "test_a_template_of_another_region_is_refused": accepts,
    "test_a_notebook_that_is_no_object_is_refused": accepts,
    "test_an_empty_job_is_refused_as_invalid": accepts,
}
"""For each test of docs/assumptions.md: answers of a service that is otherwise."""


class Contrary(Relay):
    """Passes requests on to the emulator, and contradicts the assumption of the test that runs.

    :ivar changed: the tests some of whose answers were changed.
    """

    def __init__(self, emulator: Emulator, certificate: Path) -> None:
        super().__init__(emulator.url, certificate, refused=())
        self._cloud = emulator
        self._test = ""
        self._before: list[str] = []
        self.changed: set[str] = set()

    def reply(self, number: int, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        """Answer a request."""
        verb, path = request.command, request.path
        if path.startswith("/begin/"):
            self._test, self._before = path.removeprefix("/begin/"), []
            return 200, {}, {}
        if verb == "GET" and ("/schedules/" in path or "schedules%2F" in path):
            self._cloud.move_clock(timedelta(minutes=1))  # nobody has to wait for the next minute
        status, headers, answer = super().reply(number, request, body)
        asked = Asked(verb, path, status, answer, self._before.copy())
        self._before.append(f"{verb} :{path.rpartition(':')[2]}" if ":" in path else f"{verb} {path}")
        changed = CONTRADICTIONS.get(self._test, lambda asked: asked.body)(asked)
        if changed == answer:
            return status, headers, answer
        self.changed.add(self._test)
        return 200, headers, changed
