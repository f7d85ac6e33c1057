"""Values are read from the text that Python, numpy and pandas write for them."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.lib.pretty import pretty

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.literals import read_value
from airflow_nbjobs.notebooks.parameters import plain_parameters
from airflow_nbjobs.notebooks.scalars import find_missing

NUMPY = [
    np.bool_(True), np.int8(-3), np.int16(1), np.int64(5), np.uint64(2**63), np.longlong(7), np.float16(0.5),
    np.float32(0.5), np.float64(1.5), np.longdouble(1.5), np.str_("é'"), np.datetime64("2026-11-22"),
    np.datetime64("2026-11"), np.datetime64("2026-11-22T01:02:03", "ns"),
    np.datetime64("2026-11-22T01:02:03.000000001"),
]  # fmt: skip
PANDAS = [
    pd.Timestamp("2026-11-22"), pd.Timestamp("2026-11-22 01:02:03.5"), pd.Timestamp("2026-11-22", tz="Europe/Berlin"),
    pd.Timestamp("2026-11-22 00:00:00.000000001"), pd.Timestamp("2026-11-22", tz="UTC"),
]  # fmt: skip
PYTHON = [
    None, True, -1, 1e300, "a\n'b", (1, [2, {"a": None}]), {"a": {"b": ()}}, dt.date(2026, 11, 22),
    dt.datetime(2026, 11, 22, 1, 2, 3, 4), dt.datetime(2026, 11, 22, tzinfo=dt.UTC),  # noqa: DTZ001
    dt.datetime(2026, 11, 22, tzinfo=dt.timezone(dt.timedelta(hours=-5))),
    dt.datetime(2026, 11, 22, tzinfo=ZoneInfo("Europe/Berlin")),
]  # fmt: skip
MISSING = [np.float32("nan"), np.float64("-inf"), np.datetime64("NaT"), pd.NaT, pd.NA, float("nan"), float("inf")]


@pytest.mark.parametrize("value", [*NUMPY, *PANDAS, *PYTHON], ids=repr)
def test_value_is_read_as_it_is_given_as_a_parameter(value: Any) -> None:
    plain = plain_parameters({"a": value})["a"]
    read = read_value(repr(value))
    assert (type(read), read) == (type(plain), plain)
    assert read_value(pretty({"a": [value]})) == {"a": [plain]}


@pytest.mark.parametrize("value", MISSING, ids=repr)
def test_missing_value_is_found_where_a_parameter_is_refused(value: Any) -> None:
    for read in (read_value(repr(value)), read_value(repr([value]))):
        assert find_missing(read, "it") is not None
    with pytest.raises(InvalidNotebookJobError, match="which JSON does not have"):
        plain_parameters({"a": value})


@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_json_and_literals_are_read_alike(value: Any) -> None:
    assert read_value(json.dumps(value)) == read_value(repr(value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "x", "print(1)", "{1, 2}", "b'x'", "1j", "array([1])", "np.timedelta64(1,'D')", "Timedelta('1 days')", "a.b",
     "__import__('os')", "os.nan", "Decimal('1')", "{**{}}", "[1", "\0", "(" * 10_000, "lambda: 1", "f'{1}'", "utc",
     "np.int64(1, 2)", "np.int64([])", "datetime.datetime(1)", "-'a'", "1 + 1", "{[]: 1}"],
)  # fmt: skip
def test_other_text_is_not_a_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_value(text)
