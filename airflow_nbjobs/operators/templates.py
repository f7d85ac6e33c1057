"""Operators of notebook runtime templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.exceptions import AlreadyExistsError, InvalidNotebookJobError, NotFoundError
from airflow_nbjobs.operators.operator import NotebookJobOperator, entry_point
from airflow_nbjobs.operators.resource import DeleteOperator, ListOperator, ResourceOperator, wait

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_nbjobs.api.template import NotebookRuntimeTemplate

__all__ = [
    "CreateNotebookRuntimeTemplateOperator",
    "DeleteNotebookRuntimeTemplateOperator",
    "GetNotebookRuntimeTemplateOperator",
    "ListNotebookRuntimeTemplatesOperator",
    "NotebookRuntimeTemplateOperator",
]


class NotebookRuntimeTemplateOperator(ResourceOperator):
    """An operator of one runtime template.

    :param runtime_template: whole name of the template, its bare id (then with ``location``), or the output of a task
        that created it (templated).
    """

    template_fields: Sequence[str] = (*NotebookJobOperator.template_fields, "runtime_template")
    collection = "notebookRuntimeTemplates"

    def __init__(self, *, runtime_template: str | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.runtime_template = runtime_template
        self.check_name("runtime_template", runtime_template)


class GetNotebookRuntimeTemplateOperator(NotebookRuntimeTemplateOperator):
    """Get a runtime template. Returns the resource as JSON of the REST API.

    :raises NotFoundError: if the template does not exist.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    @entry_point
    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - Airflow's interface
        """Get the template."""
        return dict(self.read(self.name_of(self.runtime_template)).to_wire())


class DeleteNotebookRuntimeTemplateOperator(DeleteOperator, NotebookRuntimeTemplateOperator):
    """Delete a runtime template and wait until it is gone.

    Returns the template's name, or ``None`` if the template did not exist.

    :raises NotFoundError: if the template does not exist, unless ``ignore_if_missing``.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    @entry_point
    def execute(self, context: Context) -> str | None:  # noqa: ARG002 - Airflow's interface
        """Delete the template, and wait for the operation."""
        name = self.name_of(self.runtime_template)
        return self.delete("runtime template", name, self.hook.templates.delete)


class ListNotebookRuntimeTemplatesOperator(ListOperator):
    """List the runtime templates of a location. Returns a list of resources as JSON of the REST API.

    :param filter: over ``displayName``, ``labels``, ``machineType`` and others, such as ``labels.team="a"``
        (templated).
    :raises InvalidNotebookJobError: if ``limit`` is not a number of templates.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    @entry_point
    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002 - Airflow's interface
        """List the templates."""
        listed = self.hook.templates.list(
            location=self.location or "", project_id=self.project_id, filter=self.filter, order_by=self.order_by
        )
        return [template.to_wire() for template in islice(listed, self.limit)]


class CreateNotebookRuntimeTemplateOperator(ResourceOperator):
    """Create a runtime template and wait until it exists. Returns the resource as JSON of the REST API.

    :param display_name: 1 to 128 characters (templated).
    :param template: other fields of the resource, as in the REST API, such as ``{"machineSpec": {"machineType":
        "e2-standard-4"}}`` (templated). Unless it has ``eucConfig``, notebooks run as service accounts, not as the
        person who asks for them.
    :param template_id: id of the template; by default the service picks one (templated). With an id, a retry finds the
        template that an earlier try has created. An id is taken for good, also when its template is deleted.
    :param ignore_if_exists: return the template that has the id already, as it is. Default ``True``.
    :param poll_interval: seconds between two looks at the create operation. Default 5.
    :raises InvalidNotebookJobError: if an argument is wrong, or the id was of a template that is deleted.
    :raises AlreadyExistsError: if the id is taken, unless ``ignore_if_exists``.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    template_fields: Sequence[str] = (
        *NotebookJobOperator.template_fields,
        "display_name",
        "template",
        "template_id",
    )
    text_fields = (*NotebookJobOperator.text_fields, "display_name", "template_id")
    template_fields_renderers = {"template": "json"}  # noqa: RUF012 - Airflow declares it so
    needs_location = True
    collection = "notebookRuntimeTemplates"

    def __init__(
        self,
        *,
        display_name: str,
        template: Mapping[str, Any] | None = None,
        template_id: str | None = None,
        ignore_if_exists: bool = True,
        poll_interval: float = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.display_name = display_name
        self.template = template
        self.template_id = template_id
        self.ignore_if_exists = ignore_if_exists
        self.poll_interval = poll_interval
        self.check_arguments(
            display_name=display_name or "",
            template_id=template_id,
            ignore_if_exists=ignore_if_exists,
            poll_interval=poll_interval,
        )
        self.check_early(self._check_template)

    def _check_template(self) -> None:
        from airflow_nbjobs.api.template import described_template

        for template in self.parsing.known({"template": self.template}).values():
            described_template("known later", {} if template is None else template)

    @entry_point
    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - Airflow's interface
        """Create the template, and wait for the operation."""
        from airflow_nbjobs.api.template import described_template

        template, location = described_template(self.display_name, self.template or {}), self.location or ""
        try:
            operation = self.hook.templates.create(
                template, location=location, project_id=self.project_id, template_id=self.template_id
            )
        except AlreadyExistsError as error:
            if not self.ignore_if_exists:
                raise
            return self._existing(error).to_wire()
        aim = f"create the runtime template {self.display_name!r}"
        done = wait(self, operation, location, self.poll_interval, aim)
        name = (done.response or {}).get("name") or operation.name.partition("/operations/")[0]
        self.log.info("The runtime template %s was created.", name)
        return dict(self.read(self.name_of(name)).to_wire())

    def _existing(self, error: AlreadyExistsError) -> NotebookRuntimeTemplate:
        name = self.name_of(self.template_id or "")
        try:
            template = self.hook.templates.get(str(name))
        except NotFoundError:
            raise InvalidNotebookJobError(
                f"template_id={self.template_id!r} was of a template that is deleted, and stays taken: use another id."
            ) from None
        self.log.warning("The runtime template %s exists, and is left as it is: %s", name, error)
        return template
