"""Notebooks are read, checked and written."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.document import (
    check_parameter_names,
    declared_parameters,
    dump,
    encode,
    inject,
    load,
    read_file,
    without_outputs,
)
from tests.support.building import code, notebook

PERCENT = """# ---
# jupyter:
#   kernelspec:
#     name: python3
#     display_name: Python 3
#     language: python
# ---

# %% [markdown]
# # A report

# %% tags=["parameters"]
day = None

# %%
print(day)
"""
MARKDOWN = """# A report

```python tags=["parameters"]
day = None
```

```python
print(day)
```
"""


@pytest.mark.parametrize(("name", "text"), [("report.py", PERCENT), ("report.md", MARKDOWN)])
def test_a_text_notebook_is_a_notebook_the_same_each_time(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    content = read_file(path)
    assert read_file(path) == content
    injected = inject(load(content, name), {"day": 1})
    assert [cell.source for cell in injected.cells] == [
        "# A report",
        "day = None",
        "# Parameters\nday = 1\n",
        "print(day)",
    ]
    nbformat.validate(injected)


def test_a_text_notebook_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    path = tmp_path / "report.py"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidNotebookJobError, match=r"report\.py' cannot be read by jupytext: "):
        read_file(path)


def test_without_jupytext_a_text_notebook_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.py"
    path.write_text(PERCENT)
    monkeypatch.setitem(sys.modules, "jupytext", None)
    with pytest.raises(InvalidNotebookJobError, match=r"pip install 'airflow-nbjobs\[jupytext\]'"):
        read_file(path)


def test_an_ipynb_file_is_read_as_it_is(tmp_path: Path) -> None:
    content = json.dumps(notebook(code("x")), indent=7).encode()
    (tmp_path / "a.ipynb").write_bytes(content)
    assert read_file(tmp_path / "a.ipynb") == content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>", "is not JSON"),
        (b"[1]", "nbformat is None"),
        (b'{"nbformat": 2}', "nbformat is 2"),
        (b'{"nbformat": [4]}', r"nbformat is \[4\]"),
        (b'{"nbformat": 4, "nbformat_minor": 5}', "is not a valid notebook"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "cells": [7], "metadata": {}}', "is not a valid notebook"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 7}]}', "is not a valid notebook"),
        (b"[" * 100_000, "is not JSON"),
        (
            b'{"nbformat": 4, "cells": [], "metadata": {"x": %s1%s}}' % (b"[" * 900, b"]" * 900),
            "is not a valid notebook",
        ),
        (b"\xff\xff", "is not JSON"),
    ],
)
def test_what_is_no_notebook_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_bytes(content)
    with pytest.raises(InvalidNotebookJobError, match=words):
        read_file(tmp_path / "a.ipynb")
    with pytest.raises(InvalidNotebookJobError, match=words):
        load(content, "It")


WHOLE: list[dict[str, Any]] = [
    {**notebook(code("x", "parameters"), nbformat.v4.new_markdown_cell("text"))},
    {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "x"},
        "worksheets": [
            {
                "cells": [
                    {"cell_type": "code", "input": ["x"], "language": "python", "outputs": [], "metadata": {}},
                    {"cell_type": "heading", "level": 2, "source": "text", "metadata": {}},
                ]
            }
        ],
    },
]


def _places(part: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
        yield part, key
        yield from _places(part[key])


@given(whole=st.sampled_from(WHOLE), data=st.data())
@settings(max_examples=5 * settings.default.max_examples)
def test_a_notebook_that_is_damaged_anywhere_is_taken_or_refused(whole: dict[str, Any], data: st.DataObject) -> None:
    damaged = json.loads(json.dumps(whole))
    part, key = data.draw(st.sampled_from(list(_places(damaged))))
    odd = [None, True, 4, 2**70, 0.5, math.nan, "", "text", [], ["text"], [[]], {}, {"tags": [{}]}]
    part[key] = data.draw(st.sampled_from(odd))
    with contextlib.suppress(InvalidNotebookJobError):
        taken = without_outputs(load(json.dumps(damaged).encode(), "It"))
        check_parameter_names(taken, ["x"])
        declared_parameters(taken)
        load(dump(inject(taken, {"x": 1})), "It")


def test_a_notebook_with_small_faults_can_be_given_parameters(tmp_path: Path) -> None:
    cell = b'{"cell_type": "code", "metadata": {}, "source": ["a\\n", "b"], "unknown": 1}'
    content = b'{"nbformat": 4, "metadata": {}, "cells": [%s]}' % cell
    (tmp_path / "faulty.ipynb").write_bytes(content)
    assert read_file(tmp_path / "faulty.ipynb") == content
    assert json.loads(encode(json.loads(content), "It")) == json.loads(content)
    injected = inject(load(content, "It"), {"x": 1})
    assert [cell.source for cell in injected.cells] == ["# Parameters\nx = 1\n", "a\nb"]


def test_a_dict_that_is_no_json_is_refused() -> None:
    with pytest.raises(InvalidNotebookJobError, match="The dict is not JSON"):
        encode({**notebook(code("x")), "metadata": {"x": object()}}, "The dict")


def test_what_is_dumped_is_loaded_again() -> None:
    before = notebook(code('print("ünïcode\\n")\n\n', "a", outputs=[nbformat.v4.new_output("stream", text="a\nb")]))
    assert load(dump(before), "it") == before
    assert dump(load(dump(before), "it")) == dump(before)


def test_what_earlier_runs_left_is_taken_away() -> None:
    left = {
        "execution": {"iopub.execute_input": "2026-11-22T00:00:00Z"},
        "executionInfo": {"user": {"displayName": "A Person"}},
        "papermill": {"duration": 1},
        "outputId": "1",
    }
    output = nbformat.v4.new_output("stream", text="secret")
    ran = notebook(
        code("x", "keep", outputs=[output], execution_count=7),
        nbformat.v4.new_markdown_cell("text"),
    )
    ran.cells[0].metadata |= left
    ran.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    ran.metadata["colab"] = {"provenance": []}
    before = dump(ran)
    bare = without_outputs(ran)
    assert (bare.cells[0].outputs, bare.cells[0].execution_count) == ([], None)
    assert bare.cells[0].metadata == {"tags": ["keep"]}
    assert bare.cells[1] == ran.cells[1]
    assert bare.metadata.keys() == {"kernelspec", "colab"}
    assert bare.cells[0].id == ran.cells[0].id
    assert dump(ran) == before
    nbformat.validate(bare)
