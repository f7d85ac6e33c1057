"""Operators of notebook runtime templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.exceptions import AlreadyExistsError, InvalidNotebookJobError, NotFoundError
from airflow_nbjobs.operators.operator import NotebookJobOperator, entry_point
from airflow_nbjobs.operators.resource import ResourceOperator

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
    what = "runtime template"

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
        wire: dict[str, Any] = self.read(self.name_of(self.runtime_template)).to_wire()
        return wire


class DeleteNotebookRuntimeTemplateOperator(NotebookRuntimeTemplateOperator):
    """Delete a runtime template and wait until it is gone.

    Returns the template's name, or ``None`` if the template did not exist.

    :param ignore_if_missing: succeed if the template does not exist. Default ``False``.
    :param poll_interval: seconds between two looks at the delete operation. Default 5.
    :raises NotFoundError: if the template does not exist, unless ``ignore_if_missing``.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    def __init__(self, *, ignore_if_missing: bool = False, poll_interval: float = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ignore_if_missing = ignore_if_missing
        self.poll_interval = poll_interval
        self.check_arguments(ignore_if_missing=ignore_if_missing, poll_interval=poll_interval)

    @entry_point
    def execute(self, context: Context) -> str | None:  # noqa: ARG002 - Airflow's interface
        """Delete the template, and wait for the operation."""
        name = self.name_of(self.runtime_template)
        return self.delete(name, ignore_if_missing=self.ignore_if_missing, poll_interval=self.poll_interval)


class ListNotebookRuntimeTemplatesOperator(ResourceOperator):
    """List the runtime templates of a location. Returns a list of resources as JSON of the REST API.

    :param filter: over ``displayName``, ``labels``, ``machineType`` and others, such as ``labels.team="a"``
        (templated).
    :param order_by: ``display_name``, ``create_time`` or ``update_time``, with or without ``desc`` (templated). Default
        ``"create_time desc"``: the newest first.
    :param limit: the largest number of templates. Default 100, since they all go into one XCom; ``None`` for all.
    :raises InvalidNotebookJobError: if ``limit`` is not a number of templates.
    :raises ApiError: if the service refuses; with the service's own words.
    """

    template_fields: Sequence[str] = (*NotebookJobOperator.template_fields, "filter", "order_by")
    text_fields = (*NotebookJobOperator.text_fields, "filter", "order_by")
    needs_location = True
    collection = "notebookRuntimeTemplates"
    what = "runtime template"

    def __init__(
        self,
        *,
        filter: str | None = None,  # noqa: A002 - the API's own word
        order_by: str | None = "create_time desc",
        limit: int | None = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filter = filter
        self.order_by = order_by
        self.limit = limit
        self.check_arguments(filter=filter, order_by=order_by, limit=limit)

    @entry_point
    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002 - Airflow's interface
        """List the templates."""
        listed = self.hook.templates.list(
            location=self.location or "", project_id=self.project_id, filter=self.filter, order_by=self.order_by
        )
        return self.found(listed, self.limit)


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
    what = "runtime template"

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
        done = self.wait(operation, location, self.poll_interval, f"create the runtime template {self.display_name!r}")
        name = (done.response or {}).get("name") or operation.name.partition("/operations/")[0]
        self.log.info("The runtime template %s was created.", name)
        wire: dict[str, Any] = self.read(self.name_of(name)).to_wire()
        return wire

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
