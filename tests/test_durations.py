"""Durations as text."""

from __future__ import annotations

import pytest

from airflow_nbjobs.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.4, "0.4 s"),
        (2, "2 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (192, "3 min 12 s"),
        (3599.9, "1 h"),
        (7512, "2 h 5 min"),
        (90_000, "25 h"),
    ],
)
def test_durations_are_rounded_to_what_matters(seconds, text):
    assert in_words(seconds) == text
