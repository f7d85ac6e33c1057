"""Plain text for a log, from text with control characters that a notebook printed."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["LINE_CHARACTERS", "plain", "plain_lines"]

LINE_CHARACTERS = 2_000
"""How many characters of a line are shown."""

# Escape sequences of a terminal (ECMA-48): colors and cursor moves, titles and links, single characters.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\r\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_LINE_ENDS = re.compile(r"[\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Control characters, invisible characters (among them those that reverse the direction of text), half surrogate pairs.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Airflow's log view folds the lines between these.
_FOLDS = re.compile(r"::(?=(?:end)?group::)")


def plain_lines(text: str) -> list[str]:
    """Return the lines of a text without escape sequences, control characters and invisible characters.

    Of a progress bar that overwrites itself with carriage returns, the last state is left. Of a line over
    :data:`LINE_CHARACTERS` the rest is counted.
    """
    lines = _LINE_ENDS.split(_SEQUENCES.sub("", text))
    if lines and not lines[-1]:
        lines.pop()
    return [_plain_line(line) for line in lines]


def plain(text: str) -> str:
    """Return a text as one line, plain as :func:`plain_lines` makes it."""
    return " ".join(part for line in plain_lines(text) if (part := line.strip()))


def _plain_line(line: str) -> str:
    shown = line.rstrip("\r").rpartition("\r")[2]
    shown = _FOLDS.sub(": :", _visible(shown.replace("\t", "    "))).rstrip()
    if len(shown) <= LINE_CHARACTERS:
        return shown
    return f"{shown[:LINE_CHARACTERS]} … ({len(shown) - LINE_CHARACTERS:,} more characters)"


def _visible(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(character for character in line if unicodedata.category(character) not in _INVISIBLE)
