"""Templates of text arguments: the text stays as it was written, also with native rendering.

With ``render_template_as_native_obj=True`` Airflow reads what a template gives as a literal of Python: "1_000", "0x10"
and "1.10" become numbers, "None" becomes nothing. That is meant for values, such as ``parameters``. Ids, names,
labels and addresses are text.
"""

from __future__ import annotations

import copy
from typing import Any

from jinja2 import Template
from jinja2.nativetypes import NativeEnvironment
from jinja2.runtime import Undefined

__all__ = ["NOTHING", "defined", "is_whole_template", "render_text"]

_CONTAINERS = frozenset({"fallback_runtime_templates", "impersonation_chain", "labels"})
"""Arguments that are lists or dicts of texts; one template may stand for all of it."""


class _Nothing(str):
    __slots__ = ()


NOTHING = _Nothing()
"""
What a native template gives whose ``if`` is not true. As a whole argument it is ``None``, as Airflow renders it, and
inside a list or dict it is an empty text.
"""


def is_whole_template(argument: str, value: object) -> bool:
    """Return whether a value is one template for a whole list or dict, which only native rendering can give."""
    return argument in _CONTAINERS and isinstance(value, str)


def render_text(template: Template, context: dict[str, Any]) -> Any:
    """Render a template without reading the text that it gives.

    :param template: of Airflow's environment, native or not.
    :param context: Airflow's context.
    :returns: text; another object if the template is a single expression that gives it, as for an argument that is
        ``None`` or another task's output; :data:`NOTHING` if it gives nothing in a native environment.
    :raises TemplateError: if a name is not defined.
    """
    known = copy.copy(context)  # Airflow's mapping stays one: a dict of it would resolve values that are deprecated
    known.update({name: value for name, value in template.globals.items() if name not in known})
    environment = template.environment
    scope = environment.context_class(environment, known, template.name, template.blocks)
    values = list(template.root_render_func(scope))
    if not values and isinstance(environment, NativeEnvironment):
        return NOTHING
    return defined(values[0]) if len(values) == 1 else "".join(map(str, values))


def defined(value: Any) -> Any:
    """Return a rendered value. A native environment gives an undefined name as a value, which raises only when used.

    :raises TemplateError: if the value is an undefined name, unless the DAG allows these.
    """
    return str(value) if isinstance(value, Undefined) else value
