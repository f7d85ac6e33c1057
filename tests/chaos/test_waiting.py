"""The ways of waiting that the soak tries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from chaos.waiting import SUCCEEDED, as_sensor, in_worker
from tests.hooks.test_methods import make_job
from tests.support.cloud import Cloud
from tests.support.emulators import using

nbjobs_emulator_session = using("simulated")


@pytest.mark.parametrize("wait", [in_worker, as_sensor])
def test_a_way_of_waiting_returns_the_final_state(
    wait: Callable[[NotebookExecutionJob], list[Any]], cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.waiting.POLL_SECONDS", 0.1)
    job = NotebookExecutionJobHook().get_job(make_job(cloud.project))
    assert wait(job) == [SUCCEEDED]
