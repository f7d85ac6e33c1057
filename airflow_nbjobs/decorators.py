"""``@task.notebook``: a function says which parameters a notebook gets, and the notebook runs as the task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import airflow_nbjobs.floors  # noqa: F401 - refuses versions that are too old

from airflow.providers.common.compat.sdk import DecoratedOperator, task_decorator_factory

# Airflow's marker for values that are not known when a DAG is parsed; its providers import it from here too.
from airflow.sdk.definitions._internal.types import SET_DURING_EXECUTION

from airflow_nbjobs.compat import determine_kwargs
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator
from airflow_nbjobs.operators.parsing import default_arguments
from airflow_nbjobs.outlets import with_asset

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, TaskDecorator

    from airflow_nbjobs.run.arguments import RunArguments

__all__ = ["NotebookDecoratedOperator", "notebook_task"]


class NotebookDecoratedOperator(DecoratedOperator, CreateNotebookExecutionJobOperator):
    """Run a notebook with the parameters that a function returns.

    The function is called once in a try, before the notebook is submitted. When a deferred task resumes, it is called
    again only if the job is submitted again. The parameters are not templated. A retry re-attaches to the job of an
    earlier try only if the function returns the same parameters again, since they are part of the request.

    :param python_callable: returns a dict of parameters, or ``None``; it may take Airflow's context variables as
        arguments.
    :param op_args: positional arguments of the function (templated).
    :param op_kwargs: keyword arguments of the function (templated).
    :raises InvalidNotebookJobError: if the function returns something else.
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *CreateNotebookExecutionJobOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **CreateNotebookExecutionJobOperator.template_fields_renderers,
    }
    custom_operator_name: str = "@task.notebook"
    # Airflow's UI then shows the parameters of a task that did not defer.
    overwrite_rtif_after_execution: bool = True

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if "parameters" in kwargs:
            raise TypeError("@task.notebook takes no parameters argument: the function returns them.")
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            parameters=SET_DURING_EXECUTION,
            **kwargs,
        )

    def run_arguments(self, context: Context) -> RunArguments:
        """Return the rendered arguments, with the function in place of the parameters."""
        return replace(super().run_arguments(context), parameters=lambda: self.evaluate(context))

    def evaluate(self, context: Context) -> Mapping[str, Any] | None:
        """Call the function, the first time, and return the parameters; they are shown as a rendered field too.

        :raises InvalidNotebookJobError: if it returns neither a dict nor ``None``.
        """
        if self.parameters is not None and not isinstance(self.parameters, Mapping):
            known = {**context, **self.op_kwargs}
            arguments = determine_kwargs(self.python_callable, self.op_args, known)
            returned = self.python_callable(*self.op_args, **arguments)
            if returned is not None and not isinstance(returned, Mapping):
                raise InvalidNotebookJobError(
                    f"The function {self.python_callable.__name__!r} returned a {type(returned).__name__}: return a "
                    "dict of the notebook's parameters, or None for no parameters."
                )
            self.parameters = returned
        return self.parameters


def notebook_task(
    python_callable: Callable[..., Any] | None = None, *, multiple_outputs: bool | None = None, **kwargs: Any
) -> TaskDecorator:
    """Decorate a function that returns the parameters of a notebook, which runs as a task; use ``@task.notebook``.

    :param python_callable: the decorated function.
    :param multiple_outputs: push each value of the result as its own XCom, so that ``report()["results"]`` can
        be passed on. Default ``True``; the function's annotation is about the parameters, not the result.
    :param kwargs: arguments of :class:`~airflow_nbjobs.operators.CreateNotebookExecutionJobOperator`.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=True if multiple_outputs is None else multiple_outputs,
        decorated_operator_class=NotebookDecoratedOperator,
        **with_asset(kwargs, default_arguments(kwargs)),
    )
