"""A client for the REST calls to Airflow that the demo and the system tests need."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

LOCKED_SECONDS = 30
LOOK_SECONDS = 0.5

# The answer if the request was carried out before, although Airflow answered with an error.
_DONE_BEFORE = {"POST": 409, "PATCH": 409, "DELETE": 404}


class Run(NamedTuple):
    """One run of a DAG."""

    dag_id: str
    run_id: str

    @property
    def path(self) -> str:
        """Its path in Airflow's REST API."""
        return f"/dags/{self.dag_id}/dagRuns/{quote(self.run_id, safe='')}"


class AirflowRest:
    """Airflow's public REST API (`/api/v2`), for one user.

    :param url: address of the API server, such as `http://127.0.0.1:8080`.
    :param username: a user of Airflow's simple auth manager.
    :param password: that user's password.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = url
        self._login = {"username": username, "password": password}
        # Without proxies, since the server is on the loopback interface.
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def health(self) -> dict[str, str]:
        """Return the status of each component; empty while the API server does not answer."""
        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=5)
        except httpx.TransportError:
            return {}
        components = answer.json() if answer.is_success else {}
        return {name: part["status"] for name, part in components.items() if part["status"]}

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Send one request and return its JSON.

        If SQLite is locked, Airflow answers 500, and may have carried out the request. On a busy machine it may not
        answer for half a minute. In both cases the request is sent again.

        :raises httpx.HTTPStatusError: if Airflow refuses; its answer is in the notes of the error.
        :raises httpx.TransportError: if Airflow does not answer for a minute.
        """
        deadline, is_again = time.monotonic() + LOCKED_SECONDS, False
        while True:
            try:
                answer = self._send(method, path, arguments)
            except httpx.TimeoutException:
                if is_again:
                    raise
            else:
                if answer.status_code != httpx.codes.INTERNAL_SERVER_ERROR or time.monotonic() > deadline:
                    break
            is_again = True
            time.sleep(LOOK_SECONDS)
        if is_again and answer.status_code == _DONE_BEFORE.get(method):
            return None
        try:
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            error.add_note(answer.text)
            raise
        return answer.json() if answer.content else None

    def _send(self, method: str, path: str, arguments: dict[str, Any]) -> httpx.Response:
        answer = self._http.request(method, f"/api/v2{path}", **arguments)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            token = self._http.post("/auth/token", json=self._login).raise_for_status().json()["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
            answer = self._http.request(method, f"/api/v2{path}", **arguments)
        return answer

    def knows(self, dag_id: str) -> bool:
        """Return whether the DAG's file has been parsed.

        :raises RuntimeError: if a DAG file could not be imported; with the traceback.
        """
        errors = self.call("GET", "/importErrors")["import_errors"]
        # An example that needs a later Airflow says so.
        if broken := [error for error in errors if "needs Airflow" not in error["stack_trace"]]:
            raise RuntimeError("\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in broken))
        return bool(self.call("GET", "/dags", params={"dag_id_pattern": dag_id})["dags"])

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> Run:
        """Start a run of the DAG now."""
        run_id = f"manual__{datetime.now(UTC).isoformat()}"  # chosen here, since the request may be sent twice
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf or {}}
        self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)
        return Run(dag_id, run_id)

    def run_state(self, run: Run) -> str:
        """Return the run's state: `queued`, `running`, `success` or `failed`."""
        return str(self.call("GET", run.path)["state"])

    def tasks(self, run: Run) -> list[dict[str, Any]]:
        """Return the run's task instances, sorted by task id and map index."""
        found = self.call("GET", f"{run.path}/taskInstances")["task_instances"]
        return sorted(found, key=lambda task: (task["task_id"], task["map_index"]))

    def task(self, run: Run, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return one task instance."""
        mapped = f"/{map_index}" if map_index >= 0 else ""
        return dict(self.call("GET", f"{run.path}/taskInstances/{task_id}{mapped}"))

    def xcom(self, run: Run, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom of the task, deserialized."""
        where = {"map_index": map_index, "deserialize": False, "stringify": False}
        return self.call("GET", f"{run.path}/taskInstances/{task_id}/xcomEntries/{key}", params=where)["value"]

    def asset_states(self, name: str) -> dict[str, Any]:
        """Return the values that are stored for an asset, by key; empty if Airflow does not know the asset."""
        assets = self.call("GET", "/assets", params={"name_pattern": name})["assets"]
        found = [asset["id"] for asset in assets if asset["name"] == name]
        stored = [self.call("GET", f"/assets/{known}/state-store")["asset_state_store"] for known in found]
        return {each["key"]: each["value"] for some in stored for each in some}

    def links(self, run: Run, task_id: str, map_index: int = -1) -> dict[str, str | None]:
        """Return the task's extra links by name; ``None`` for a link without an address."""
        path = f"{run.path}/taskInstances/{task_id}/links"
        return dict(self.call("GET", path, params={"map_index": map_index})["extra_links"])

    def log(self, run: Run, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of one try, one event per line."""
        path = f"{run.path}/taskInstances/{task_id}/logs/{try_number}"
        events = self.call("GET", path, params={"map_index": map_index, "full_content": True})["content"]
        return "\n".join(str(event["event"]) for event in events)

    def add_connection(self, connection_id: str, conn_type: str, **fields: Any) -> None:
        """Store a connection in Airflow's database."""
        body = {"connection_id": connection_id, "conn_type": conn_type, **fields}
        self.call("POST", "/connections", json=body)

    def close(self) -> None:
        """Close the HTTP connections."""
        self._http.close()
