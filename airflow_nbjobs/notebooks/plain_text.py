"""Plain text for a log, from text with control characters that a notebook printed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["LINE_CHARACTERS", "LineBuffer", "plain", "plain_lines", "without_sequences"]

LINE_CHARACTERS = 2_000
"""How many characters of a line are shown."""

# Escape sequences of a terminal (ECMA-48): colors and cursor moves, titles and links, single characters.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\r\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_UNFINISHED_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*\Z|\x1b[\]PX^_][^\x07\x1b\x9c\r\n]{0,500}\Z|\x1b\Z")
_LINE_ENDS = re.compile(r"[\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_MOVES = re.compile(rf"([\r\b\t])|({_SEQUENCES.pattern})")
_MOVE_IN_LINE = re.compile(r"(?:\x1b\[|\x9b)([0-9]{0,4})([CDGK])")
# Control characters, invisible characters (among them those that reverse the direction of text), half surrogate pairs.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Airflow's log view folds the lines between these.
_FOLDS = re.compile(r"::(?=(?:end)?group::)")


class LineBuffer:
    """Lines as a terminal shows them, of text that arrives in parts.

    A carriage return or a backspace moves the cursor, and what follows overwrites what is there: of a progress bar the
    last state is left. The lines do not depend on where the text is split into parts.
    """

    def __init__(self) -> None:
        self._unfinished = ""
        self._clear()

    def feed(self, text: str) -> Iterator[str]:
        """Add text, and return the lines that end in it."""
        text, self._unfinished = self._unfinished + text, ""
        if cut := _UNFINISHED_SEQUENCE.search(text, max(0, len(text) - 600)):
            text, self._unfinished = text[: cut.start()], cut[0]
        *ended, rest = _LINE_ENDS.split(text)
        for part in ended:
            self._write(part)
            yield self._line()
        self._write(rest)

    def end(self) -> Iterator[str]:
        """Return the last line, if it has no line end."""
        if self._width:
            yield self._line()

    def _clear(self) -> None:
        self._characters: list[str] = []  # at most LINE_CHARACTERS of the line
        self._cursor = self._width = 0

    def _line(self) -> str:
        line, more = "".join(self._characters), self._width - LINE_CHARACTERS
        self._clear()
        shown = _FOLDS.sub(": :", line).rstrip()
        return f"{shown} … ({more:,} more characters)" if more > 0 else shown

    def _write(self, part: str) -> None:
        at = 0
        for move in _MOVES.finditer(part):
            self._put(part[at : move.start()])
            at = move.end()
            if move[1]:
                self._cursor = {"\r": 0, "\b": max(0, self._cursor - 1), "\t": self._cursor + 4}[move[1]]
            elif in_line := _MOVE_IN_LINE.fullmatch(move[2]):
                self._move(in_line[1], in_line[2])
        self._put(part[at:])

    def _move(self, digits: str, command: str) -> None:
        if command == "K" and digits in ("", "0", "2"):  # erase to the end of the line, or all of it
            del self._characters[0 if digits == "2" else self._cursor :]
            self._width = len(self._characters)
        elif command != "K":
            count = int(digits or 1)
            self._cursor = count - 1 if command == "G" else self._cursor + (count if command == "C" else -count)
            self._cursor = max(0, self._cursor)

    def _put(self, text: str) -> None:
        text = _visible(text)
        if kept := text[: max(0, LINE_CHARACTERS - self._cursor)]:
            self._characters += " " * (self._cursor - len(self._characters))
            self._characters[self._cursor : self._cursor + len(kept)] = kept
        self._cursor += len(text)
        self._width = max(self._width, self._cursor if text else 0)


def plain_lines(text: str) -> list[str]:
    """Return the lines that a terminal shows, without escape sequences, control characters and invisible characters.

    Of a line over :data:`LINE_CHARACTERS` the rest is counted.
    """
    buffer = LineBuffer()
    return [*buffer.feed(text), *buffer.end()]


def plain(text: str) -> str:
    """Return a text as one line, plain as :func:`plain_lines` makes it."""
    return " ".join(part for line in plain_lines(text) if (part := line.strip()))


def without_sequences(text: str) -> str:
    """Return a text without escape sequences of a terminal."""
    return _SEQUENCES.sub("", text)


def _visible(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(character for character in line if unicodedata.category(character) not in _INVISIBLE)
