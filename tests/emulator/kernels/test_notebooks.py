"""Notebooks that nbclient and papermill run although they do not match nbformat's schema."""

from __future__ import annotations

import codecs
import json
import warnings

import nbclient
import nbformat
import pytest

from airflow_nbjobs.emulator.jobs import execution
from airflow_nbjobs.emulator.kernels.notebooks import load
from tests.support import kernels


def document(minor=5, metadata=None, **cell):
    """Return a notebook whose first cell has these fields; a field that is ``...`` is missing."""
    fields = {"cell_type": "code", "metadata": {}, "source": "x = 6", "outputs": [], "execution_count": None, **cell}
    first = {name: value for name, value in fields.items() if value is not ...}
    second = {"cell_type": "code", "metadata": {}, "source": "print('on')", "outputs": [], "execution_count": None}
    whole = {"nbformat": 4, "nbformat_minor": minor, "metadata": {} if metadata is None else metadata}
    return {**{key: value for key, value in whole.items() if value is not ...}, "cells": [first, second]}


ODD = {
    "an id before 4.5": document(2, id="abc"),
    "a null id": document(id=None),
    "an empty id": document(id=""),
    "an id with other characters": document(id="a b/ü"),
    "an id that is a number": document(id=7),
    "an id that is too long": document(id="x" * 65),
    "no minor version": document(...),
    "a null minor version": document(None),
    "a future minor version": document(99, new_field=1),
    "null metadata of a cell": document(metadata_of_cell=None),
    "tags that are null": document(metadata_of_cell={"tags": None}),
    "tags that are a text": document(metadata_of_cell={"tags": "parameters"}),
    "tags that are no texts": document(metadata_of_cell={"tags": ["a", 1, None, {}, "a", ""]}),
    "a tag with a comma": document(metadata_of_cell={"tags": ["a,b"]}),
    "collapsed that is no boolean": document(metadata_of_cell={"collapsed": "yes"}),
    "an unknown cell type": document(cell_type="heading"),
    "a cell type that is not text": document(cell_type=["code"]),
    "no cell type": document(cell_type=...),
    "source that is a number": document(source=3),
    "an unknown field of a cell": document(level=1),
    "null source": document(source=None),
    "a list of lines": document(source=["x = 1\n", "x"]),
    "null outputs": document(outputs=None),
    "malformed outputs": document(outputs=[{"output_type": "nothing"}], execution_count="1"),
    "no outputs": document(outputs=..., execution_count=...),
    "attachments of a code cell": document(attachments=None),
    "null language_info": document(metadata={"language_info": None}),
    "language_info without a name": document(metadata={"language_info": {}}),
    "null kernelspec": document(metadata={"kernelspec": None}),
    "kernelspec without a name": document(metadata={"kernelspec": {"display_name": "P"}}),
    "kernelspec with a number": document(metadata={"kernelspec": {"name": 3, "display_name": None}}),
    "authors that are a text": document(metadata={"authors": "Ada"}),
}
for made in ODD.values():
    for each in made["cells"]:
        if "metadata_of_cell" in each:
            each["metadata"] = each.pop("metadata_of_cell")
ODD["null metadata"] = {**document(), "metadata": None}
ODD["no metadata"] = {key: value for key, value in document().items() if key != "metadata"}
ODD["two equal ids"] = {**document(), "cells": [{**cell, "id": "same"} for cell in document()["cells"]]}
ODD["a decimal version"] = {**document(), "nbformat": 4.0}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_an_odd_notebook_becomes_a_valid_one(odd):
    notebook, _ = load(json.dumps(odd).encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nbformat.validate(notebook, relax_add_props=True)
    assert notebook.cells[1].source == "print('on')"
    nbclient.NotebookClient(notebook)


def test_the_first_thing_that_is_wrong_is_reported():
    _, wrong = load(json.dumps(ODD["null metadata of a cell"]).encode())
    assert wrong == "None is not of type 'object' in notebook['cells'][0]['metadata']"
    assert load(json.dumps(document(id="a")).encode())[1] == ""


def test_a_valid_id_usable_tags_and_the_name_of_a_kernel_are_kept():
    notebook, _ = load(json.dumps(ODD["an id before 4.5"]).encode())
    assert notebook.cells[0].id == "abc"
    notebook, _ = load(json.dumps(ODD["tags that are a text"]).encode())
    assert notebook.cells[0].metadata.tags == ["parameters"]
    notebook, _ = load(json.dumps(ODD["a tag with a comma"]).encode())
    assert notebook.cells[0].metadata.tags == ["a", "b"]
    notebook, _ = load(json.dumps(document(metadata={"kernelspec": {"name": "k"}})).encode())
    assert notebook.metadata.kernelspec.name == "k"


def test_an_odd_notebook_runs_and_the_log_warns(api, caplog):
    content = json.dumps(document(2, id="abc")).encode()
    api.emulator.upload("gs://emulator-source/odd.ipynb", content)
    source = {"uri": "gs://emulator-source/odd.ipynb"}
    name = api.create(directNotebookSource=None, gcsNotebookSource=source)
    api.reaches(name, "SUCCEEDED")
    (message,) = [record.getMessage() for record in caplog.records if record.name == execution.__name__]
    assert message == (
        f"The notebook of {name} does not match nbformat: 2 is less than the minimum of 4 in notebook['nbformat_minor']"
    )


ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_notebook_in_another_encoding_is_read(encoding):
    text = json.dumps(document(source="'ünï 🎈'"), ensure_ascii=False)
    notebook, wrong = load(text.encode(encoding))
    assert (notebook.cells[0].source, wrong) == ("'ünï 🎈'", "")


def test_a_notebook_with_a_byte_order_mark_runs(tmp_path):
    ended = kernels.run(tmp_path / "s", codecs.BOM_UTF8 + json.dumps(document(source="print('ü')")).encode())
    assert (ended.ok, ended.message) == (True, "")
    assert kernels.texts(ended) == ["ü\n", "on\n"]
