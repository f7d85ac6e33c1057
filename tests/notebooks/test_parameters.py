"""Values of parameters become JSON, or are refused with their place."""

from __future__ import annotations

import datetime as dt
import enum
import math
from typing import Any

import numpy as np
import pandas as pd
import pendulum
import pytest

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.parameters import plain_parameters


class Color(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


class Odd(str):
    def __str__(self) -> str:
        return '"; import os'


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (dt.date(2026, 11, 22), "2026-11-22"),
        (dt.datetime(2026, 11, 22, 1, 2, 3, tzinfo=dt.UTC), "2026-11-22T01:02:03+00:00"),
        (dt.datetime(2026, 11, 22), "2026-11-22T00:00:00"),  # noqa: DTZ001 - a naive one
        (pendulum.datetime(2026, 11, 22, tz="Europe/Berlin"), "2026-11-22T00:00:00+01:00"),
        ((1, [2, (3,)]), [1, [2, [3]]]),
        (range(2), [0, 1]),
        (Color.RED, "red"),
        (Size.LARGE, 3),
        (Odd("plain"), "plain"),
        (np.bool_(True), True),
        (np.int8(-3), -3),
        (np.uint64(2**63), 2**63),
        (np.float32(0.5), 0.5),
        (np.float64(1.5), 1.5),
        (np.longdouble(1.5), 1.5),
        (np.str_("é"), "é"),
        (np.datetime64("2026-11-22"), "2026-11-22"),
        (np.datetime64("2026-11-22T01:02:03", "ns"), "2026-11-22T01:02:03"),
        (pd.Timestamp("2026-11-22 01:02:03.5"), "2026-11-22T01:02:03.500000"),
        (pd.Timestamp("2026-11-22", tz="Europe/Berlin"), "2026-11-22T00:00:00+01:00"),
        ([np.int64(1), {"a": np.float64(2)}], [1, {"a": 2.0}]),
    ],
)
def test_value_becomes_json(value: Any, plain: Any) -> None:
    converted = plain_parameters({"a": value})["a"]
    assert (type(converted), converted) == (type(plain), plain)


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"a": {1, 2}}, r"parameters\['a'\] is of type set"),
        ({"a": {"b": [0, b"x"]}}, r"parameters\['a'\]\['b'\]\[1\] is of type bytes"),
        ({"a": [object()]}, r"parameters\['a'\]\[0\] is of type object"),
        ({"a": {1: 2}}, r"parameters\['a'\] has the key 1"),
        ({1: 2}, r"parameters has the key 1"),
        ({"a": math.nan}, r"parameters\['a'\] is nan"),
        ({"a": [-math.inf]}, r"parameters\['a'\]\[0\] is -inf"),
        ({"a": [np.float32("nan")]}, r"parameters\['a'\]\[0\] is nan, which JSON does not have"),
        ({"a": np.float64("inf")}, r"parameters\['a'\] is inf"),
        ({"a": pd.NaT}, r"parameters\['a'\] is NaT, which JSON does not have"),
        ({"a": {"b": pd.NA}}, r"parameters\['a'\]\['b'\] is NA"),
        ({"a": np.datetime64("NaT")}, r"parameters\['a'\] is NaT"),
        ({"a": np.timedelta64(1, "ns")}, r"parameters\['a'\] is of type timedelta64"),
        ({"a": pd.Timedelta(1)}, r"parameters\['a'\] is of type Timedelta"),
        ({"a": np.complex128(1)}, r"parameters\['a'\] is of type complex128"),
        ({"a": np.array([1])}, r"parameters\['a'\] is of type ndarray"),
        ({"a": 10**5000}, r"parameters\['a'\] is a number too long"),
        ({"a": dt.timedelta(1)}, r"parameters\['a'\] is of type timedelta"),
        ({"a": ENDLESS}, "nested more than 90 levels deep, or contains itself"),
        (["a"], "is not a mapping"),
    ],
)
def test_other_value_is_refused_with_its_place(parameters: Any, words: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match=words):
        plain_parameters(parameters)
