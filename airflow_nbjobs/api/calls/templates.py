"""Methods of ``projects.locations.notebookRuntimeTemplates``: the function below, and those of :data:`TEMPLATES`."""

from __future__ import annotations

from airflow_nbjobs.api.calls.call import Call
from airflow_nbjobs.api.calls.operations import parse_operation
from airflow_nbjobs.api.calls.resource import Resource
from airflow_nbjobs.api.job import Operation
from airflow_nbjobs.api.template import NotebookRuntimeTemplate

__all__ = ["TEMPLATES", "create_template"]

TEMPLATES = Resource("notebookRuntimeTemplates", NotebookRuntimeTemplate)
"""``get``, ``list``, ``patch`` and ``delete``."""


def create_template(parent: str, template: NotebookRuntimeTemplate, template_id: str | None = None) -> Call[Operation]:
    """Create a runtime template. Its name is in the name of the returned operation.

    :param parent: ``projects/p/locations/l``.
    :param template_id: id of the template; by default the service picks one. An id is taken for good, also when its
        template is deleted.
    """
    query = {"notebookRuntimeTemplateId": template_id} if template_id else {}
    path = TEMPLATES.collection_path(parent)
    return Call("POST", path, parse_operation, query, template.to_request(), may_repeat=False)
