"""The names that a Python cell assigns are found as IPython runs the cell."""

from __future__ import annotations

import ast

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from airflow_nbjobs.notebooks.python_names import python_names

CELLS = {
    "%matplotlib inline\ns = \"a=b\"\nt = 'x'  # c = d": "s t",
    "!pip install x==1\na = 1": "a",
    "!echo it's (\na = 1": "a",
    "!echo a \\\n  b = 1\nc = 2": "c",
    "%load_ext autoreload\n%autoreload 2\na = 1\n%matplotlib inline": "a",
    "files = !ls\nhere = %pwd\na, b = %magic x = 1": "a b files here",
    "if True:\n    %matplotlib inline\n    a = 1": "a",
    "text = '''\n%not = magic\n!not = shell\n'''\na = 1": "a text",
    "a = (5\n% 3)\nb = a != 2": "a b",
    "print?\n?print\nprint??\na = 1": "a",
    ">>> a = 1\n>>> if a:\n...     b = 2": "a b",
    "In [1]: a = 1": "a",
    "    a = 1\n    b = 2": "a b",
    "\n\n%time\na = 1": "a",
    "": "",
    "# %%time\na = 1": "a",
    "a = 1\nb: int = 2\nc, (d, *e) = 1, (2, 3)\nfor f in a:\n    pass\nwith x as g:\n    pass": "a b c d e f g",
}


@pytest.mark.parametrize("source", CELLS)
def test_names_are_those_that_ipython_would_assign(source: str) -> None:
    transformed = ast.walk(ast.parse(TransformerManager().transform_cell(source)))
    by_ipython = {node.id for node in transformed if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert python_names(source) == set(CELLS[source].split()) == by_ipython


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(x):\n    y = 1\n    return [z for z in x]\na = 1", "a"),
        ("class C:\n    b = 1\na = [i for i in (j := [1])] + list(k for k in {m: m for m in {n for n in a}})", "a"),
        ("a = lambda: (b := 1)\nif (c := 2):\n    d = 3", "a c d"),
        ("async def f():\n    b = 1\na = 1", "a"),
        ("%%time\na = 1", "a"),
        ("%%capture out\n%matplotlib inline\na = 1", "a"),
        ("%time a = 1", "a"),
        ("a = '\\d'", "a"),
    ],
)
def test_local_names_are_not_assigned_and_timed_ones_are(source: str, names: str) -> None:
    assert python_names(source) == set(names.split())


@pytest.mark.parametrize("source", ["%%bash\na=1", "a = = 1", "a = 1\nls folder", "\0", "(" * 10_000])
def test_names_of_other_cells_are_not_known(source: str) -> None:
    assert python_names(source) is None
