"""A tagged cell prints one value, or text and then one value."""

from __future__ import annotations

import contextlib
import json
import pprint
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.notebooks.printed_value import NoValueError, UnclearValueError, printed_value

VALUE = {"a": [1, {"b": "x {[("}], "c": None}
LONG = {"rows": list(range(50)), "text": "it's [fine]"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (json.dumps(VALUE), VALUE),
        (json.dumps(VALUE, indent=1), VALUE),
        (json.dumps(VALUE, indent=0), VALUE),
        (str(VALUE), VALUE),
        (pprint.pformat(LONG), LONG),
        (f"read 3 files\n[INFO] [main] it's done\n{json.dumps(LONG, indent=2)}\n\n", LONG),
        (f"5\n(3, 4)\nTrue\n{VALUE}", VALUE),
        ("50%\r100%\r\n50%\r{'a': 1}\r\n", {"a": 1}),
        ("\x1b[32m{'a': 1}\x1b[0m\n", {"a": 1}),
        ("(3, 4)", [3, 4]),
        ("5", 5),
        ("the mean is\n 1.5 \n", 1.5),
        ("done\n'text'", "text"),
        ("np.float64(1.5)\n", 1.5),
        ("Timestamp('2026-11-22 00:00:00')", "2026-11-22T00:00:00"),
        ("{not a value}\n{'a': 1}", {"a": 1}),
        ("[\n[\n{'a': 1}", {"a": 1}),
    ],
)
def test_value_on_the_last_lines_counts(text: str, value: Any) -> None:
    assert printed_value(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1}\n{"a": 2}\n', "it prints 2 values"),
        ("1\n2\n3\n", "it prints 3 values"),
        ("[1]\ntext\n{'a': 1}", "it prints 2 values"),
        ("{'a': 1}\nNone\n", "it prints 2 values"),
        ("{'a': 1}\ndone\n", "it prints text after its value"),
        ("{'a': 1} done\n[2]\ndone", "it prints text after its value"),
    ],
)
def test_unclear_value_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(UnclearValueError, match=reason):
        printed_value(text)


@pytest.mark.parametrize("text", ["", "text", "5\ndone", "[INFO] done", "{'a': 1", "[" * 1_000, "{1: object()}"])
def test_text_without_a_value_has_none(text: str) -> None:
    with pytest.raises(NoValueError):
        printed_value(text)


@pytest.mark.parametrize("unit", ["[\n", "{'a':\n", "(((\n", '"\n', "5\n", "[1,\n", "')\n"])
def test_many_lines_that_begin_a_value_are_read_in_linear_time(unit: str) -> None:
    """A search that takes quadratic time would take hours here."""
    with pytest.raises((NoValueError, UnclearValueError)):
        printed_value(unit * (200_000 // len(unit)) + "end")


@given(text=st.text(alphabet="[]{}()'\",: \n1a\\"))
def test_no_text_raises_another_error(text: str) -> None:
    with contextlib.suppress(NoValueError, UnclearValueError):
        printed_value(text)
