"""Lineage: a notebook run for OpenLineage, and read notebooks for Airflow's collector of hook lineage.

Names of datasets are those of the OpenLineage specification: ``gs://bucket`` and the object's name; ``bigquery`` and
``project.dataset.table``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_nbjobs import settings

if TYPE_CHECKING:
    from airflow_nbjobs.api.job import NotebookExecutionJob

__all__ = ["lineage_of", "report_read", "report_written"]

log = logging.getLogger(__name__)

_DATAFORM = "https://dataform.googleapis.com/v1/"


def lineage_of(operator: Any, run: Any, ti: Any = None) -> Any:
    """Return the ``OperatorLineage`` of a task that runs a notebook; ``None`` without the OpenLineage provider.

    :param operator: with its rendered arguments.
    :param run: its ``NotebookRun``; ``None`` before the task has one.
    :param ti: the task instance, if the task has run.
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    job, executed = (run.job, run.executed) if run else (None, None)
    source = _source(getattr(operator, "notebook", None), job)
    read = [_dataset(source.uri, source.version)] if source and source.is_object else []
    return OperatorLineage(
        inputs=[*read, *_declared(operator.inlets)],
        outputs=[*_executed(job, executed), *_declared(operator.outlets)],
        run_facets={**_job_facets(job, ti), **_error_facets(operator, job, executed)},
        job_facets=_source_facets(source),
    )


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where a notebook comes from: an object in Cloud Storage, or a Dataform repository."""

    uri: str
    version: str | None
    is_object: bool


def _source(notebook: object, job: NotebookExecutionJob | None) -> _Source | None:
    """Return the source of a notebook; ``None`` if its content is sent.

    :param notebook: the operator's argument; ``None`` if it has no such argument: then the job has the source.
    """
    version = job.labels.get("nbjobs-notebook") if job else None
    if notebook is None and job is not None and (gcs := job.gcs_notebook_source) is not None:
        return _Source(uri=gcs.uri or "", version=gcs.generation, is_object=True)
    text = notebook if isinstance(notebook, str) else ""
    if text.startswith("gs://"):
        pinned = re.fullmatch(r"(.+)#([0-9]+)", text, re.DOTALL)
        return _Source(uri=pinned[1] if pinned else text, version=pinned[2] if pinned else version, is_object=True)
    if text.startswith("projects/"):
        repository, _, commit = text.partition("@")
        return _Source(uri=f"{_DATAFORM}{repository}", version=commit or version, is_object=False)
    return None


def _executed(job: NotebookExecutionJob | None, executed: Any) -> Iterator[Any]:
    """Yield the executed notebook, if there is one as far as is known."""
    if job is None or executed is None or executed.is_missing:
        return
    expected = job.executed_notebook_uri if job.job_state.is_success else None
    if uri := executed.uri or expected:
        yield _dataset(uri, executed.generation)


def _dataset(uri: str, version: str | None = None) -> Any:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from openlineage.client.facet_v2 import dataset_version_dataset

    bucket, _, name = uri.removeprefix("gs://").partition("/")
    facets: dict[str, Any] = {}
    if version:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(version)
    return Dataset(namespace=f"gs://{bucket}", name=name or "/", facets=facets)


def _declared(things: Iterable[Any]) -> Iterator[Any]:
    """Yield the datasets among a task's inlets or outlets."""
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors.manager import ExtractorManager

    for thing in things or ():
        uri = str(getattr(thing, "uri", ""))
        scheme, _, rest = uri.partition("://")
        if scheme == "gs":
            yield _dataset(uri)
        elif scheme in ("bq", "bigquery"):  # Vertex AI's notation, and the Google provider's
            yield Dataset(namespace="bigquery", name=rest.strip("/").replace("/", "."))
        elif (known := ExtractorManager.convert_to_ol_dataset(thing)) is not None:
            yield known


def _job_facets(job: NotebookExecutionJob | None, ti: Any) -> dict[str, Any]:
    if job is None or not job.name:
        return {}
    from openlineage.client.facet_v2 import external_query_run

    from airflow_nbjobs.lineage_facets import NotebookJobRunFacet
    from airflow_nbjobs.links import LINKS, published

    addresses = published(ti)
    ours = NotebookJobRunFacet(
        name=job.name,
        jobId=job.job_id,
        state=job.job_state.word,
        notebookVersion=job.labels.get("nbjobs-notebook"),
        links={link.name: addresses[link.xcom_key] for link in LINKS if link.xcom_key in addresses},
    )
    external = external_query_run.ExternalQueryRunFacet(externalQueryId=job.name, source="vertex_ai")
    return {"nbjobs_job": ours, "externalQuery": external}


def _error_facets(operator: Any, job: NotebookExecutionJob | None, executed: Any) -> dict[str, Any]:
    failure = executed.outcome.failure if executed is not None and executed.outcome is not None else None
    if failure is None or job is None or job.job_state.is_success:
        return {}
    from openlineage.client.facet_v2 import error_message_run

    kernel = getattr(operator, "kernel_name", None) or "python"
    error = error_message_run.ErrorMessageRunFacet(
        message=f"C{str(failure)[1:]}",
        programmingLanguage="python" if kernel.startswith("python") else kernel,
        stackTrace="\n".join(failure.lines()),
    )
    # Not `errorMessage`: the provider puts the task's exception there, in place of what is here.
    return {"nbjobs_notebookError": error}


def _source_facets(source: _Source | None) -> dict[str, Any]:
    if source is None:
        return {}
    from openlineage.client.facet_v2 import source_code_location_job

    kind = "gcs" if source.is_object else "git"
    facet = source_code_location_job.SourceCodeLocationJobFacet(type=kind, url=source.uri, version=source.version)
    return {"sourceCodeLocation": facet}


def report_read(reader: object, uri: str) -> None:
    """Tell Airflow's collector of lineage that a notebook was read.

    :param reader: the hook.
    :param uri: ``gs://`` URI.
    """
    _report("add_input_asset", reader, uri)


def report_written(writer: object, uri: str) -> None:
    """Tell Airflow's collector of lineage that a notebook was written.

    :param writer: the hook.
    :param uri: ``gs://`` URI.
    """
    _report("add_output_asset", writer, uri)


def _report(method: str, hook: object, uri: str) -> None:
    if not settings.is_airflow_loaded():
        return
    try:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        # Without a reader of lineage, such as OpenLineage's, Airflow's collector keeps nothing.
        collector: Any = get_hook_lineage_collector()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        getattr(collector, method)(context=hook, uri=uri)
    except Exception as error:  # noqa: BLE001 - it loads the plugins of others; a job is worth more than its lineage
        log.warning("Failed to report the lineage of %s: %s: %s", uri, type(error).__name__, error)
