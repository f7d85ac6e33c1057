"""The connection becomes a client: credentials, project and endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, Connection
from airflow.providers.google.common.hooks.base_google import GoogleBaseHook
from google.auth.credentials import AnonymousCredentials

from airflow_nbjobs import settings
from airflow_nbjobs.api.auth import retry_auth
from airflow_nbjobs.compat import finding_connection
from airflow_nbjobs.service import JobService

__all__ = ["NotebookExecutionJobHook"]


class NotebookExecutionJobHook(JobService, GoogleBaseHook):
    """Notebook execution jobs of Vertex AI / Colab Enterprise, over REST: :class:`~airflow_nbjobs.service.JobService`.

    With ``NBJOBS_EMULATOR_HOST`` set, everything goes there, without credentials, and no connection is needed.

    :param gcp_conn_id: the Google Cloud connection. Its key file, key, application default credentials, impersonation
        chain and anonymous mode are the Google provider's.
    :param impersonation_chain: service account to impersonate, or a chain of them, the last one being impersonated.
    :param endpoint: address of the service instead of ``https://{location}-aiplatform.googleapis.com`` and of
        ``[nbjobs] endpoint``. Unless it is ``https`` and either under ``googleapis.com`` or listed in
        ``[nbjobs] allowed_endpoints``, no credentials are sent there.
    """

    def __init__(
        self,
        gcp_conn_id: str = "google_cloud_default",
        impersonation_chain: str | Sequence[str] | None = None,
        *,
        endpoint: str | None = None,
        **kwargs: Any,
    ) -> None:
        GoogleBaseHook.__init__(self, gcp_conn_id=gcp_conn_id, impersonation_chain=impersonation_chain, **kwargs)
        JobService.__init__(self, endpoint)

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        """Look a connection up. With an emulator a connection that is missing is an empty one.

        :raises AirflowNotFoundException: if it is missing, and there is no emulator.
        """
        try:
            with finding_connection(conn_id):
                return super().get_connection(conn_id)
        except AirflowNotFoundException as error:
            if settings.emulator_address() is None:
                raise AirflowNotFoundException(
                    f"{str(error).rstrip('.')}. Create it: `airflow connections add {conn_id} --conn-type "
                    "google_cloud_platform`. For an emulator, export the two variables that `nbjobs emulator` prints."
                ) from error
            return Connection(conn_id=conn_id, conn_type=cls.conn_type)

    def get_credentials_and_project_id(self) -> tuple[Any, str | None]:
        """Return the connection's credentials and project; on an emulator, anonymous ones and a project in any case.

        :raises CredentialsError: when they cannot be made, for some seconds or for good.
        """
        if settings.emulator_address() is None:
            return retry_auth(lambda: GoogleBaseHook.get_credentials_and_project_id(self))
        anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
        return anonymous, self._get_field("project") or settings.emulator_project()
