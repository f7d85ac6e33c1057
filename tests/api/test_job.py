"""Messages keep what the service sends; changing a field changes nothing else."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_nbjobs.api.job import EncryptionSpec, JobState, NotebookExecutionJob, Operation, Status
from airflow_nbjobs.api.schedule import Schedule
from airflow_nbjobs.api.template import NotebookRuntimeTemplate
from tests.support import discovery
from tests.support.wire_data import MESSAGES, any_json, canonical, values_of, wire_objects

WIRED = [NotebookExecutionJob, Schedule, NotebookRuntimeTemplate]
JOB_SCHEMA = "GoogleCloudAiplatformV1NotebookExecutionJob"
SCHEMAS = {
    "Operation": "GoogleLongrunningOperation",
    "Status": "GoogleRpcStatus",
}
FULL = {
    "name": "projects/1/locations/us-central1/notebookExecutionJobs/5",
    "displayName": "Bericht für März",
    "executionTimeout": "86400.123456789s",
    "jobState": "JOB_STATE_RUNNING",
    "createTime": "2026-11-22T10:00:00.123456789Z",
    "updateTime": "2026-11-22T10:00:01.5+01:00",
    "gcsNotebookSource": {"uri": "gs://b/x.ipynb", "generation": 1700000000000000},
    "directNotebookSource": {"content": "eyJh-_8"},
    "customEnvironmentSpec": {"machineSpec": {"machineType": "e2"}, "new": None},
    "labels": {"team": "a", "odd": 5},
    "status": {"code": 0, "details": [{"@type": "x", "n": 1}]},
    "serviceAccount": None,
    "somethingNew": {"deep": [1, 2.5, None]},
}


@pytest.mark.parametrize("kind", MESSAGES)
@given(data=st.data())
def test_a_message_is_written_as_it_was_read(kind, data):
    came = data.draw(wire_objects(kind))
    kept = copy.deepcopy(came)
    message = kind.from_wire(came)
    assert canonical(message.to_wire()) == canonical(kept)
    assert canonical(came) == canonical(kept)
    assert kind.from_wire(message.to_wire()) == message


@pytest.mark.parametrize("kind", WIRED)
@given(data=st.data())
def test_changing_one_field_changes_nothing_else(kind, data):
    came = data.draw(wire_objects(kind))
    message = kind.from_wire(came)
    for field in [field for field in fields(kind) if "key" in field.metadata]:
        value = data.draw(values_of(field), label=field.name)
        changed = replace(message, **{field.name: value}).to_wire()
        key = field.metadata["key"]
        assert canonical({**changed, key: None}) == canonical({**came, key: None})
        assert getattr(kind.from_wire(changed), field.name) == value


@pytest.mark.parametrize("kind", MESSAGES)
@given(data=st.data())
def test_messages_survive_pickling_and_copying(kind, data):
    message = kind.from_wire(data.draw(wire_objects(kind)))
    for twin in (pickle.loads(pickle.dumps(message)), copy.deepcopy(message)):  # noqa: S301 - our own bytes
        assert twin == message
        assert canonical(twin.to_wire()) == canonical(message.to_wire())


@pytest.mark.parametrize("kind", MESSAGES)
@given(data=any_json.filter(lambda value: not isinstance(value, dict)))
def test_only_objects_are_messages(kind, data):
    with pytest.raises(TypeError, match=f"{kind.__name__} is read from a JSON object"):
        kind.from_wire(data)


@pytest.mark.parametrize("kind", MESSAGES)
def test_messages_are_frozen(kind):
    message = kind()
    with pytest.raises(FrozenInstanceError):
        message.wire = {}


def test_a_message_shares_nothing_with_its_source():
    came: dict[str, Any] = copy.deepcopy(FULL)
    job = NotebookExecutionJob.from_wire(came)
    came["somethingNew"]["deep"].clear()
    came["customEnvironmentSpec"].clear()
    job.to_wire()["customEnvironmentSpec"].clear()
    assert job.to_wire() == FULL


def test_fields_have_python_types():
    job = NotebookExecutionJob.from_wire(FULL)
    assert job.execution_timeout == timedelta(seconds=86400, microseconds=123456)
    assert job.create_time == datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
    assert job.update_time == datetime(2026, 11, 22, 9, 0, 1, 500000, tzinfo=UTC)
    assert job.gcs_notebook_source.generation == "1700000000000000"
    assert job.direct_notebook_source.content == b'{"a\xfb\xff'
    assert job.labels == {"team": "a"}
    assert job.status == Status(code=0, details=[{"@type": "x", "n": 1}])
    assert job.service_account is None


TIMES = ["2026-02-30T00:00:00Z", "2026-11-22", "2026-11-22T10:00:00", "2026-11-22T25:00:00Z", "0000-00-00T00:00:00Z"]
INVALID = [
    *(("createTime", "create_time", text) for text in (*TIMES, "२०२६-11-22T10:00:00Z", "", 5)),
    *(("executionTimeout", "execution_timeout", text) for text in ("१s", "5.१s", "5S", "s")),
]


@pytest.mark.parametrize(("key", "field", "text"), INVALID)
def test_an_invalid_value_counts_as_absent_and_is_kept(key, field, text):
    job = NotebookExecutionJob.from_wire({key: text})
    assert getattr(job, field) is None
    assert job.to_wire() == {key: text}


@pytest.mark.parametrize("text", ["2026-11-22t10:00:00z", "2026-11-22t11:00:00+01:00", "2026-11-22T10:00:00z"])
def test_a_lower_case_timestamp_is_read_and_kept(text):
    job = NotebookExecutionJob.from_wire({"createTime": text})
    assert job.create_time == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert job.to_wire() == {"createTime": text}


@pytest.mark.parametrize("code", [True, "5", 1.0, None])
def test_a_code_is_an_integer_or_absent(code):
    assert Status.from_wire({"code": code}).code is None


def test_a_timestamp_without_a_zone_is_refused():
    job = NotebookExecutionJob(create_time=datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(ValueError, match="needs a time zone"):
        job.to_wire()


def test_a_change_that_python_calls_equal_is_written():
    job = NotebookExecutionJob.from_wire({"customEnvironmentSpec": {"spot": 1}, "encryptionSpec": {"kmsKeyName": "k"}})
    key = EncryptionSpec.from_wire({"kmsKeyName": "k", "new": "kept"})
    changed = replace(job, custom_environment_spec={"spot": True}, encryption_spec=key).to_wire()
    assert changed["customEnvironmentSpec"]["spot"] is True
    assert changed["encryptionSpec"] == {"kmsKeyName": "k", "new": "kept"}


def test_a_request_leaves_out_output_only_fields():
    request = NotebookExecutionJob.from_wire(FULL).to_request()
    assert FULL.keys() - request.keys() == {"name", "jobState", "status", "createTime", "updateTime"}
    assert request == {key: FULL[key] for key in request}


@pytest.mark.parametrize("kind", [NotebookExecutionJob, Schedule, NotebookRuntimeTemplate])
def test_a_request_has_no_field_that_only_the_service_writes(kind):
    properties = discovery.document()["schemas"][f"GoogleCloudAiplatformV1{kind.__name__}"]["properties"]
    written = {key for key, schema in properties.items() if schema.get("readOnly")} | {"name"}
    assert kind.from_wire(dict.fromkeys(properties)).to_request().keys() == properties.keys() - written


def test_the_notebooks_content_is_not_in_the_repr():
    assert "content" not in repr(NotebookExecutionJob.from_wire(FULL))


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_field_of_the_discovery_document_is_a_field_here(kind):
    """A field that Google adds shows here when the pinned document is upgraded."""
    schemas = discovery.document()["schemas"]
    own = f"GoogleCloudAiplatformV1{kind.__name__}"
    name = SCHEMAS.get(kind.__name__) or (own if own in schemas else JOB_SCHEMA + kind.__name__)
    properties = schemas[name]["properties"]
    assert {field.metadata["key"] for field in fields(kind) if "key" in field.metadata} == set(properties)


def test_the_states_are_those_of_the_discovery_document():
    schema = discovery.document()["schemas"][JOB_SCHEMA]
    assert [state.value for state in JobState] == schema["properties"]["jobState"]["enum"]


TERMINAL = {"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"}


@pytest.mark.parametrize("state", JobState, ids=lambda state: state.word)
def test_known_states_are_terminal_or_successful_by_the_table(state):
    assert state.is_terminal is (state.word in TERMINAL)
    assert state.is_success is (state.word == "SUCCEEDED")


@given(st.text(min_size=1).filter(lambda text: text not in JobState._value2member_map_))
@example("SUCCEEDED")
def test_an_unknown_state_is_active(text):
    state = NotebookExecutionJob.from_wire({"jobState": text}).job_state
    assert (state.is_terminal, state.is_success) == (False, False)
    assert state == JobState(text) == text
    assert pickle.loads(pickle.dumps(state)) == state  # noqa: S301 - our own bytes
    assert text not in JobState._value2member_map_


def test_only_true_means_that_an_operation_is_done():
    assert Operation.from_wire({"done": "true"}).done is False
    assert Operation.from_wire({"done": True}).done is True
