"""Text that a notebook printed, made fit for a log: it can say anything, and do nothing."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["LINE_CHARACTERS", "plain", "plain_lines"]

LINE_CHARACTERS = 2_000
"""The longest line that is shown whole."""

# Escape sequences of a terminal (ECMA-48): colours and cursor moves, titles and links, single ones.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\r\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_LINE_ENDS = re.compile(r"[\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Controls; what is invisible, marks that turn the direction of text around among it; halves of surrogate pairs.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Airflow's log view folds lines between these.
_FOLDS = re.compile(r"::(?=(?:end)?group::)")


def plain_lines(text: str) -> list[str]:
    """Return the lines that a terminal would show at the end, without what only a terminal understands.

    Progress bars that write over themselves are left with their last state. No line holds a line break of any kind, a
    control character or a mark of direction, and none is longer than :data:`LINE_CHARACTERS`.
    """
    lines = _LINE_ENDS.split(_SEQUENCES.sub("", text))
    if lines and not lines[-1]:
        lines.pop()
    return [_plain_line(line) for line in lines]


def plain(text: str) -> str:
    """Return a text as one line of the same harmlessness."""
    return " ".join(part for line in plain_lines(text) if (part := line.strip()))


def _plain_line(line: str) -> str:
    shown = line.rstrip("\r").rpartition("\r")[2]
    shown = _FOLDS.sub(": :", _seen(shown.replace("\t", "    "))).rstrip()
    if len(shown) <= LINE_CHARACTERS:
        return shown
    return f"{shown[:LINE_CHARACTERS]} … ({len(shown) - LINE_CHARACTERS:,} more characters)"


def _seen(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(character for character in line if unicodedata.category(character) not in _UNSEEN)
