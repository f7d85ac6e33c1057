"""Parameters in a notebook's own language, by papermill's translators.

papermill is imported when there are parameters to write, and not before: it brings its engines and readers along.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.quiet import quietly
from airflow_nbjobs.exceptions import InvalidNotebookJobError

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["assigned_names", "check_names", "kernel_and_language", "write_assignments"]

_DEFAULT = "python"

# What a name must look like where it is not an identifier as Python knows it.
_NAMES = {
    "RTranslator": re.compile(r"_*(?:[A-Za-z]|\.(?![0-9]))[A-Za-z0-9._]*"),  # papermill takes leading "_" off
    "BashTranslator": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
}
# To these nothing can be assigned. Of other languages the kernel says so.
_TAKEN = {
    "PythonTranslator": re.compile("|".join([*keyword.kwlist, "__debug__"])),
    "RTranslator": re.compile(
        r"_*(?:break|else|FALSE|for|function|if|in|Inf|NaN|NA(?:_(?:character|complex|integer|real)_)?|next|NULL|repeat"
        r"|TRUE|while)"
    ),
    "BashTranslator": re.compile("BASHOPTS|BASH_VERSINFO|EUID|PPID|SHELLOPTS|UID"),
}
# These put text between double quotes, in which these languages replace `$name` and run `$(code)`: papermill does not
# escape that (2.7.0).
_LIVE_CHARACTERS = {"JuliaTranslator": "$", "PowershellTranslator": "$`"}


def kernel_and_language(notebook: NotebookNode, kernel_name: str | None = None) -> tuple[str, str]:
    """Return the names of a notebook's kernel and language.

    papermill reads them at the same places, and refuses a notebook that does not tell them. Colab's kernel is Python
    where nothing else is said, so here such a notebook is a Python one.

    :param kernel_name: the kernel that it will run in, in place of its own.
    """
    kernelspec = _mapping(notebook.metadata.get("kernelspec"))
    kernel = kernel_name or _text(kernelspec.get("name"))
    language = (
        _text(_mapping(notebook.metadata.get("language_info")).get("name"))
        or _text(kernelspec.get("language"))
        or _text(_mapping(notebook.metadata.get("jupytext")).get("main_language"))
    )
    if not language and (not kernel or kernel.startswith(_DEFAULT)):
        language = _DEFAULT
    return kernel or language, language or kernel


def write_assignments(parameters: Mapping[str, Any], kernel: str, language: str) -> str:
    """Return the source of the cell that gives the parameters their values, byte for byte papermill's.

    :param parameters: names and plain values.
    :raises InvalidNotebookJobError: when papermill does not know the language, or has no word in it for a value; when
        text would be code there.
    """
    translator = _translator(kernel, language)
    for name, value in parameters.items():
        _check_text(value, f"parameters[{name!r}]", translator, language)
    try:
        source: str = translator.codify(dict(parameters))
    except NotImplementedError:
        name, value = next(_untranslatable(parameters, translator))
        kind = "None" if value is None else f"a {type(value).__name__}"
        raise InvalidNotebookJobError(
            f"parameters[{name!r}] is or contains {kind}, which cannot be written in {language}: give it as JSON text."
        ) from None
    return source


def check_names(names: Iterable[str], kernel: str, language: str) -> None:
    """Check that a value can be assigned to each name in the notebook's language.

    papermill does not: it would write a cell that fails, or that does something else.

    :raises InvalidNotebookJobError: for a name that is none there, or taken: a keyword, or what cannot be changed.
    """
    translator = _translator(kernel, language)
    for name in names:
        _check_name(name, translator, language)


def assigned_names(source: str, kernel: str, language: str) -> frozenset[str] | None:
    """Return the names that a cell assigns, or ``None`` in a language in which that cannot be told.

    Python is parsed; a cell that is not quite Python (magics) and other languages are left to papermill, which reads
    line by line.
    """
    translator = _translator(kernel, language)
    if translator.__name__ == "PythonTranslator":
        try:
            return frozenset(_python_names(ast.parse(source)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    try:
        return frozenset(parameter.name for parameter in translator.inspect({"source": source}))
    except NotImplementedError:
        return None


def _translator(kernel: str, language: str) -> Any:
    with quietly():
        from papermill.exceptions import PapermillException  # type: ignore[import-untyped]  # ships no types
        from papermill.translators import papermill_translators  # type: ignore[import-untyped]  # ships no types

    try:
        return papermill_translators.find_translator(kernel, language)
    except PapermillException:
        raise InvalidNotebookJobError(
            f"Parameters cannot be written in the notebook's language {language!r} (kernel {kernel!r}): papermill has "
            "no translator for it. Run the notebook without parameters, or in another kernel."
        ) from None


def _check_name(name: str, translator: type, language: str) -> None:
    pattern, taken = (table.get(translator.__name__) for table in (_NAMES, _TAKEN))
    is_name = name.isidentifier() if pattern is None else pattern.fullmatch(name) is not None
    is_taken = taken is not None and taken.fullmatch(name) is not None
    if is_taken:
        raise InvalidNotebookJobError(
            f"The parameter {name!r} is a word that {_shown(language)} keeps for itself, to which nothing can be "
            "assigned: use another name."
        )
    if not is_name:
        raise InvalidNotebookJobError(
            f"The parameter {name!r} is not a valid {_shown(language)} variable name: use another, of letters, digits "
            "and '_', which does not begin with a digit."
        )


def _shown(language: str) -> str:
    return language[:1].upper() + language[1:]


def _check_text(value: Any, place: str, translator: type, language: str) -> None:
    live = _LIVE_CHARACTERS.get(translator.__name__)
    if live is None:
        return
    if isinstance(value, str) and any(character in value for character in live):
        shown = " or ".join(repr(character) for character in live)
        raise InvalidNotebookJobError(
            f"{place} holds {shown}, and {language} would run or replace what follows it. papermill's translation does "
            "not prevent that: leave it out, or encode the text."
        )
    if isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, f"a key of {place}", translator, language)
            _check_text(item, f"{place}[{key!r}]", translator, language)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_text(item, f"{place}[{index}]", translator, language)


def _untranslatable(parameters: Mapping[str, Any], translator: Any) -> Iterator[tuple[str, Any]]:
    for name, value in parameters.items():
        try:
            translator.translate(value)
        except NotImplementedError:
            yield name, value


def _python_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
