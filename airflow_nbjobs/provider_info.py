"""The provider's metadata for Airflow."""

from __future__ import annotations

from typing import Any

from airflow_nbjobs import __version__

__all__ = ["get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """Return the metadata in the format of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-nbjobs",
        "name": "Notebook execution jobs",
        "description": "Run notebooks on Vertex AI / Colab Enterprise as tasks.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Vertex AI notebook execution jobs",
                "external-doc-url": "https://cloud.google.com/colab/docs/schedule-notebook-run",
                "how-to-guide": ["/docs/start/emulator.md", "/docs/start/google-cloud.md"],
                "tags": ["gcp"],
            }
        ],
        "hooks": [_integration("hooks")],
        "operators": [_integration("operators")],
        "sensors": [_integration("sensors")],
        "triggers": [_integration("events", "schedule_trigger", "triggers")],
        "task-decorators": [{"name": "notebook", "class-name": "airflow_nbjobs.decorators.notebook_task"}],
        "plugins": [{"name": "nbjobs", "plugin-class": "airflow_nbjobs.plugin.NotebookTabPlugin"}],
        "cli": ["airflow_nbjobs.commands.in_airflow.airflow_commands"],  # since Airflow 3.2
        "extra-links": [
            "airflow_nbjobs.links.NotebookExecutionJobListLink",
            "airflow_nbjobs.links.NotebookScheduleLink",
            "airflow_nbjobs.links.ExecutedNotebookLink",
            "airflow_nbjobs.links.NotebookLogsLink",
        ],
        "config": {"nbjobs": {"description": "Notebook execution jobs on Vertex AI.", "options": _OPTIONS}},
    }


def _integration(*modules: str) -> dict[str, Any]:
    return {
        "integration-name": "Vertex AI notebook execution jobs",
        "python-modules": [f"airflow_nbjobs.{module}" for module in modules],
    }


_OPTIONS: dict[str, dict[str, Any]] = {
    "deployment": {
        "description": (
            "Unique name of this Airflow among those that use the same Google Cloud project. If it is not set, [api] "
            "base_url is used. Tasks find their jobs by this name. Do not change it while tasks run: their retries "
            "would not find their jobs and would create new ones."
        ),
        "version_added": "0.2.0",
        "type": "string",
        "example": "team-a-production",
        "default": None,
    },
    "endpoint": {
        "description": (
            "Address of the service instead of https://{location}-aiplatform.googleapis.com, for example for Private "
            "Service Connect. {location} is replaced by the region of the job."
        ),
        "version_added": "0.2.0",
        "type": "string",
        "example": "https://{location}-aiplatform-myendpoint.p.googleapis.com",
        "default": None,
    },
    "allowed_endpoints": {
        "description": ("Comma-separated https addresses outside googleapis.com that may receive real credentials."),
        "version_added": "0.2.0",
        "type": "string",
        "example": "https://vertex.internal.example.com",
        "default": None,
    },
    "requests_per_minute": {
        "description": (
            "How many requests per minute one triggerer may send to watch the jobs of one project and location, "
            "regardless of how many tasks wait. The quota of a project is 600 for all triggerers together."
        ),
        "version_added": "0.2.0",
        "type": "integer",
        "example": "60",
        "default": "120",
    },
    "result_bytes": {
        "description": "Largest size of a notebook's results, in bytes of JSON. They are stored in an XCom.",
        "version_added": "0.2.0",
        "type": "integer",
        "example": None,
        "default": "49152",
    },
    "staging_bytes": {
        "description": (
            "A notebook larger than this, in bytes, is not sent with the request. It is staged in Cloud Storage, under "
            "gcs_output_uri."
        ),
        "version_added": "0.2.0",
        "type": "integer",
        "example": None,
        "default": "8388608",
    },
    "notebook_bytes": {
        "description": "Largest notebook in Cloud Storage, in bytes, that can get parameters.",
        "version_added": "0.2.0",
        "type": "integer",
        "example": None,
        "default": "67108864",
    },
    "notebook_tab": {
        "description": 'Whether task instances have the tab "Notebook". A change needs a restart of the API server.',
        "version_added": "0.2.0",
        "type": "boolean",
        "example": None,
        "default": "True",
    },
    "ui_gcp_conn_id": {
        "description": (
            "The Google Cloud connection with which the API server reads jobs and executed notebooks for the tab. A "
            "user who may see a task instance, its logs and its XComs sees the notebook with this connection's rights."
        ),
        "version_added": "0.2.0",
        "type": "string",
        "example": "google_cloud_viewer",
        "default": "google_cloud_default",
    },
    "ui_notebook_bytes": {
        "description": "Largest notebook, in bytes, that the tab shows.",
        "version_added": "0.2.0",
        "type": "integer",
        "example": None,
        "default": "67108864",
    },
    "ui_cache_bytes": {
        "description": (
            "Size, in bytes, of the rendered notebooks that an API server keeps in its folder of temporary files."
        ),
        "version_added": "0.2.0",
        "type": "integer",
        "example": None,
        "default": "268435456",
    },
    "ui_renderings": {
        "description": "How many notebooks one process of the API server renders at the same time. Others wait.",
        "version_added": "0.2.0",
        "type": "integer",
        "example": None,
        "default": "2",
    },
}
