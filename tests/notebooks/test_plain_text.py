"""Plain text has no control characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.notebooks.plain_text import LineBuffer, plain, plain_lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("\x1b[1;31mred\x1b[0m \x1b[38;5;208morange\x1b[m", ["red orange"]),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", ["alink"]),
        ("\x1b[2J\x1b[10A\x1b[Kup\x1bcreset\x9b31mred", ["upresetred"]),
        (" 10%\r 50%\r100%\r\n", ["100%"]),
        ("loading 10%\rdone\n", ["doneing 10%"]),
        ("loading 10%\r\x1b[Kdone\n", ["done"]),
        ("loading 10%\x1b[2K\rdone\n", ["done"]),
        ("|\b/\b-\bok\n", ["ok"]),
        ("abc\x1b[2DX\x1b[1GY\x1b[2C!", ["YXc!"]),
        ("x" * 3_000 + "\r" + "y" * 5_000, [f"{'y' * 2_000} … (3,000 more characters)"]),
        ("10%\r\r\n20%\r\n", ["10%", "20%"]),
        ("a\r\r\u2028b\r\r", ["a", "b"]),
        ("a\x08\x00\x7f\tb", ["a   b"]),
        ("\u202egnp.exe\u2066\u200b\ufeff", ["gnp.exe"]),
        ("caf\u00e9 \U0001f600 \ud800", ["caf\u00e9 \U0001f600"]),
        ("a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g", ["a", "b", "c", "d", "e", "f", "g"]),
        ("::group::j\n::endgroup::\n", [": :group::j", ": :endgroup::"]),
        ("a\n\nb\n", ["a", "", "b"]),
        ("", []),
        ("\x1b]0;no end", []),
        ("\x1b[", []),
        ("x" * 5_000, [f"{'x' * 2_000} … (3,000 more characters)"]),
    ],
)
def test_plain_lines_are_what_a_terminal_shows(text: str, lines: list[str]) -> None:
    assert [line for line in plain_lines(text) if line or "" in lines] == lines


@pytest.mark.parametrize(
    "unit", ["\r", "\r\n", "a\r", "\x1b[", "\x1b]", "\x1b", "\x9b0", "::", "\u202e", "\n"], ids=ascii
)
def test_long_text_of_special_characters_keeps_its_last_line(unit: str) -> None:
    """A pattern that takes quadratic time would take hours here."""
    assert plain_lines(unit * 500_000 + "\x07\nend")[-1] == "end"


PARTS = ["\n", "\r", "\r\n", "\b", "\x1b[31m", "\x1b[K", "\x1b[2K", "\x1b[3D", "\x1b]0;title\x07", "\t", "é", "ab", "c"]


@given(text=st.lists(st.sampled_from(PARTS)).map("".join), size=st.integers(1, 5))
def test_lines_do_not_depend_on_where_text_is_split(text: str, size: int) -> None:
    buffer = LineBuffer()
    lines = [line for at in range(0, len(text), size) for line in buffer.feed(text[at : at + size])]
    assert [*lines, *buffer.end()] == plain_lines(text)


def test_plain_has_one_line() -> None:
    assert plain(" a\n\n\x1b[1mb\u2028c ") == "a b c"
