"""What the trigger refuses, before anything is sent, and how Airflow stores it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, Asset
from airflow.triggers.base import BaseEventTrigger

from airflow_nbjobs.events import NotebookJobEventTrigger
from airflow_nbjobs.exceptions import InvalidNotebookJobError, NbjobsError

HAS_STATE = hasattr(BaseEventTrigger, "create_shared_stream_producer")
needs_state = pytest.mark.skipif(not HAS_STATE, reason="watchers of assets have a state since Airflow 3.3")


@needs_state
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"location": "us-central1/.."}, "location='us-central1/..' is not a location"),
        ({"project_id": "a/b"}, "project_id='a/b' is not a project"),
        ({"schedule": "projects/p/locations/l"}, "is not the name of a schedule: give its id"),
        ({"schedule": "projects/p/locations/us-east1/schedules/1"}, "is in 'us-east1', and location='us-central1'"),
        ({"schedule": 1.5}, "schedule=1.5 is not the name of a schedule"),
        ({"display_name": "report-("}, r"is not an RE2 regular expression that Python can read too: missing \)"),
        ({"display_name": "(?=report)"}, r"RE2 does not have '\(\?='. Write it without."),
        ({"display_name": "(?<!a)report"}, r"RE2 does not have '\(\?<!'"),
        ({"display_name": r"(a)\1"}, r"RE2 does not have '\\\\1'"),
        ({"display_name": "a*+"}, r"RE2 does not have '\*\+'"),
        ({"display_name": "[[:alpha:]]"}, "Possible nested set"),
        ({"display_name": ""}, "give text such as 'report-.*'"),
        ({"display_name": 7}, "display_name=7 is not an RE2 regular expression"),
        ({"display_name": "{{ ds }}"}, "display_name='{{ ds }}' contains a template"),
        ({"labels": {"team": "{{ team }}"}}, "Airflow renders none in a watcher"),
        ({"labels": ["team"]}, r"labels=\['team'\] is not a dict"),
        ({"labels": {"Team": "red"}}, "no job can have the label 'Team'='red'. Give keys and values of at most 64"),
        ({"labels": {"": "red"}}, "no job can have the label ''='red'"),
        ({"labels": {"team": 7}}, "no job can have the label 'team'=7"),
        ({"labels": {"team": "x" * 65}}, "of at most 64 lower-case letters"),
        ({"states": []}, r"states=\[\] names no state: give some of SUCCEEDED, FAILED"),
        ({"states": None}, "states=None names no state"),
        ({"states": ["RUNNING"]}, "'RUNNING' is a state of a job that goes on. Give some of SUCCEEDED, FAILED"),
        ({"states": "DONE"}, "states='DONE': 'DONE' is not a state of a job"),
        ({"gcp_conn_id": None}, "gcp_conn_id=None is not a connection"),
        ({"gcp_conn_id": ""}, "gcp_conn_id='' is not a connection"),
        ({"impersonation_chain": [None]}, r"impersonation_chain=\[None\] is not a service account"),
        ({"impersonation_chain": timedelta(1)}, "is not a service account"),
        ({"poll_interval": 0}, "poll_interval=0 is not a time"),
        ({"event_interval": "often"}, "event_interval='often' is not a time"),
        ({"catch_up": -1}, "catch_up=-1 is not a time"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_refused_with_its_value(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match=message) as raised:
        NotebookJobEventTrigger(**{"location": "us-central1", **wrong})
    # Airflow's triggerer ends if the class of a trigger raises anything but a TypeError.
    assert isinstance(raised.value, TypeError)


@needs_state
@pytest.mark.parametrize("pattern", [r"a\.b-\d{2,}", "(?i)report", "(?:a|b)+?", r"\\1", "a++".replace("++", r"\++")])
def test_what_both_kinds_of_expressions_have_is_allowed(pattern: str) -> None:
    assert NotebookJobEventTrigger("us-central1", display_name=pattern).display_name == pattern


GIVEN: dict[str, Any] = {
    "location": "us-central1",
    "project_id": "my-project",
    "schedule": "17",
    "display_name": "report-.*",
    "labels": {"a": "1", "b": "2"},
    "states": ["FAILED", "SUCCEEDED"],
    "event_interval": 5,
    "catch_up": 3600,
    "gcp_conn_id": "mine",
    "impersonation_chain": ["a@x.y"],
    "poll_interval": 12.5,
    "v": 1,
}


@needs_state
def test_a_trigger_survives_being_stored() -> None:
    assert NotebookJobEventTrigger(**GIVEN).serialize() == ("airflow_nbjobs.events.NotebookJobEventTrigger", GIVEN)


@needs_state
def test_the_order_of_labels_and_states_does_not_matter() -> None:
    """Airflow replaces a watcher whose arguments change, and what it remembers belongs to them."""
    labels, states = dict(reversed(GIVEN["labels"].items())), ("JOB_STATE_SUCCEEDED", "FAILED", "FAILED")
    other = NotebookJobEventTrigger(**{**GIVEN, "labels": labels, "states": states})
    stored = [json.dumps(trigger.serialize()) for trigger in (NotebookJobEventTrigger(**GIVEN), other)]
    assert stored[0] == stored[1]


@needs_state
def test_airflow_stores_the_watcher_of_a_dag() -> None:
    from airflow.sdk import AssetWatcher
    from airflow.serialization.serialized_objects import DagSerialization

    watcher = AssetWatcher(name="ends", trigger=NotebookJobEventTrigger(**GIVEN))
    with DAG("watching", schedule=[Asset("reports", watchers=[watcher])]) as dag:
        pass
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    (asset,) = [each for _, each in stored.timetable.asset_condition.iter_assets()]
    trigger = asset.watchers[0].trigger
    assert trigger["classpath"] == "airflow_nbjobs.events.NotebookJobEventTrigger"
    assert BaseEventTrigger.hash(**trigger) == BaseEventTrigger.hash(*NotebookJobEventTrigger(**GIVEN).serialize())


@needs_state
def test_a_trigger_without_a_watcher_says_what_it_is_for() -> None:
    with pytest.raises(NbjobsError, match=r"is for the watchers of an asset: Asset\(\.\.\., watchers="):
        asyncio.run(anext(NotebookJobEventTrigger("us-central1").run()))


def test_an_airflow_without_states_of_assets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if HAS_STATE:
        monkeypatch.delattr(BaseEventTrigger, "create_shared_stream_producer")
    with pytest.raises(InvalidNotebookJobError, match=r"needs Airflow 3\.3 or later, and this is 3"):
        NotebookJobEventTrigger("us-central1")
