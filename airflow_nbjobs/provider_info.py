"""What Airflow is told about this provider."""

from __future__ import annotations

from typing import Any

from airflow_nbjobs import __version__

__all__ = ["get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-nbjobs",
        "name": "Notebook execution jobs",
        "description": "Run notebooks on Vertex AI / Colab Enterprise as tasks.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Vertex AI notebook execution jobs",
                "external-doc-url": "https://cloud.google.com/colab/docs/schedule-notebook-run",
                "tags": ["gcp"],
            }
        ],
        "hooks": [_of("hooks")],
        "operators": [_of("operators")],
        "sensors": [_of("sensors")],
        "triggers": [_of("triggers")],
        "task-decorators": [{"name": "notebook", "class-name": "airflow_nbjobs.decorators.notebook_task"}],
        "extra-links": [
            "airflow_nbjobs.links.NotebookExecutionJobListLink",
            "airflow_nbjobs.links.NotebookScheduleLink",
            "airflow_nbjobs.links.ExecutedNotebookLink",
            "airflow_nbjobs.links.NotebookLogsLink",
        ],
        "config": {"nbjobs": {"description": "Notebook execution jobs on Vertex AI.", "options": _OPTIONS}},
    }


def _of(room: str) -> dict[str, Any]:
    return {
        "integration-name": "Vertex AI notebook execution jobs",
        "python-modules": [f"airflow_nbjobs.{room}"],
    }


_OPTIONS: dict[str, dict[str, Any]] = {
    "deployment": {
        "description": (
            "What tells this Airflow from others that use the same Google Cloud project. "
            "[api] base_url when it is not set. Tasks recognise their jobs by it: those that run when it, or [api] "
            "base_url in its place, is changed lose their jobs, and a retry pays for another one."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "team-a-production",
        "default": None,
    },
    "endpoint": {
        "description": (
            "Address of the service instead of https://{location}-aiplatform.googleapis.com, as for Private Service "
            "Connect; {location} in it is replaced."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "https://{location}-aiplatform-myendpoint.p.googleapis.com",
        "default": None,
    },
    "allowed_endpoints": {
        "description": (
            "Addresses outside googleapis.com, separated by commas, that real credentials may be sent to; https only."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "https://vertex.internal.example.com",
        "default": None,
    },
    "requests_per_minute": {
        "description": (
            "How many requests a minute a triggerer may send to look at the jobs of one project and location, however "
            "many tasks wait for them. Each triggerer keeps its own count; the project's quota is 600."
        ),
        "version_added": "0.1.0",
        "type": "integer",
        "example": "60",
        "default": "120",
    },
    "result_bytes": {
        "description": "How many bytes of JSON a notebook may report as the results of its task; they go into an XCom.",
        "version_added": "0.1.0",
        "type": "integer",
        "example": None,
        "default": "49152",
    },
    "staging_bytes": {
        "description": (
            "The size from which a notebook that is sent with its job is put into Cloud Storage instead, beside the "
            "executed notebook."
        ),
        "version_added": "0.1.0",
        "type": "integer",
        "example": None,
        "default": "8388608",
    },
    "notebook_bytes": {
        "description": "The largest notebook, in bytes, that is read from Cloud Storage to be given parameters.",
        "version_added": "0.1.0",
        "type": "integer",
        "example": None,
        "default": "67108864",
    },
}
