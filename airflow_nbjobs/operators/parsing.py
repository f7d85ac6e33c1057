"""Which arguments of a task are known when its DAG is parsed: those that Airflow will not render to something else."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

# Airflow has no public name for the DAG and the task group that a task is being made for, nor for the marker.
from airflow.sdk.definitions._internal.contextmanager import DagContext, TaskGroupContext
from airflow.sdk.definitions._internal.types import SET_DURING_EXECUTION

from airflow_nbjobs.operators.text_templates import is_whole_template
from airflow_nbjobs.run.arguments import is_template

__all__ = ["Parsing", "default_arguments", "place_of"]

_LATER = object()


@dataclass(frozen=True, kw_only=True)
class Parsing:
    """How Airflow renders the arguments of a task.

    :ivar templated: names of the arguments that it renders.
    :ivar texts: names of those that stay text, also with native rendering.
    :ivar extensions: ends of texts that name a file with the template.
    :ivar is_native: whether a text may become another value, also without a template.
    :ivar has_own_syntax: whether any text may be a template, since the DAG changes Jinja's marks.
    """

    templated: Collection[str]
    texts: Collection[str]
    extensions: tuple[str, ...] = ()
    is_native: bool = False
    has_own_syntax: bool = False

    @classmethod
    def of(cls, operator: Any, dag: Any, is_native: bool | None, texts: Collection[str]) -> Parsing:
        """Return how Airflow renders the arguments of an operator.

        :param operator: the operator or its class.
        :param dag: its DAG; a task without one may get any.
        :param is_native: the task's own ``render_template_as_native_obj``.
        :param texts: names of the arguments that stay text.
        """
        of_dag = True if dag is None else bool(dag.render_template_as_native_obj)
        return cls(
            templated=frozenset(operator.template_fields),
            texts=frozenset(texts),
            extensions=tuple(operator.template_ext),
            is_native=of_dag if is_native is None else bool(is_native),
            has_own_syntax=bool(dag is not None and dag.jinja_environment_kwargs),
        )

    def known(self, arguments: Mapping[str, Any], *, inside: str | None = None) -> dict[str, Any]:
        """Return the arguments whose values are known.

        Of a dict or list some of whose values are not known, the others are returned. Instead of a value that is not
        known, a dict has an empty text.

        :param inside: the argument whose items these are.
        """
        pruned = {}
        for name, value in arguments.items():
            argument = inside or name
            is_text = argument in self.texts and not is_whole_template(argument, value)
            is_templated = argument in self.templated
            pruned[name] = self._without_templates(value, is_text=is_text) if is_templated else value
        return {name: value for name, value in pruned.items() if value is not _LATER}

    def _without_templates(self, value: Any, *, is_text: bool) -> Any:
        if isinstance(value, dict):
            known = {key: self._without_templates(item, is_text=is_text) for key, item in value.items()}
            return {key: "" if item is _LATER else item for key, item in known.items()}
        if isinstance(value, list | tuple | set):
            items = [item for each in value if (item := self._without_templates(each, is_text=is_text)) is not _LATER]
            return type(value)(items) if type(value) in (list, tuple, set) else items
        if isinstance(value, str):
            has_template = self.has_own_syntax or is_template(value)
            is_file = bool(self.extensions) and value.endswith(self.extensions)
            is_value = self.is_native and not is_text and _is_literal(value)
            return _LATER if has_template or is_file or is_value else value
        # An XCom, a parameter of the DAG, a function, an object that has templates.
        will_change = value is SET_DURING_EXECUTION or callable(value)
        will_change = will_change or any(hasattr(value, name) for name in ("resolve", "template_fields"))
        return _LATER if will_change else value


def place_of(arguments: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the DAG and the task group of a task that is made of arguments; ``None`` for what it has not."""
    dag = arguments.get("dag") or DagContext.get_current()
    return dag, arguments.get("task_group") or (TaskGroupContext.get_current(dag) if dag else None)


def default_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``default_args`` for a task that is made of arguments."""
    dag, group = place_of(arguments)
    givers = (dag and dag.default_args, group and group.default_args, arguments.get("default_args"))
    return {name: value for each in givers for name, value in (each or {}).items()}


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
