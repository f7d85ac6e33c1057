"""The notebook tab of task instances: the plugin that Airflow loads.

Every process of a task imports this module. Therefore it imports only what Airflow has loaded already. The app behind
the tab is imported with its first request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_nbjobs import settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["NotebookTabPlugin"]

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='{}' "
    "stroke-width='2' stroke-linecap='round' stroke-linejoin='round'%3E%3Cpath d='M7 3h11a2 2 0 0 1 2 2v14a2 2 0 0 1-2 "
    "2H7a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zM3 7h4M3 12h4M3 17h4M11 8h5M11 12h5'/%3E%3C/svg%3E"
)
_LIGHT, _DARK = "%2352525b", "%23a1a1aa"


class _LazyApp:
    """The app of the tab, imported with its first request."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._app is None:
            from airflow_nbjobs.plugin.app import make_app
            from airflow_nbjobs.plugin.headers import Headers

            self._app = Headers(make_app())  # the outermost layer: failures have the headers too
        await self._app(scope, receive, send)


class NotebookTabPlugin(AirflowPlugin):
    """Add the tab "Notebook" to task instances, unless ``[nbjobs] notebook_tab`` is off."""

    name = "nbjobs"
    fastapi_apps: list[Any] = []  # noqa: RUF012 - Airflow declares it so
    external_views: list[Any] = []  # noqa: RUF012 - Airflow declares it so
    if settings.notebook_tab():
        fastapi_apps = [{"app": _LazyApp(), "url_prefix": "/nbjobs", "name": "nbjobs"}]
        external_views = [
            {
                "name": "Notebook",
                # Relative: Airflow may be served under a path. The map index stays as it is for tasks without one.
                "href": "nbjobs/tasks/{DAG_ID}/{RUN_ID}/{TASK_ID}/{MAP_INDEX}/tab",
                "destination": "task_instance",
                "url_route": "notebook",
                "icon": _ICON.format(_LIGHT),
                "icon_dark_mode": _ICON.format(_DARK),
                # Before Airflow 3.4 the tab is on all task instances: this key is ignored there.
                "applies_to": {"operator_name": settings.TAB_OPERATORS},
            }
        ]
