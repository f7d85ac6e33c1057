"""A notebook of any size and content is split into pieces in limited memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_nbjobs.notebooks.scanner import PIECE_BYTES, pieces
from tests.support.building import PEAK

NOTEBOOK: dict[str, Any] = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {"tags": ["cells"], "deep": {"outputs": [{"cells": []}]}},
            "outputs": [
                {"name": "stdout", "output_type": "stream", "text": ['a"b[{\\', "é\n"]},
                {"ename": "E", "evalue": '"outputs": [', "output_type": "error", "traceback": ["[]{}"]},
            ],
            "source": ["cells", "x = ["],
        },
        {"cell_type": "markdown", "metadata": {}, "source": '"cells": [{'},
    ],
    "metadata": {"kernelspec": {"name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["cells", "outputs"]), inner),
    max_leaves=5,
)


def chunked(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def split(notebook: dict[str, Any]) -> list[tuple[str, Any]]:
    expected: list[tuple[str, Any]] = []
    for cell in notebook["cells"]:
        expected += [("output", output) for output in cell.get("outputs", [])]
        expected.append(("cell", {**cell, "outputs": []} if "outputs" in cell else cell))
    return [*expected, ("notebook", {**notebook, "cells": []})]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
@pytest.mark.parametrize("style", [{}, {"indent": 1}, {"ensure_ascii": False}], ids=["dense", "indented", "utf8"])
def test_pieces_add_up_to_the_notebook(style: dict[str, Any], size: int) -> None:
    content = json.dumps(NOTEBOOK, **style).encode()
    found = list(pieces(chunked(content, size)))
    assert [(piece.kind, piece.value) for piece in found] == split(NOTEBOOK)
    assert all(piece.is_whole for piece in found)


@given(
    outputs=st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=3),
    metadata=st.dictionaries(st.text(), json_values, max_size=4),
    size=st.integers(1, 200),
)
@settings(max_examples=2 * settings.default.max_examples)
def test_any_json_is_returned_unchanged(outputs: list[Any], metadata: dict[str, Any], size: int) -> None:
    cell = {"cell_type": "code", "metadata": metadata, "outputs": outputs, "source": "x"}
    notebook = {"cells": [cell], "metadata": metadata, "nbformat": 4}
    found = pieces(chunked(json.dumps(notebook).encode(), size))
    # Compared as text, since NaN is not equal to itself.
    assert [(piece.kind, json.dumps(piece.value)) for piece in found] == [
        (kind, json.dumps(value)) for kind, value in split(notebook)
    ]


def test_truncated_notebook_gives_the_pieces_before_the_cut() -> None:
    content = json.dumps(NOTEBOOK).encode()
    for end in range(1, len(content)):
        *whole, last = pieces([content[:end]])
        assert (last.kind, last.is_whole) == ("notebook", False)
        inner = [piece for piece in whole if piece.is_whole]
        assert [(piece.kind, piece.value) for piece in inner] == split(NOTEBOOK)[: len(inner)]


@given(content=st.binary(max_size=300))
@settings(max_examples=10 * settings.default.max_examples)
def test_no_bytes_raise_an_error(content: bytes) -> None:
    list(pieces(chunked(content, 7)))
    list(pieces([json.dumps(NOTEBOOK).encode()[:150], content, b'"]}}]}']))


def test_beginning_and_end_of_a_too_large_output_are_kept() -> None:
    large = {"name": "stdout", "output_type": "stream", "text": ["0123456789\n"] * (PIECE_BYTES // 10)}
    notebook = {"cells": [{"cell_type": "code", "outputs": [large, {"output_type": "error"}]}], "nbformat": 4}
    content = json.dumps(notebook).encode()
    first, second, *_ = pieces(chunked(content, 2**16))
    assert (first.is_whole, first.size) == (False, len(json.dumps(large)))
    assert first.value["text"][:5_000] == large["text"][:5_000]
    assert first.value["text"][-5_000:] == large["text"][-5_000:]
    assert (second.is_whole, second.value) == (True, {"output_type": "error"})


@pytest.mark.parametrize("size", [100, 2**20], ids=["in many chunks", "in one"])
def test_output_that_cannot_be_parsed_is_skipped(size: int) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    content = b'{"cells":[{"cell_type":"code","outputs":[{"x":%s},{"output_type":"error"}],"source":"1"}]}' % deep
    first, second, cell, notebook = pieces(chunked(content, size))
    assert (first.is_whole, first.size) == (False, len(deep) + 6)
    assert [piece.is_whole for piece in (second, cell, notebook)] == [True, True, True]


@pytest.mark.parametrize(("value", "read"), [(b"9" * 5_000, float("inf")), (b'"a\xff\xfeb"', "a\ufffd\ufffdb")])
def test_unreadable_numbers_and_bytes_are_replaced(value: bytes, read: Any) -> None:
    (output, *_) = pieces([b'{"cells":[{"outputs":[{"x":%s}]}]}' % value])
    assert output.value == {"x": read}


HUGE = """
import sys
from airflow_nbjobs.notebooks.outcome import read_outcome

def chunks(kind):
    yield b'{"cells":[{"cell_type":"code","metadata":{},"outputs":['
    if kind == "outputs":
        for _ in range(250):
            yield b'{"name":"stdout","output_type":"stream","text":["x"]},' * 1_000
    else:
        yield b'{"name":"stdout","output_type":"stream","text":["'
        for _ in range(50):
            yield {"line": b"x" * 10**6, "lines": b'x\\\\n","' * 10**5}[kind]
        yield b'"]},'
    yield b'{"ename":"E","evalue":"v","output_type":"error","traceback":[]}],"source":"1/0"}],"nbformat":4}'

before = peak()
outcome = read_outcome(chunks(sys.argv[1]))
print(outcome.failure, peak() - before)
"""


@pytest.mark.parametrize("kind", ["line", "lines", "outputs"])
def test_failing_cell_of_a_huge_notebook_takes_little_memory(kind: str) -> None:
    """They have up to 50 MB: in one line, in 5 million lines, or in 250,000 outputs."""
    run = subprocess.run([sys.executable, "-c", PEAK + HUGE, kind], capture_output=True, text=True, check=True)
    failure, _, megabytes = run.stdout.strip().rpartition(" ")
    assert failure == "cell 1: E: v"
    assert int(megabytes) < 15
