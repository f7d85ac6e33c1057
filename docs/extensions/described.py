"""Directives for what the code says of itself: arguments of a class, settings, and commands with their options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from described_arguments import described_class, described_commands, described_options, escaped
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx


class _Table(Directive):
    has_content = False
    required_arguments = 0
    optional_arguments = 1
    head: Sequence[str] = ()
    widths = ""

    def rows(self) -> Iterator[Sequence[str]]:
        """Yield the cells of each row."""
        return iter(())

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        return self.parsed(_table(self.head, self.widths, self.rows()))

    def parsed(self, lines: Sequence[str]) -> list[nodes.Node]:
        """Parse reST, and return its nodes."""
        parent = nodes.container()
        self.state.nested_parse(StringList(list(lines), source="code"), self.content_offset, parent)
        return parent.children


class Arguments(_Table):
    """``.. arguments:: airflow_nbjobs.operators.GetNotebookExecutionJobOperator``."""

    required_arguments = 1
    head = ("argument", "default", "templated", "what it is")
    widths = "20 15 8 57"

    def rows(self) -> Iterator[Sequence[str]]:
        """Yield a row for each argument."""
        for name, kind, default, templated, text in described_class(self.arguments[0]):
            given = default if default == "required" else f"default: ``{default}``"
            yield f"``{name}``", given, templated and "templated", f"{text} Type: ``{kind}``." if kind else text


class Classes(_Table):
    """``.. classes:: airflow_nbjobs.operators``: the public classes of a module with their arguments."""

    required_arguments = 1
    head = Arguments.head
    widths = Arguments.widths

    def run(self) -> list[nodes.Node]:
        """Return a section for each class."""
        found: list[nodes.Node] = []
        module = import_module(self.arguments[0])
        for name in module.__all__:
            if not inspect.isclass(getattr(module, name)):
                continue
            path = f"{module.__name__}.{name}"
            section = nodes.section(ids=[name.lower()])
            section += nodes.title(text=name)
            section += self.parsed([f".. autoclass:: {path}", "   :no-members:", "", f".. arguments:: {path}", ""])
            found.append(section)
        return found


class Settings(_Table):
    """``.. settings::``: the options of ``[nbjobs]``."""

    head = ("option", "default", "what it is")
    widths = "22 15 63"

    def rows(self) -> Iterator[Sequence[str]]:
        """Yield a row for each option."""
        from airflow_nbjobs.provider_info import get_provider_info

        for name, option in get_provider_info()["config"]["nbjobs"]["options"].items():
            text = re.sub(r"https?://[^\s,]+", r"``\g<0>``", option["description"])  # no links, which may be templates
            if option.get("example"):
                text += f" Example: ``{option['example']}``."
            default = option["default"]
            yield f"``{name}``", f"default: ``{default}``" if default is not None else "not set by default", text


class Commands(_Table):
    """``.. commands::``: each command of ``nbjobs`` with its options."""

    head = ("option", "what it is")
    widths = "35 65"

    def run(self) -> list[nodes.Node]:
        """Return a section for each command."""
        from airflow_nbjobs.cli import parser

        found: list[nodes.Node] = []
        for name, command in described_commands("nbjobs", parser()):
            section = nodes.section(ids=[name.replace(" ", "-")])
            section += nodes.title(text=name)
            section += self.parsed(_paragraph(command.description or ""))
            if rows := list(described_options(command)):
                section += self.parsed(_table(self.head, self.widths, iter(rows)))
            found.append(section)
        return found


def _paragraph(text: str) -> list[str]:
    return ["", escaped(text), ""]


def _table(head: Sequence[str], widths: str, rows: Iterator[Sequence[str]]) -> list[str]:
    lines = [".. list-table::", "   :class: arguments", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [head, *rows]:
        lines += [f"   {'*' if index == 0 else ' '} - {cell}" for index, cell in enumerate(row)]
    return lines


# Sphinx calls these two with positional arguments.
def _without_params(_app: Sphinx, what: str, _name: str, obj: Any, _options: Any, lines: list[str]) -> None:
    """Leave the arguments of operators to their table."""
    if what == "class" and hasattr(obj, "template_fields"):
        text = re.sub(r"^:param .*?(?=^:|\Z)", "", "\n".join(lines), flags=re.DOTALL | re.MULTILINE)
        lines[:] = text.splitlines()


def _without_signature(_app: Sphinx, what: str, _name: str, obj: Any, *_: Any) -> tuple[str, str] | None:
    return ("", "") if what == "class" and hasattr(obj, "template_fields") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.connect("autodoc-process-docstring", _without_params)
    app.connect("autodoc-process-signature", _without_signature)
    app.add_directive("arguments", Arguments)
    app.add_directive("classes", Classes)
    app.add_directive("settings", Settings)
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
