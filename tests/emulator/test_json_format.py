"""The fields of a job, and JSON bodies that are read with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.emulator.jobs.schema import JOB, OUTPUT_ONLY, read_job
from airflow_nbjobs.emulator.json_format import duration_nanoseconds
from tests.support.discovery import described, document, documented, problems_of

NAME = "GoogleCloudAiplatformV1NotebookExecutionJob"


def test_the_table_agrees_with_googles_discovery_document():
    assert described(dict(JOB)) == documented({"$ref": NAME})


def test_the_read_only_fields_are_those_of_the_document():
    properties = document()["schemas"][NAME]["properties"]
    assert {name for name, schema in properties.items() if schema.get("readOnly")} == OUTPUT_ONLY


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
jobs = st.fixed_dictionaries(
    {},
    optional={
        "displayName": texts,
        "labels": st.dictionaries(texts, texts),
        "directNotebookSource": st.fixed_dictionaries({"content": st.sampled_from(["", "QQ", "QUI=", "-_-_", "+/+/"])}),
        "executionTimeout": st.from_regex(r"-?[0-9]{1,11}(\.[0-9]{1,9})?s", fullmatch=True),
        "customEnvironmentSpec": st.fixed_dictionaries(
            {}, optional={"persistentDiskSpec": st.fixed_dictionaries({"diskSizeGb": st.integers(-(2**63), 2**63 - 1)})}
        ),
    },
)


@given(jobs)
def test_what_was_read_is_valid_and_reads_the_same_again(job):
    read = read_job(job)
    assert read_job(read) == read
    assert problems_of(read, NAME, "job", sent=True) == []


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("3s", 3 * 10**9), ("1.5s", 15 * 10**8), ("0.000000001s", 1), ("-2.25s", -225 * 10**7), ("0s", 0)],
)
def test_a_duration_is_read_to_the_nanosecond(text, nanoseconds):
    assert duration_nanoseconds(text) == nanoseconds


@pytest.mark.parametrize("text", ["3", "s", "1e3s", ".5s", "1.s", "+1s", " 1s", "1.0000000001s", "٣s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        duration_nanoseconds(text)
