"""JSON as the service might send it: the resource's own shape, and everything else that is JSON."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from airflow_nbjobs.api import job as resource
from airflow_nbjobs.api import wire
from airflow_nbjobs.api.schedule import CreateNotebookExecutionJobRequest, Schedule, ScheduleRunResponse
from airflow_nbjobs.api.template import NotebookRuntimeTemplate

if TYPE_CHECKING:
    from airflow_nbjobs.api.wire import Message

MESSAGES = [
    resource.NotebookExecutionJob,
    resource.Operation,
    resource.Status,
    resource.GcsNotebookSource,
    resource.DataformRepositorySource,
    resource.DirectNotebookSource,
    resource.EncryptionSpec,
    Schedule,
    ScheduleRunResponse,
    CreateNotebookExecutionJobRequest,
    NotebookRuntimeTemplate,
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**30, max_value=10**400),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
any_json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2), max_leaves=3
)
json_objects = st.dictionaries(st.text(), any_json, max_size=2)

_digits = st.text("0123456789", min_size=1, max_size=12)
_fraction = st.text("0123456789", min_size=1, max_size=9).map(lambda digits: f".{digits}") | st.just("")
_durations = st.builds("{}{}{}s".format, st.sampled_from(["", "-"]), _digits, _fraction)
_moments = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S"))
_zones = st.sampled_from(["Z", "z", "+00:00", "-12:00", "+23:59", "+99:99"])
_timestamps = st.builds("{}{}{}".format, _moments, _fraction, _zones)

_TEXTS = {
    wire.TEXT: st.text(),
    wire.DURATION: _durations,
    wire.TIMESTAMP: _timestamps,
    wire.BYTES: st.binary().map(lambda content: base64.b64encode(content).decode()),
    wire.BOOLEAN: st.booleans(),
    wire.INTEGER: st.integers(-(2**63), 2**63 - 1).map(str),
    resource.STATE: st.sampled_from([state.value for state in resource.JobState]) | st.text(),
}
_VALUES = {
    wire.TEXT: st.text(),
    wire.DURATION: st.timedeltas(timedelta(days=-3_652_500), timedelta(days=3_652_500)),
    wire.TIMESTAMP: st.datetimes(timezones=st.just(UTC)),
    wire.BYTES: st.binary(),
    wire.BOOLEAN: st.booleans(),
    wire.INTEGER: st.integers(-(2**63), 2**63 - 1),
    wire.LABELS: st.dictionaries(st.text(), st.text(), max_size=3),
    wire.JSON: json_objects,
    resource.STATE: (st.sampled_from([state.value for state in resource.JobState]) | st.text(min_size=1)).map(
        resource.JobState
    ),
}
_SUB_MESSAGES: dict[str, Any] = {
    "gcs_notebook_source": resource.GcsNotebookSource,
    "dataform_repository_source": resource.DataformRepositorySource,
    "direct_notebook_source": resource.DirectNotebookSource,
    "encryption_spec": resource.EncryptionSpec,
    "status": resource.Status,
    "error": resource.Status,
    "create_notebook_execution_job_request": CreateNotebookExecutionJobRequest,
    "notebook_execution_job": resource.NotebookExecutionJob,
    "last_scheduled_run_response": ScheduleRunResponse,
}


def _shape(field: Any) -> st.SearchStrategy[Any]:
    if field.name in _SUB_MESSAGES:
        return wire_objects(_SUB_MESSAGES[field.name])
    return _TEXTS.get(field.metadata["codec"], json_objects)


def wire_objects(kind: type[Message]) -> st.SearchStrategy[dict[str, Any]]:
    """Give objects whose fields are of their type, or of any other, or missing, with fields nobody knows."""
    known = {field.metadata["key"]: _shape(field) | any_json for field in fields(kind) if "key" in field.metadata}
    shaped = st.fixed_dictionaries({}, optional=known)
    return st.builds(lambda unknown, fields: {**unknown, **fields}, json_objects, shaped)


def values_of(field: Any) -> st.SearchStrategy[Any]:
    """Give values that a field may be set to in Python."""
    if field.name in _SUB_MESSAGES:
        return st.none() | wire_objects(_SUB_MESSAGES[field.name]).map(_SUB_MESSAGES[field.name].from_wire)
    values = _VALUES[field.metadata["codec"]]
    return values if field.default is not None else st.none() | values


def canonical(data: Any) -> str:
    """Tell JSON apart as JSON does: to Python true is 1."""
    return json.dumps(data, sort_keys=True)
