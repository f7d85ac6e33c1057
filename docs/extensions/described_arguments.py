"""What a class says of its own arguments, for the table of the site and for the tests."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module


def described_class(path: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield argument, type, default, whether it is templated, and description of a class's own arguments.

    Arguments of the bases of this package come last.

    :param path: ``airflow_nbjobs.operators.CreateNotebookExecutionJobOperator``.
    :raises ValueError: if an argument has no description.
    """
    module, _, name = path.rpartition(".")
    cls = getattr(import_module(module), name)
    templated = getattr(cls, "template_fields", ())
    seen: set[str] = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("airflow_nbjobs") or "__init__" not in vars(base):
            continue
        texts = dict(_params(inspect.getdoc(base) or ""))
        for argument in list(inspect.signature(base.__init__).parameters.values())[1:]:
            if argument.name in seen or argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL):
                continue
            seen.add(argument.name)
            if argument.name not in texts:
                raise ValueError(f"{path}: the docstring of {base.__name__} does not describe {argument.name!r}.")
            kind = "" if argument.annotation is argument.empty else str(argument.annotation)
            default = "required" if argument.default is argument.empty else repr(argument.default)
            text = texts[argument.name].replace(" (templated)", "")
            yield argument.name, kind, default, "yes" if argument.name in templated else "", text


def _params(doc: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"^:param (\w+): (.*?)(?=^:|\Z)", doc, re.DOTALL | re.MULTILINE):
        yield found[1], " ".join(found[2].split())
