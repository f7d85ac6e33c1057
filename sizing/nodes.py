"""Two schedulers, workers and triggerers with Celery, Redis and PostgreSQL, as separate processes of one machine."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from bench.triggerers import ROOT, Triggerers
from chaos.site import LOADED_ONCE
from demo.airflow_processes import COMPONENTS, free_port
from demo.watchdog import shared_watchdog, start_watched

_REDIS = "redis-server"
SETTINGS = {
    "NBJOBS__DEPLOYMENT": "sizing",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "120",
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
    "TRIGGERER__CAPACITY": "2000",
}
"""What differs from Airflow's defaults, so that Airflow notices soon, and so that one triggerer can replace both."""


_WORKER = ["celery", "worker", "--skip-serve-logs", "--concurrency", "4"]
NODES = {
    **{f"triggerer {number}": COMPONENTS["triggerer"] for number in (1, 2)},
    "API server": COMPONENTS["api-server"],
    **{f"scheduler {number}": COMPONENTS["scheduler"] for number in (1, 2)},
    "DAG processor": COMPONENTS["dag-processor"],
    **{f"worker {number}": [*_WORKER, "--celery-hostname", f"worker{number}@localhost"] for number in (1, 2)},
}


class Redis:
    """Debian's Redis, which keeps its data over a kill."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = str(free_port())
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        """Start it, for the first time or after :meth:`kill`."""
        keep = ["--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "always"]
        command = [_REDIS, "--bind", "127.0.0.1", "--port", self._port, *keep]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = start_watched(command, stdout=log)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._process.kill()
        self._process.wait()
        shared_watchdog().forget(self._process.pid)

    def version(self) -> str:
        """Return its version."""
        told = subprocess.run([_REDIS, "--version"], check=True, text=True, stdout=subprocess.PIPE).stdout  # noqa: S603 - Debian's own
        return told.partition("v=")[2].partition(" ")[0]


class Nodes(Triggerers):
    """All nodes; what ends by itself is started again.

    :param tasks: the number of tasks of each DAG.
    """

    def __init__(
        self, folder: Path, database: str, broker: str, service: Mapping[str, str], tasks: Mapping[str, int]
    ) -> None:
        dags, config = folder / "dags", folder / "airflow" / "config"
        shutil.copytree(ROOT / "sizing" / "dags", dags)
        shutil.copy(ROOT / "bench" / "dags" / "waits.py", dags)
        config.mkdir(parents=True)
        (config / "airflow_local_settings.py").write_text(LOADED_ONCE)
        env = {f"AIRFLOW__{name}": value for name, value in SETTINGS.items()}
        env |= {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "AIRFLOW__CORE__PARALLELISM": "32"}
        env |= {"AIRFLOW__CELERY__BROKER_URL": broker, "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}"}
        env |= {"AIRFLOW__CORE__DAGS_FOLDER": str(dags), "SIZING_DAGS": json.dumps(dict(tasks))}
        super().__init__(folder / "airflow", database, {**service, **env})

    def start_component(self, component: str) -> None:
        """Start a node."""
        self._spawn(component, NODES[component])

    def memory(self) -> dict[str, float]:
        """Return the memory of each node in MB; what n processes share counts as an nth for each of them."""
        return {name: _megabytes(self.pid(name)) for name in NODES if name in self._processes}

    def states(self, run_id: str) -> dict[str, int]:
        """Count the tasks of a run by state."""
        return dict(self._ask("SELECT state, count(*) FROM task_instance WHERE run_id = :run GROUP BY 1", run=run_id))

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """Return the tasks of a run: their states, tries, times since 1970, and the job of their results."""
        rows = self._ask(
            "SELECT t.state, t.try_number, EXTRACT(EPOCH FROM t.scheduled_dttm)::float,"
            " EXTRACT(EPOCH FROM t.end_date)::float, x.value->>'job_id' FROM task_instance t LEFT JOIN xcom x"
            " ON x.run_id = t.run_id AND x.map_index = t.map_index AND x.key = 'return_value' WHERE t.run_id = :run",
            run=run_id,
        )
        return [dict(zip(("state", "tries", "scheduled", "ended", "job"), row, strict=True)) for row in rows]

    def server_version(self) -> str:
        """Return PostgreSQL's version."""
        return str(self._ask("SHOW server_version")[0][0]).partition(" ")[0]


def _megabytes(pid: int) -> float:
    megabytes = 0.0
    node = psutil.Process(pid)
    for process in (node, *node.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # a task has ended
            megabytes += process.memory_full_info().pss / 1e6
    return megabytes
