"""An auth manager in which people see their own DAGs: what Airflow's simple one cannot say without teams."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

__all__ = ["OwnDagsAuthManager"]


class OwnDagsAuthManager(SimpleAuthManager):
    """Airflow's simple auth manager, but a user sees only DAGs whose ids begin with the user's name.

    An admin sees all. A user whose name ends in ``-without-logs`` (or another entity) sees all of them but that part.
    """

    def is_authorized_dag(
        self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None, **more: Any
    ) -> bool:
        name, _, without = user.username.partition("-without-")
        is_own = details is None or details.id is None or details.id.startswith(f"{name}_")
        if not is_own and user.role != "admin":
            return False
        if without and access_entity is not None and without in access_entity.name.lower():
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details, **more)
