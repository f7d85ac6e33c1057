"""Facets of ours in OpenLineage events. Only :mod:`airflow_nbjobs.lineage` imports this, where OpenLineage is."""

from __future__ import annotations

import attrs
from openlineage.client.generated.base import RunFacet

__all__ = ["NotebookJobRunFacet"]


@attrs.define
class NotebookJobRunFacet(RunFacet):
    """The facet ``nbjobs_job`` of a run: its notebook execution job.

    :ivar name: resource name of the job.
    :ivar jobId: the last segment of that name.
    :ivar state: the last state that the task saw.
    :ivar notebookVersion: the generation, commit or content hash of the notebook that ran.
    :ivar links: addresses of pages about the job, by name.
    """

    name: str
    jobId: str  # noqa: N815 - the style of OpenLineage
    state: str
    notebookVersion: str | None  # noqa: N815
    links: dict[str, str]
