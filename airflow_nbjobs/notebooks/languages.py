"""Parameters in the language of a notebook, written by papermill's translators.

papermill is imported when there are parameters to write, not before: it loads its engines and storage handlers.
"""

from __future__ import annotations

import contextlib
import keyword
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.api.quiet import quietly
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.notebooks.cells import mapping
from airflow_nbjobs.notebooks.python_names import python_names

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["assigned_names", "check_names", "kernel_and_language", "write_assignments"]

# Names of variables in languages in which they are not identifiers as in Python.
_NAMES = {
    "RTranslator": re.compile(r"_*(?:[A-Za-z]|\.(?![0-9]))[A-Za-z0-9._]*"),  # papermill removes leading "_"
    "BashTranslator": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
}
# Names that cannot be assigned to. In other languages the kernel reports them.
_RESERVED = {
    "PythonTranslator": re.compile("|".join([*keyword.kwlist, "__debug__"])),
    "RTranslator": re.compile(
        r"_*(?:break|else|FALSE|for|function|if|in|Inf|NaN|NA(?:_(?:character|complex|integer|real)_)?|next|NULL|repeat"
        r"|TRUE|while)"
    ),
    "BashTranslator": re.compile("BASHOPTS|BASH_VERSINFO|EUID|PPID|SHELLOPTS|UID"),
}
# These languages replace `$name` and run `$(code)` within double quotes, which papermill 2.7.0 does not escape.
_LIVE_CHARACTERS = {"JuliaTranslator": "$", "PowershellTranslator": "$`"}


def kernel_and_language(notebook: NotebookNode, kernel_name: str | None = None) -> tuple[str, str]:
    """Return the names of a notebook's kernel and language.

    They are read where papermill reads them. A notebook that names neither, which papermill refuses, is a Python
    notebook, as in Colab.

    :param kernel_name: the kernel that the notebook will run in; by default the one that it names.
    """
    kernelspec = mapping(notebook.metadata.get("kernelspec"))
    kernel = kernel_name or _text(kernelspec.get("name"))
    language = (
        _text(mapping(notebook.metadata.get("language_info")).get("name"))
        or _text(kernelspec.get("language"))
        or _text(mapping(notebook.metadata.get("jupytext")).get("main_language"))
    )
    if not language and (not kernel or kernel.startswith("python")):
        language = "python"
    return kernel or language, language or kernel


def write_assignments(parameters: Mapping[str, Any], kernel: str, language: str) -> str:
    """Return the source of the cell that assigns the parameters, byte for byte as papermill writes it without black.

    papermill formats Python with black where it is installed. Then the source, and with it the request, would depend on
    the machine.

    :param parameters: names and values, as :func:`~airflow_nbjobs.notebooks.parameters.plain_parameters` returns them.
    :param kernel: name of the kernel.
    :param language: name of the language.
    :raises InvalidNotebookJobError: when papermill does not know the language or cannot write a value in it, or when
        the language would run a part of a text.
    """
    translator = _translator(kernel, language)
    for name, value in parameters.items():
        _check_text(value, f"parameters[{name!r}]", _LIVE_CHARACTERS.get(translator.__name__, ""), language)
    try:
        plain: Any = super(translator, translator) if translator.__name__ == "PythonTranslator" else translator
        source: str = plain.codify(dict(parameters))
    except NotImplementedError:
        name, value = next(item for item in parameters.items() if not _is_writable(item[1], translator))
        kind = "None" if value is None else f"a {type(value).__name__}"
        raise InvalidNotebookJobError(
            f"parameters[{name!r}] is or contains {kind}, which cannot be written in {language}. Give it as JSON text."
        ) from None
    return source


def check_names(names: Iterable[str], kernel: str, language: str) -> None:
    """Check that the language can assign a value to each name.

    papermill does not check it, and would write a cell that fails or does something else.

    :raises InvalidNotebookJobError: for a name that is not valid or is reserved: a keyword or a constant.
    """
    translator = _translator(kernel, language)
    for name in names:
        _check_name(name, translator, language)


def assigned_names(source: str, kernel: str, language: str) -> frozenset[str] | None:
    """Return the names that a cell assigns, or ``None`` where that is not known.

    Python is parsed, without what IPython runs itself. Other languages are left to papermill, which reads line by line.
    """
    translator = _translator(kernel, language)
    if translator.__name__ == "PythonTranslator":
        return python_names(source)
    try:
        return frozenset(parameter.name for parameter in translator.inspect({"source": source}))
    except NotImplementedError:
        return None


def _translator(kernel: str, language: str) -> Any:
    with quietly():
        from papermill.exceptions import PapermillException
        from papermill.translators import papermill_translators

    try:
        return papermill_translators.find_translator(kernel, language)
    except PapermillException:
        raise InvalidNotebookJobError(
            f"Parameters cannot be written in the notebook's language {language!r} (kernel {kernel!r}): papermill has "
            "no translator for it. Run the notebook without parameters or in another kernel."
        ) from None


def _check_name(name: str, translator: type, language: str) -> None:
    pattern, reserved = (table.get(translator.__name__) for table in (_NAMES, _RESERVED))
    shown = language[:1].upper() + language[1:]
    if reserved and reserved.fullmatch(name):
        raise InvalidNotebookJobError(
            f"The parameter {name!r} is a reserved word of {shown}, which cannot be assigned to. Use another name."
        )
    if not (pattern.fullmatch(name) if pattern else name.isidentifier()):
        raise InvalidNotebookJobError(
            f"The parameter {name!r} is not a valid {shown} variable name. Use another name, of letters, digits and "
            "'_', which does not begin with a digit."
        )


def _check_text(value: Any, place: str, live: str, language: str) -> None:
    if isinstance(value, str) and any(character in value for character in live):
        shown = " or ".join(map(repr, live))
        raise InvalidNotebookJobError(
            f"{place} contains {shown}, and {language} would run or replace the text after it. Leave it out, or "
            "encode the text."
        )
    if isinstance(value, dict):
        _check_text(list(value), f"the keys of {place}", live, language)
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        _check_text(item, f"{place}[{key!r}]", live, language)


def _is_writable(value: Any, translator: Any) -> bool:
    with contextlib.suppress(NotImplementedError):
        translator.translate(value)
        return True
    return False


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
