"""Names that a Python cell assigns, also in a cell with IPython's magics and shell commands."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

__all__ = ["python_names"]

# What IPython, and not Python, runs: %magic, !command, ?help, help?, and /f, ,f and ;f, which call f.
_IPYTHON_LINE = re.compile(r"(?P<indent>\s*)(?:%time\s+(?P<timed>[^-\s].*)|(?:[%!?/,;]|[^#'\"]*\?\s*\Z).*)", re.DOTALL)
_IPYTHON_VALUE = re.compile(r"(?P<target>[^=#'\"]*[^=!<>:#'\"]=)\s*[%!]", re.DOTALL)
_CELL_MAGIC = re.compile(r"\s*%%(?P<name>\S*)[^\n]*\n?")
_PROMPT = re.compile(r"^(?:In \[\d+\]: |>>> ?|\.\.\. ?|   \.\.\.+: )", re.MULTILINE)
_PYTHON_MAGICS = frozenset({"capture", "prun", "time"})  # these run the cell as Python, in the same namespace
_SCOPES = (ast.AsyncFunctionDef, ast.ClassDef, ast.DictComp, ast.FunctionDef, ast.GeneratorExp, ast.Lambda)
_MAGICS = 1_000


def python_names(source: str) -> frozenset[str] | None:
    """Return the names that a cell assigns at its top level, not those local to functions, classes and comprehensions.

    :returns: ``None`` when the cell is not Python, or it is that of a cell magic such as ``%%bash``.
    """
    if magic := _CELL_MAGIC.match(source):
        return python_names(source[magic.end() :]) if magic["name"] in _PYTHON_MAGICS else None
    if _PROMPT.match(source.lstrip("\n")):
        source = _PROMPT.sub("", source)
    tree = _parse(_dedented(source).split("\n"))
    return None if tree is None else frozenset(_assigned(tree))


def _parse(lines: list[str]) -> ast.Module | None:
    """Parse a cell, and replace the line of each syntax error that IPython would transform."""
    for _ in range(_MAGICS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escape sequences that Python does not know
                return ast.parse("\n".join(lines))
        except SyntaxError as error:
            at = (error.lineno or 0) - 1
            if not 0 <= at < len(lines) or not _replace(lines, at):
                return None
        except (ValueError, RecursionError, MemoryError):
            return None
    return None


def _replace(lines: list[str], at: int) -> bool:
    """Replace a line of IPython, with the lines that continue it, and return whether it is one."""
    if value := _IPYTHON_VALUE.match(lines[at]):
        replacement = f"{value['target']} None"
    elif line := _IPYTHON_LINE.fullmatch(lines[at]):
        replacement = line["indent"] + (line["timed"] or "pass")
    else:
        return False
    while lines[at].endswith("\\") and at + 1 < len(lines):
        lines[at] = ""
        at += 1
    lines[at] = replacement
    return True


def _dedented(source: str) -> str:
    """Return a cell without the indentation of its first line, as IPython does it."""
    indent = source.lstrip("\n")[: len(source.lstrip("\n")) - len(source.lstrip())]
    return re.sub(rf"^{re.escape(indent)}", "", source, flags=re.MULTILINE) if indent else source


def _assigned(tree: ast.AST) -> Iterator[str]:
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if not isinstance(node, (*_SCOPES, ast.ListComp, ast.SetComp)):
            pending += ast.iter_child_nodes(node)
