"""What Airflow loads of the tab, and when."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from airflow_nbjobs.plugin import NotebookTabPlugin
from airflow_nbjobs.provider_info import get_provider_info


def printed(program: str, **environment: str) -> str:
    """Run a program in a process of its own, and return what it prints last."""
    call = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(call, check=True, text=True, capture_output=True, env={**os.environ, **environment})
    return done.stdout.splitlines()[-1]


def test_installing_the_package_is_enough() -> None:
    (point,) = entry_points(group="airflow.plugins", name="nbjobs")
    assert point.load() is NotebookTabPlugin
    (plugin,) = get_provider_info()["plugins"]
    assert plugin["plugin-class"] == point.value.replace(":", ".")


def test_the_tab_is_a_view_of_task_instances() -> None:
    (view,) = NotebookTabPlugin.external_views
    assert (view["name"], view["destination"], view["url_route"]) == ("Notebook", "task_instance", "notebook")
    assert view["href"] == "nbjobs/tasks/{DAG_ID}/{RUN_ID}/{TASK_ID}/{MAP_INDEX}/tab"
    assert "CreateNotebookExecutionJobOperator" in view["applies_to"]["operator_name"]
    (app,) = NotebookTabPlugin.fastapi_apps
    assert app["url_prefix"] == "/nbjobs"


@pytest.mark.parametrize(("value", "views"), [("False", "0 0"), ("True", "1 1")])
def test_a_setting_turns_the_tab_off(value: str, views: str) -> None:
    program = (
        "from airflow_nbjobs.plugin import NotebookTabPlugin as plugin\n"
        "print(len(plugin.external_views), len(plugin.fastapi_apps))"
    )
    assert printed(program, AIRFLOW__NBJOBS__NOTEBOOK_TAB=value) == views


def test_the_plugin_imports_nothing_that_a_task_does_not_need() -> None:
    program = (
        "import sys\n"
        "from airflow.providers.common.compat.sdk import AirflowPlugin, conf\n"
        "before = set(sys.modules)\n"
        "import airflow_nbjobs.plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    # Airflow itself may have read the provider's metadata before.
    loaded = set(printed(program).split()) - {"airflow_nbjobs", "airflow_nbjobs.provider_info"}
    assert loaded == {"airflow_nbjobs.plugin", "airflow_nbjobs.settings"}


def test_the_settings_are_documented() -> None:
    options = get_provider_info()["config"]["nbjobs"]["options"]
    assert {"notebook_tab", "ui_gcp_conn_id", "ui_notebook_bytes", "ui_cache_bytes", "ui_renderings"} <= set(options)
