"""Notebooks are read, checked, given parameters and written."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import keyword
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
from airflow_nbjobs.notebooks.cells import without_outputs
from airflow_nbjobs.notebooks.document import (
    check_parameter_names,
    declared_parameters,
    dump,
    encode,
    inject,
    load,
    read_file,
)
from tests.support.building import by_papermill, code, notebook, shown, stream

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
MARKDOWN = '# A report\n\n```python tags=["parameters"]\nday = None\n```\n\n```python\nprint(day)\n```\n'


@pytest.mark.parametrize(("name", "text"), [("report.py", PERCENT), ("report.md", MARKDOWN)])
def test_text_notebook_is_the_same_notebook_each_time(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    content = read_file(path)
    assert read_file(path) == content
    injected = inject(load(content, name), {"day": 1})
    sources = [cell.source for cell in injected.cells]
    assert sources == ["# A report", "day = None", "# Parameters\nday = 1\n", "print(day)"]
    nbformat.validate(injected)


def test_unreadable_text_notebook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.py"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidNotebookJobError, match=r"report\.py' cannot be read by jupytext: "):
        read_file(path)


def test_text_notebook_without_jupytext_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.py"
    path.write_text(PERCENT)
    monkeypatch.setitem(sys.modules, "jupytext", None)
    with pytest.raises(InvalidNotebookJobError, match=r"pip install 'airflow-nbjobs\[jupytext\]'"):
        read_file(path)


def test_ipynb_file_is_read_byte_for_byte(tmp_path: Path) -> None:
    content = json.dumps(notebook(code("x")), indent=7).encode()
    (tmp_path / "a.ipynb").write_bytes(content)
    assert read_file(tmp_path / "a.ipynb") == content


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_text_notebook_may_have_a_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(PERCENT.encode(encoding))
    (tmp_path / "b.py").write_bytes(PERCENT.encode())
    assert read_file(tmp_path / "a.py") == read_file(tmp_path / "b.py")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>", "is not JSON"),
        (b"[1]", "nbformat is None"),
        (b'{"nbformat": 2}', "nbformat is 2"),
        (b'{"nbformat": [4]}', r"nbformat is \[4\]"),
        (b'{"nbformat": 4, "nbformat_minor": 5}', "is not a valid notebook"),
        (b'{"nbformat": 4, "cells": null, "metadata": {}}', "is not a valid notebook"),
        (b'{"nbformat": 4, "cells": [{"source": "x"}]}', "is not a valid notebook"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "cells": [7], "metadata": {}}', "is not a valid notebook"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 7}]}', "is not a valid notebook"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"nbformat": 4, "cells": [], "metadata": {"x": %s1%s}}' % (b"[" * 900, b"]" * 900), "is not a valid noteb"),
        (b"\xff\xff", "is not JSON"),
    ],
)
def test_other_content_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_bytes(content)
    with pytest.raises(InvalidNotebookJobError, match=words):
        read_file(tmp_path / "a.ipynb")
    with pytest.raises(InvalidNotebookJobError, match=words):
        load(content, "It")


CELLS_OF_VERSION_3 = [nbformat.v3.new_code_cell(input="x"), nbformat.v3.new_heading_cell("text", level=2)]
VERSION_3 = nbformat.v3.new_notebook(worksheets=[nbformat.v3.new_worksheet(cells=CELLS_OF_VERSION_3)])
WHOLE: list[dict[str, Any]] = [{**notebook(code("x", "parameters"), nbformat.v4.new_markdown_cell("text"))}, VERSION_3]
ODD = [None, True, 4, 2**70, 0.5, math.nan, "", "text", [], ["text"], [[]], {}, {"tags": [{}]}]


def _places(part: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
        yield part, key
        yield from _places(part[key])


@given(whole=st.sampled_from(WHOLE), data=st.data())
@settings(max_examples=5 * settings.default.max_examples)
def test_damaged_notebook_is_taken_or_refused(whole: dict[str, Any], data: st.DataObject) -> None:
    damaged = json.loads(json.dumps(whole))
    part, key = data.draw(st.sampled_from(list(_places(damaged))))
    part[key] = data.draw(st.sampled_from(ODD))
    with contextlib.suppress(InvalidNotebookJobError):
        taken = without_outputs(load(json.dumps(damaged).encode(), "It"))
        check_parameter_names(taken, ["x"])
        declared_parameters(taken)
        load(dump(inject(taken, {"x": 1})), "It")


def test_notebook_with_small_faults_takes_parameters(tmp_path: Path) -> None:
    cell = b'{"cell_type": "code", "metadata": {}, "source": ["a\\n", "b"], "unknown": 1}'
    content = b'{"nbformat": 4, "metadata": {}, "cells": [%s]}' % cell
    (tmp_path / "faulty.ipynb").write_bytes(content)
    assert read_file(tmp_path / "faulty.ipynb") == content
    assert json.loads(encode(json.loads(content), "It")) == json.loads(content)
    injected = inject(load(content, "It"), {"x": 1})
    assert [cell.source for cell in injected.cells] == ["# Parameters\nx = 1\n", "a\nb"]


def test_dict_that_is_not_json_is_refused() -> None:
    with pytest.raises(InvalidNotebookJobError, match="The dict is not JSON"):
        encode({**notebook(code("x")), "metadata": {"x": object()}}, "The dict")


def test_dumped_notebook_is_loaded_unchanged() -> None:
    before = notebook(code('print("ünïcode\\n")\n\n', "a", outputs=[stream("a\nb")]))
    assert load(dump(before), "it") == before
    assert dump(load(dump(before), "it")) == dump(before)


TAGGED = notebook(code("import os"), code("day = None\nlimit = 3", "parameters"), code("print(day)"))
AGAIN = notebook(
    code("day = 1", "parameters"), code("x"), code("# Parameters\nday = 2\n", "injected-parameters"), code("y")
)
UNTAGGED = notebook(code("print(day)"))

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
names = st.from_regex(r"[^\W\d]\w{0,10}", fullmatch=True).filter(
    lambda name: name.isidentifier() and not keyword.iskeyword(name)
)


@pytest.mark.parametrize("source", [TAGGED, AGAIN, UNTAGGED], ids=["tagged", "again", "untagged"])
@given(parameters=st.dictionaries(names, json_values, max_size=5))
def test_injected_cells_are_papermills_and_the_same_each_time(
    source: nbformat.NotebookNode, parameters: dict[str, Any]
) -> None:
    ours = inject(source, parameters)
    assert shown(ours.cells) == shown(by_papermill(source, parameters).cells)
    assert dump(ours) == dump(inject(source, parameters))


@given(parameters=st.dictionaries(st.text() | st.sampled_from(keyword.kwlist), json_values, max_size=5))
@settings(max_examples=60, deadline=None)
def test_notebook_stays_valid_with_any_names(parameters: dict[str, Any]) -> None:
    nbformat.validate(load(dump(inject(TAGGED, parameters)), "it"))


def test_injected_cell_follows_the_parameters_cell() -> None:
    before = dump(TAGGED)
    cells = inject(TAGGED, {"day": "2026-11-22", "ok": True}).cells
    assert cells[2].source == '# Parameters\nday = "2026-11-22"\nok = True\n'
    assert cells[2].metadata == {"tags": ["injected-parameters"]}
    assert [cell.id for cell in (*cells[:2], cells[3])] == [cell.id for cell in TAGGED.cells]
    assert dump(TAGGED) == before


def test_exactly_one_injected_cell_is_left() -> None:
    older, last = code("day = 0", "injected-parameters"), code("day = 2", "injected-parameters")
    declared = code("day = None", "parameters")
    for cells, expected in (
        ([declared, older, code("x"), last], ["day = None", "# Parameters\nday = 1\n", "x"]),
        ([older, declared, code("x"), last], ["day = None", "# Parameters\nday = 1\n", "x"]),
        ([code("x"), older, last], ["x", "# Parameters\nday = 1\n"]),
    ):
        assert [cell.source for cell in inject(notebook(*cells), {"day": 1}).cells] == expected


def test_name_that_a_later_parameters_cell_assigns_is_not_declared() -> None:
    cells = [code("day = 1\nlimit = 2", "parameters"), code("day = None", "parameters")]
    assert declared_parameters(notebook(*cells)) == {"limit"}


def test_second_injection_replaces_the_first() -> None:
    assert inject(inject(TAGGED, {"day": 1}), {"day": 2}) == inject(TAGGED, {"day": 2})


def test_parameters_are_noted_where_scrapbook_reads_them() -> None:
    before = notebook(code("x"))
    before.metadata["papermill"] = {"version": "1", "parameters": {"old": 1}}
    before.metadata["colab"] = {"name": "report"}
    after = inject(before, {"day": dt.date(2026, 11, 22)}).metadata
    assert after == {**before.metadata, "papermill": {"version": "1", "parameters": {"day": "2026-11-22"}}}


def test_older_minor_version_is_kept_without_ids() -> None:
    older = notebook(code("x", "parameters"))
    older.nbformat_minor = 4
    del older.cells[0]["id"]
    injected = inject(older, {"x": 1})
    assert injected.nbformat_minor == 4
    assert ["id" in cell for cell in injected.cells] == [False, False]
    nbformat.validate(injected)


def test_missing_ids_are_hashes_of_the_content() -> None:
    broken = notebook(code("same"), code("same"), code("other"))
    for cell in broken.cells:
        del cell["id"]
    injected = inject(broken, {})
    assert injected == inject(broken, {})
    assert len({cell.id for cell in injected.cells}) == 4
    nbformat.validate(injected)


def test_version_3_becomes_version_4() -> None:
    injected = inject(VERSION_3, {"x": 1})
    assert (injected.nbformat, [cell.source for cell in injected.cells[:2]]) == (4, ["# Parameters\nx = 1\n", "x"])
    assert injected == inject(VERSION_3, {"x": 1})
    nbformat.validate(injected)


def test_half_a_surrogate_pair_survives() -> None:
    injected = load(dump(inject(TAGGED, {"a": "\ud800"})), "it")
    assert injected.metadata.papermill.parameters == {"a": "\ud800"}


@pytest.mark.parametrize(
    ("source", "declared"),
    [
        ("day = 1\nlimit: int = f(x=1)\na, (b, *c) = 1, (2, 3)\nif day:\n    late = 2", "a b c day late limit"),
        ("%matplotlib inline\nday = 1", "day"),
        ("", ""),
    ],
)
def test_declared_parameters_are_what_the_cell_assigns(source: str, declared: str) -> None:
    assert declared_parameters(notebook(code(source, "parameters"))) == set(declared.split())


def test_declared_parameters_are_unknown_without_a_cell_or_in_r() -> None:
    assert declared_parameters(UNTAGGED) is None
    assert declared_parameters(notebook(code("a = 1", "parameters"), kernel=("ir", "R"))) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_file_is_sent_in_utf8(tmp_path: Path, encoding: str) -> None:
    text = '{"nbformat": 4, "nbformat_minor": 4, "metadata": {"title": "ünï 🎈"}, "cells": []}'
    path = tmp_path / "notebook.ipynb"
    path.write_bytes(text.encode(encoding))
    assert read_file(path) == text.encode()
    assert load(text.encode(encoding), "it") == load(text.encode(), "it")
