"""What classes and commands say of their own arguments, for the tables of the site and for the tests."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any


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
    texts: dict[str, str] = {}  # a class may say more of an argument than its base
    for base in cls.__mro__:
        if not base.__module__.startswith("airflow_nbjobs"):
            continue
        texts = {**dict(_params(inspect.getdoc(base) or "")), **texts}
        if "__init__" not in vars(base):
            continue
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


def described_commands(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield each command below a parser, and the commands below it, by their names."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, command in action.choices.items():
                yield f"{name} {word}", command
                yield from described_commands(f"{name} {word}", command)


def described_options(command: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yield each option of a command with what it is, in reST."""
    for action in command._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        value: Any = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
        if action.choices:
            value = "|".join(map(str, action.choices))
        names = " ".join([*([", ".join(action.option_strings)] if action.option_strings else []), str(value)])
        text = (action.help or "") % {**vars(action), "prog": command.prog}
        yield f"``{names.strip()}``", escaped(text)


def escaped(text: str) -> str:
    """Return a text as reST that shows it, with code between backquotes."""
    return re.sub(r"([*|\\$])", r"\\\1", text).replace("`", "``")
