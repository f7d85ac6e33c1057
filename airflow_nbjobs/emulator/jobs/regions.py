"""The regions of Colab Enterprise, to warn about a location that is probably misspelt."""

from __future__ import annotations

import difflib

# The documented ones as of 2 October 2026. A later one works here too, with a warning.
_NUMBERS = {
    "africa-south": [1], "asia-east": [1, 2], "asia-northeast": [1, 3], "asia-south": [1, 2], "asia-southeast": [1, 2],
    "australia-southeast": [1], "europe-central": [2], "europe-north": [1], "europe-southwest": [1],
    "europe-west": [1, 2, 3, 4, 6, 8, 9, 10, 12], "me-central": [1, 2], "me-west": [1], "northamerica-northeast": [1],
    "southamerica-east": [1], "us-central": [1], "us-east": [1, 4, 5], "us-south": [1], "us-west": [1, 2, 4],
}  # fmt: skip
_REGIONS = [f"{area}{number}" for area, numbers in _NUMBERS.items() for number in numbers]


def problem_of(location: str) -> str:
    """Return a warning about an unknown location, with the nearest region; empty for a known one."""
    if location in _REGIONS:
        return ""
    text = f"Location {location!r} is not a known region of Colab Enterprise"
    nearest = difflib.get_close_matches(location, _REGIONS, n=1)
    return f"{text}; did you mean {nearest[0]!r}?" if nearest else f"{text}."
