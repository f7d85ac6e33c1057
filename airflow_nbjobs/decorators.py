"""``@task.notebook``: a function says which parameters a notebook gets, and the notebook runs as the task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import DecoratedOperator, task_decorator_factory

# Airflow's own mark for what is not known when a DAG is parsed; its providers take it from the same place.
from airflow.sdk.definitions._internal.types import SET_DURING_EXECUTION

from airflow_nbjobs.compat import determine_kwargs
from airflow_nbjobs.operators import CreateNotebookExecutionJobOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, TaskDecorator

__all__ = ["NotebookDecoratedOperator", "notebook_task"]


class NotebookDecoratedOperator(DecoratedOperator, CreateNotebookExecutionJobOperator):
    """Run a notebook with the parameters that a function returns.

    The function is called once in a try, before the notebook is submitted, and not when a deferred task resumes; only
    a job that is submitted again in the same try after a resume asks it again. What it returns is not templated.
    A retry re-attaches to the job of an earlier try only if the function returns the same again, for the parameters
    are a part of what was asked for.

    :param python_callable: returns a dict of parameters, or ``None`` for none; it may ask for Airflow's context.
    :param op_args: positional arguments of the function (templated).
    :param op_kwargs: keyword arguments of the function (templated).
    :raises InvalidNotebookJobError: when the function returns something else.
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
    # So that Airflow's UI shows the parameters of a task that did not defer.
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
            raise TypeError("@task.notebook takes no parameters=: the function returns them.")
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            parameters=SET_DURING_EXECUTION,
            **kwargs,
        )

    def start(self, context: Context, *, anew: bool = False, attempt: int = 0) -> dict[str, Any]:
        """Ask the function for the parameters, unless it was asked before, and submit the notebook."""
        self.evaluate(context)
        return super().start(context, anew=anew, attempt=attempt)

    def evaluate(self, context: Context) -> None:
        """Set ``parameters`` to what the function returns, once.

        :raises InvalidNotebookJobError: when that is neither a dict nor ``None``.
        """
        from airflow_nbjobs.exceptions import InvalidNotebookJobError

        if self.parameters is None or isinstance(self.parameters, Mapping):
            return  # it was asked
        known = {**context, **self.op_kwargs}
        returned = self.python_callable(*self.op_args, **determine_kwargs(self.python_callable, self.op_args, known))
        if returned is not None and not isinstance(returned, Mapping):
            raise InvalidNotebookJobError(
                f"The function {self.python_callable.__name__!r} returned a {type(returned).__name__}: return a dict "
                "of the notebook's parameters, or None for none."
            )
        self.parameters = returned


def notebook_task(
    python_callable: Callable[..., Any] | None = None, *, multiple_outputs: bool | None = None, **kwargs: Any
) -> TaskDecorator:
    """Make a function the source of a notebook's parameters, and the notebook a task; DAG files use ``@task.notebook``.

    :param python_callable: the function that is decorated.
    :param multiple_outputs: push each value of the result as an XCom of its own, so that ``report()["results"]`` can
        be passed on. Default ``True``, whatever the function's annotation says: it is of the parameters.
    :param kwargs: arguments of :class:`~airflow_nbjobs.operators.CreateNotebookExecutionJobOperator`.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=True if multiple_outputs is None else multiple_outputs,
        decorated_operator_class=NotebookDecoratedOperator,
        **kwargs,
    )
