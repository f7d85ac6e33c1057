"""Rules without a server: cron expressions, filters, fields, the clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.emulator.database import Clock, nanoseconds, timestamp
from airflow_nbjobs.emulator.errors import ServiceError
from airflow_nbjobs.emulator.queries import Field, Query
from airflow_nbjobs.emulator.schedules.cron import Cron
from airflow_nbjobs.emulator.schedules.schema import OUTPUT_ONLY, SCHEDULE
from airflow_nbjobs.emulator.templates.schema import OUTPUT_ONLY as OF_TEMPLATES
from airflow_nbjobs.emulator.templates.schema import TEMPLATE
from tests.support import discovery

GOOGLE = "GoogleCloudAiplatformV1"


def times(cron: str, after: str, count: int = 3) -> list[str]:
    """Return the first times of an expression after a time."""
    parsed, moment, found = Cron.parse(cron), nanoseconds(after), list[str]()
    for _ in range(count):
        moment = parsed.next_after(moment)
        found.append(timestamp(moment).removesuffix(":00Z"))
    return found


@pytest.mark.parametrize(
    ("cron", "found"),
    [
        ("30 6 * * *", ["2026-10-24T06:30", "2026-10-25T06:30", "2026-10-26T06:30"]),
        ("TZ=America/New_York 0 6 * * MON-FRI", ["2026-10-26T10:00", "2026-10-27T10:00", "2026-10-28T10:00"]),
        ("CRON_TZ=Europe/Berlin 0 6 * * *", ["2026-10-24T04:00", "2026-10-25T05:00", "2026-10-26T05:00"]),
        ("0 0 1 * 1", ["2026-10-26T00:00", "2026-11-01T00:00", "2026-11-02T00:00"]),
        ("*/20 5 24 oct *", ["2026-10-24T05:00", "2026-10-24T05:20", "2026-10-24T05:40"]),
    ],
)
def test_a_cron_expression_has_its_times_in_its_time_zone(cron, found):
    assert times(cron, "2026-10-24T00:00:00Z") == found


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "@daily",
        "0 6 * *",
        "0 6 * * * *",
        "60 * * * *",
        "0 0 30 2 *",
        "H * * * *",
        "0 0 L * *",
        "x * * * *",
        "TZ= 0 6 * * *",
        "TZ=Nowhere 0 6 * * *",
        "TZ=.. 0 6 * * *",
        "TZ=Europe 0 6 * * *",
        "ZONE=UTC 0 6 * * *",
    ],
)
def test_what_is_no_cron_expression_is_refused(cron):
    with pytest.raises(ValueError, match=r".+"):
        Cron.parse(cron)


@given(st.integers(0, 4 * 10**18))
def test_a_time_is_read_as_it_was_written(moment):
    assert nanoseconds(timestamp(moment)) == moment


@pytest.mark.parametrize("text", ["2026-11-16T01:00:00.5+01:00", "2026-11-16t00:00:00.500z"])
def test_a_time_has_several_spellings(text):
    assert timestamp(nanoseconds(text)) == "2026-11-16T00:00:00.500Z"


def test_a_moved_clock_goes_on_and_never_back():
    clock = Clock()
    clock.move_to(nanoseconds("2001-01-01T00:00:00Z"))
    first = clock.now()
    assert timestamp(first).startswith("2001-01-01T00:00")
    assert first < clock.peek()
    with pytest.raises(ValueError, match="does not go back"):
        clock.move_to(first - 1)
    clock.move_to(first + 10**18)
    assert clock.now() > first + 10**18


def test_the_fields_are_those_of_the_discovery_document():
    schemas = discovery.document()["schemas"]
    for ours, name in ((SCHEDULE, "Schedule"), (TEMPLATE, "NotebookRuntimeTemplate")):
        theirs = schemas[f"{GOOGLE}{name}"]["properties"]
        assert ours.keys() == theirs.keys()
        for field in ours.keys() - {"createPipelineJobRequest"}:
            assert discovery.described(ours[field]) == discovery.documented(theirs[field]), field


@pytest.mark.parametrize(("name", "ours"), [("Schedule", OUTPUT_ONLY), ("NotebookRuntimeTemplate", OF_TEMPLATES)])
def test_read_only_fields_are_those_of_the_document(name, ours):
    fields = discovery.document()["schemas"][f"{GOOGLE}{name}"]["properties"]
    assert ours == {field for field, schema in fields.items() if schema.get("readOnly")} | {"name"}


FIELDS = {
    "displayName": Field(lambda wire: wire.get("displayName"), ("=", "!=", ":")),
    "createTime": Field(lambda wire: wire.get("createTime"), ("<", ">=", ":*"), is_time=True),
}
QUERY = Query(key="things", fields=FIELDS, orders=("displayName", "createTime"), has_labels=True)
THINGS = [
    {"displayName": "a", "createTime": "2026-11-16T00:00:00Z"},
    {"displayName": "b", "createTime": "2026-11-16T00:00:00.500Z", "labels": {"team": "x", "a key": "y"}},
    {"displayName": 'c "d"'},
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "abc"),
        ("displayName=a OR displayName=b", "ab"),
        ("displayName=a displayName=b OR displayName=a", "a"),
        ("NOT displayName=a", "bc"),
        ("-displayName=a", "bc"),
        ("NOT (displayName=a OR displayName=b)", "c"),
        (r'displayName="c \"d\""', "c"),
        ("displayName:*d*", "c"),
        ("display_name:a", "a"),
        ('createTime>="2026-11-16T00:00:00.2Z"', "b"),
        ("createTime:*", "ab"),
        ("NOT createTime:*", "c"),
        ("labels.team=x", "b"),
        ('labels."a key"=y', "b"),
        ("labels:team", "b"),
        ("NOT labels.team:*", "ac"),
    ],
)
def test_a_filter_finds_what_it_describes(text, found):
    assert "".join(thing["displayName"][0] for thing in THINGS if QUERY.condition(text)(thing)) == found


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "=a",
        "displayName",
        "displayName=",
        "displayName=a AND",
        "displayName=a OR",
        "(displayName=a",
        "NOT",
        "displayName=a)",
        'displayName="a',
        'createTime="2026-11-16T00:00:00Z"',
        "createTime<today",
        "labels=x",
        "x=y",
    ],
)
def test_a_filter_that_says_nothing_known_is_refused(text):
    with pytest.raises(ServiceError, match="Invalid filter"):
        QUERY.condition(text)


@given(st.text(max_size=20))
def test_a_filter_is_read_or_refused_and_nothing_else(text):
    try:
        condition = QUERY.condition(text)
    except ServiceError:
        return
    assert condition(THINGS[0]) in {True, False}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=8),
    st.sampled_from(["", "displayName", "displayName desc, createTime", "createTime desc"]),
    st.integers(1, 3),
)
def test_pages_show_each_thing_once_in_one_order(rows, order, size):
    things = [{"displayName": name, "createTime": timestamp(time), "n": n} for n, (name, time) in enumerate(rows)]
    seen, token = [], ""
    while True:
        page = QUERY.page(things, "here", {"orderBy": order, "pageSize": str(size), "pageToken": token})
        seen += page.get("things", [])
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert seen == QUERY.page(things, "here", {"orderBy": order}).get("things", [])
    assert sorted(thing["n"] for thing in seen) == list(range(len(things)))


@pytest.mark.parametrize("order", ["x", "displayName up", "displayName,displayName", "displayName,,createTime"])
def test_an_order_that_is_not_known_is_refused(order):
    with pytest.raises(ServiceError, match="Invalid order_by"):
        QUERY.page([], "here", {"orderBy": order})
