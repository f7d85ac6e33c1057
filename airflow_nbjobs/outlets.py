"""Airflow's assets: which outlet ``asset=`` stands for, and what the asset events of a notebook task carry.

An asset's name and URI are fixed when a DAG is parsed, and each executed notebook has its own URI. Therefore ``asset=``
names one asset for all runs, and the event says where the executed notebook of its run is. An ``AssetAlias`` turns this
round: each run adds its executed notebook to Airflow as a new asset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import airflow_nbjobs.floors  # noqa: F401 - refuses versions that are too old

from airflow_nbjobs.exceptions import InvalidNotebookJobError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, AssetAlias, Context

__all__ = ["EXTRA_BYTES", "as_outlet", "event_extra", "publish_outlets", "with_asset"]

EXTRA_BYTES = 16 * 1024
"""The largest size of what one asset event carries, as JSON. Airflow's UI and REST API load many events at once."""


def with_asset(arguments: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return arguments of an operator in which ``asset`` has become one of the ``outlets``.

    Airflow takes the outlets of a mapped task from the arguments, without making the operator.

    :param arguments: with or without ``asset`` and ``outlets``.
    :param defaults: the ``default_args`` of the task, for those that are not among the arguments.
    :raises InvalidNotebookJobError: if the asset is not valid, or the task does not wait for its job.
    """
    known = {name: value for name, value in (defaults or {}).items() if name in ("asset", "outlets")} | dict(arguments)
    if (asset := known.pop("asset", None)) is None:
        return known
    if not {**(defaults or {}), **arguments}.get("wait_for_completion", True):
        raise InvalidNotebookJobError(
            f"asset={asset!r} needs wait_for_completion=True: otherwise the task succeeds before its notebook runs."
        )
    outlets = known.get("outlets") or []
    several = list(outlets) if isinstance(outlets, list | tuple | set) else [outlets]
    outlet = as_outlet(asset)
    return {**known, "outlets": several if outlet in several else [*several, outlet]}


def as_outlet(asset: object) -> Asset | AssetAlias:
    """Return the outlet that ``asset=`` stands for.

    :param asset: the name or URI of an asset, an ``Asset`` or an ``AssetAlias``.
    :raises InvalidNotebookJobError: names the value and the remedy.
    """
    from airflow.providers.common.compat.sdk import Asset, AssetAlias

    if isinstance(asset, Asset | AssetAlias):
        return asset
    if not isinstance(asset, str):
        raise InvalidNotebookJobError(
            f"asset={asset!r} is not an asset: give a name, a URI, an Asset or an AssetAlias."
        )
    if "{{" in asset or "{%" in asset:
        raise InvalidNotebookJobError(
            f"asset={asset!r} contains a template, but assets are known before a run: give one name for all runs. The "
            "event of each run has the URI of its executed notebook."
        )
    try:
        return Asset(asset)
    except ValueError as error:
        raise InvalidNotebookJobError(f"asset={asset!r} is not valid: {error}. Give a name or a URI.") from error


def event_extra(result: Mapping[str, Any], generation: str | None) -> dict[str, Any]:
    """Return what an asset event carries.

    The keys are ``name`` and ``job_id`` of the job, ``state``, ``executed_notebook``, ``generation`` (of that object),
    ``notebook_version``, and ``results`` if the task has read them. Results that make it larger than
    :data:`EXTRA_BYTES` are left out: ``results`` is then ``None``, and ``results_omitted`` says where they are.

    :param result: what the task returns.
    :param generation: ``None`` if the executed notebook was not read.
    """
    extra = {**{key: value for key, value in result.items() if key != "v"}, "generation": generation}
    size = len(json.dumps(extra).encode())
    if size <= EXTRA_BYTES:
        return extra
    omitted = (
        f"With the results, the event has {size:,} bytes, more than {EXTRA_BYTES:,}: read them from the task's XCom."
    )
    return {**extra, "results": None, "results_omitted": omitted}


def publish_outlets(
    context: Context, result: Mapping[str, Any], log: Any, *, generation: str | None = None, has_executed: bool = False
) -> None:
    """Let the asset events of a task carry what it returns. What the user's own code has set there is kept.

    An ``AssetAlias`` gets the executed notebook as its asset. Other outlets than assets are left alone.

    :param result: what the task returns.
    :param log: the task's logger. The job has ended, so that a failure here is only a warning.
    :param generation: of the executed notebook, if it was read.
    :param has_executed: whether there is an executed notebook, as far as is known.
    """
    events, outlets = context.get("outlet_events"), getattr(context["task"], "outlets", None)
    if events is None or not outlets:
        return
    from airflow.sdk import Asset, AssetAlias
    from airflow.sdk.definitions.asset import AssetRef

    extra, uri = event_extra(result, generation), result["executed_notebook"] if has_executed else None
    if omitted := extra.get("results_omitted"):
        log.warning("The asset events of this task have no results. %s", omitted)
    for outlet in outlets:
        try:
            if isinstance(outlet, AssetAlias):
                if uri is not None:
                    events[outlet].add(Asset(uri=uri), extra=dict(extra))
            elif isinstance(outlet, Asset | AssetRef):
                accessor: Any = events[outlet]
                accessor.extra = {**extra, **accessor.extra}
        except Exception as error:  # noqa: BLE001 - Airflow looks references up; a result is worth more than its event
            log.warning("The event of the outlet %r does not describe the job: %s", outlet, error)
