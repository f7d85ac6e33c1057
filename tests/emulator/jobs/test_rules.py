"""Rules without a server: states, filters, pages, numbers, time."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.emulator.database import Clock, timestamp
from airflow_nbjobs.emulator.errors import ServiceError
from airflow_nbjobs.emulator.faults import Faults
from airflow_nbjobs.emulator.jobs import pages, states
from airflow_nbjobs.emulator.jobs.book import Book
from airflow_nbjobs.emulator.jobs.filters import matches_part, matches_whole, parse_filter, parse_order
from airflow_nbjobs.emulator.jobs.regions import problem_of
from airflow_nbjobs.emulator.page_tokens import page_size
from airflow_nbjobs.emulator.resources import Parent, new_id, project_number, with_project_number

known = st.sampled_from(states.BY_NUMBER)


@given(known, known)
def test_a_route_between_states_consists_of_legal_moves(old, new):
    way = [old, *states.route_between(old, new)]
    assert all(states.is_legal(*step) for step in pairwise(way))
    assert way == [old] or way[-1] == new


@pytest.mark.parametrize("state", sorted(states.TERMINAL))
@pytest.mark.parametrize("other", [*states.BY_NUMBER, "JOB_STATE_BRAND_NEW"])
def test_nothing_follows_an_end(state, other):
    assert not states.is_legal(state, other)


def test_a_cancelling_job_can_only_end_as_the_proto_says():
    after = {state for state in states.BY_NUMBER if states.is_legal(states.CANCELLING, state)} - {states.UNSPECIFIED}
    assert after == {states.CANCELLED, states.SUCCEEDED, states.FAILED}


@pytest.mark.parametrize("state", [state for state in states.BY_NUMBER if state != states.QUEUED])
def test_every_state_can_be_reached_by_a_new_job(state):
    assert states.route_between(states.QUEUED, state)[-1] == state


@given(st.text(max_size=30))
def test_a_quoted_text_is_read_unchanged(text):
    quoted = re.sub(r'(["\\])', r"\\\1", text)
    assert parse_filter(f'displayName="{quoted}"') == ("1 AND (display_name = ?)", [text])


@given(st.text(max_size=30))
def test_a_filter_is_read_or_refused_and_nothing_else(text):
    try:
        condition, parameters = parse_filter(text)
    except ServiceError:
        return
    assert condition.count("?") == len(parameters)


@pytest.mark.parametrize("pattern", [r"(?=a)", r"(?!a)", r"(?<=a)b", r"(a)\1", r"(?P<x>a)(?P=x)", "(", "*"])
def test_a_regex_beyond_re2_is_refused(pattern):
    with pytest.raises(ServiceError, match="regular expression"):
        parse_filter(f'displayName=~"{pattern}"')


def test_a_regex_keeps_its_backslashes():
    assert parse_filter(r'displayName=~"a\.b\d+"')[1] == [r"a\.b\d+"]


names = st.sampled_from(["a", "b", "c"])
rows = st.lists(st.tuples(names, st.integers(0, 3), st.integers(0, 3)), max_size=12)
orders = st.lists(st.sampled_from(["display_name", "create_time", "update_time"]), unique=True, max_size=3)


class Row:
    """What a page token takes of a job."""

    def __init__(self, row):
        self.seq, name, self.created, self.updated = row
        self.body = {"displayName": name}


@given(rows, orders, st.lists(st.booleans(), min_size=3, max_size=3), st.integers(1, 4))
def test_all_pages_together_are_the_ordered_list(rows, fields, downs, size):
    order = parse_order(", ".join(field + " desc" * down for field, down in zip(fields, downs, strict=False)))
    database = sqlite3.connect(":memory:")
    try:
        database.execute("CREATE TABLE jobs (seq INTEGER PRIMARY KEY, display_name, created, updated)")
        database.executemany("INSERT INTO jobs (display_name, created, updated) VALUES (?, ?, ?)", rows)
        sort = pages.order_sql(order)
        whole = database.execute(f"SELECT * FROM jobs ORDER BY {sort}").fetchall()  # noqa: S608 - made of constants
        found, where, values = [], "1", []
        while part := database.execute(
            f"SELECT * FROM jobs WHERE {where} ORDER BY {sort} LIMIT {size}",  # noqa: S608 - made of constants
            values,
        ).fetchall():
            found += part
            token = pages.token_after(Row(part[-1]), order, "q")
            where, values = pages.after(token, order, "q")
        assert found == whole
    finally:
        database.close()


@pytest.mark.parametrize(("asked", "size"), [(None, 100), ("", 100), ("0", 100), ("1", 1), ("100", 100)])
def test_a_page_has_100_jobs_by_default(asked, size):
    assert page_size(asked) == size


def test_the_book_finds_changes_and_lists_jobs_by_an_index():
    """Or each of ten thousand jobs would cost the time of all."""
    asked = []
    with closing(Book(Path(":memory:"))) as book:
        parent = Parent.parse("p", "us-central1")
        book._db.set_trace_callback(asked.append)
        job = book.add_job(parent, "mine", {"displayName": "report"}, new_id())
        book.find(parent, "mine")
        book.find(parent, "mine", deleted=True)
        book.find_id("mine")
        book.operations(parent, "mine")
        book.move(job.seq, states.CANCELLING)
        book.move(job.seq, states.CANCELLED)
        for field in ("display_name", "create_time", "update_time"):
            for order in (field, f"{field} desc"):
                book.page(parent, "1", [], pages.order_sql(parse_order(order)), 101)
        book.add_operation(job.seq, "delete", "7")
        book.delete_job(job.seq, "7")
        book._db.set_trace_callback(None)
        statements = [sql for sql in asked if sql.split()[0] in {"SELECT", "UPDATE", "DELETE"}]
        steps = [(sql, row["detail"]) for sql in statements for row in book._db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert len(statements) >= 18
    assert [step for step in steps if step[1].startswith("SCAN")] == []
    lists = [detail.split()[0] for sql, detail in steps if "LIMIT 101" in sql]
    assert lists == ["SEARCH"] * 6  # and nothing to sort afterwards


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("us-central1", ""),
        ("europe-west12", ""),
        ("us-centrall1", "did you mean 'us-central1'?"),
        ("us-central1-a", "did you mean 'us-central1'?"),
        ("europe-west", "did you mean 'europe-west"),
        ("moon", "is not a known region of Colab Enterprise."),
    ],
)
def test_an_unknown_region_is_reported_with_the_nearest_one(location, problem):
    assert problem in problem_of(location)
    assert bool(problem) == bool(problem_of(location))


def test_a_quota_is_per_minute(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("airflow_nbjobs.emulator.faults.time", SimpleNamespace(monotonic=lambda: now[0]))
    faults = Faults()
    faults.add({"quota": {"create": 2}})
    for moment, is_refused in [(0, False), (30, False), (59, True), (60, False), (61, True), (90, False)]:
        now[0] = moment
        try:
            faults.check_quota("create", "1")
        except ServiceError as refused:
            assert (is_refused, refused.code) == (True, 429)  # noqa: PT017 - both are right
        else:
            assert not is_refused


@given(st.text(max_size=20))
def test_a_malformed_token_is_refused(text):
    with pytest.raises(ServiceError, match="page_token"):
        pages.after(text, [("seq", True)], "q")


@pytest.mark.parametrize(
    ("pattern", "whole", "part"), [("a.*", True, True), ("^b", False, False), ("^a", False, True), ("c$", False, True)]
)
def test_a_regex_matches_the_whole_value_or_a_part(pattern, whole, part):
    assert (matches_whole(pattern, "abc"), matches_part(pattern, "abc")) == (whole, part)


@pytest.mark.parametrize(("match", "found"), [("whole", []), ("part", ["page-1"])])
def test_a_filter_follows_the_setting(match, found):
    with closing(Book(Path(":memory:"), filter_match=match)) as book:
        parent = Parent.parse("p", "us-central1")
        for name in ("page-1", "other"):
            book.add_job(parent, name, {"displayName": name}, new_id())
        condition, values = parse_filter('displayName=~"^page-"')
        assert [job.id for job in book.page(parent, condition, values, "seq", 10)] == found


@given(st.from_regex(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", fullmatch=True))
def test_a_projects_number_has_12_digits_and_is_its_own(project):
    number = project_number(project)
    assert re.fullmatch("[1-9][0-9]{11}", number)
    assert project_number(project) == project_number(number) == number
    assert with_project_number(f"projects/{project}/locations/l") == f"projects/{number}/locations/l"


def test_an_id_has_19_digits():
    assert all(re.fullmatch("[1-9][0-9]{18}", new_id()) for _ in range(100))


def test_each_reading_of_the_clock_is_later():
    clock = Clock(after=2**62)
    readings = [clock.now() for _ in range(100)]
    assert readings == sorted(set(readings))
    assert readings[0] > 2**62


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "1970-01-01T00:00:00Z"), (10**6, "1970-01-01T00:00:00.001Z"), (1, "1970-01-01T00:00:00.000000001Z")],
)
def test_time_is_written_with_0_3_6_or_9_digits(nanoseconds, text):
    assert timestamp(nanoseconds) == text
