"""Checks of the connection and of what a run needs in Google Cloud. No job is created."""

from __future__ import annotations

import email.utils
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from airflow_nbjobs import settings
from airflow_nbjobs.api import calls
from airflow_nbjobs.api.auth import check_token
from airflow_nbjobs.api.calls import Call
from airflow_nbjobs.api.calls.templates import TEMPLATES
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.names import job_of_operation, template_name
from airflow_nbjobs.api.quiet import quietly
from airflow_nbjobs.doctor.administration import examine_administration
from airflow_nbjobs.doctor.findings import BRIEF, Finding, Verdict, asked
from airflow_nbjobs.exceptions import CredentialsError, InvalidArgumentError, NotFoundError, PermissionDeniedError
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from airflow_nbjobs.notebooks import dataform, storage
from airflow_nbjobs.run.sources import source_fields

__all__ = ["Plan", "examine_cloud"]

_SKEW = 60.0
"""Seconds that the clock may differ. Google refuses the key of a service account from 10 minutes on."""

_KINDS = {
    "google.oauth2.service_account": "the key of a service account",
    "google.oauth2.credentials": "the login of a person",
    "google.auth.compute_engine": "the service account of this machine",
    "google.auth.impersonated_credentials": "impersonation",
    "google.auth.external_account": "workload identity federation",
    "google.auth.identity_pool": "workload identity federation",
    "google.auth.aws": "workload identity federation",
}


@dataclass(frozen=True)
class Plan:
    """What a run will use. ``None`` or empty leaves the checks of it out, except for the project's default.

    :ivar location: such as ``us-central1``.
    :ivar project: default the connection's project.
    :ivar runtime_template: name or id.
    :ivar service_account: runs the notebook; default the connection's own.
    :ivar output_uri: ``gs://bucket/folder``.
    :ivar notebook: ``gs://bucket/name``, or a Dataform repository.
    """

    location: str
    project: str | None = None
    runtime_template: str | None = None
    service_account: str | None = None
    output_uri: str | None = None
    notebook: str | None = None


def examine_cloud(hook: NotebookExecutionJobHook, plan: Plan) -> Iterator[Finding]:
    """Check the connection and the project. Without credentials, nothing is sent.

    A bucket is checked with a small object that is deleted again.
    """
    identity = asked("credentials", lambda: _identity(hook), str, grant="")
    yield identity
    if identity.verdict is Verdict.BAD:
        return
    place = asked("project and location", lambda: hook.parent(plan.location, plan.project), str, grant="")
    yield place
    if place.verdict is Verdict.BAD:
        return
    parent, project = place.detail, place.detail.split("/")[1]
    yield _clock(hook.endpoint(plan.location))
    for finding in _jobs(hook.client(plan.location), parent, project):
        yield finding
        if finding.is_blocking:
            return
    if plan.runtime_template:
        yield _template(hook, plan.runtime_template, project, plan.location)
    own = _own_account(hook)
    account = plan.service_account or own
    yield from examine_administration(hook, project, plan.location, account)
    if plan.output_uri:
        yield _bucket(hook, plan.output_uri)
    if plan.notebook:
        yield from _notebook(hook, plan.notebook)
        if account and account != own and plan.notebook.startswith("gs://") and not settings.emulator_address():
            yield _reader(hook, account, plan.notebook)


def _identity(hook: NotebookExecutionJobHook) -> str:
    credentials, _ = hook.get_credentials_and_project_id()
    if settings.emulator_address():
        return "not needed on the emulator"
    module = type(credentials).__module__
    check_token(credentials)
    kind = next((words for known, words in _KINDS.items() if module.startswith(known)), module)
    return f"{hook.service_account_email() or 'a person'}, from {kind} (connection {hook.gcp_conn_id!r}), gets tokens"


def _own_account(hook: NotebookExecutionJobHook) -> str | None:
    try:
        return hook.service_account_email()
    except CredentialsError:
        return None


def _clock(endpoint: Endpoint) -> Finding:
    try:
        with quietly():
            answer = httpx.get(endpoint.url, timeout=10.0, trust_env=not endpoint.is_loopback)
        theirs = email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (httpx.HTTPError, LookupError, ValueError) as error:
        found = f"{endpoint.url} sent no time: {error or type(error).__name__}"
        return Finding("clock", Verdict.UNKNOWN, found, "Check the location and the network.")
    skew = time.time() - theirs
    found = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the service"
    if abs(skew) > _SKEW:
        return Finding("clock", Verdict.BAD, found, "Set the clock of this machine, for example with NTP.")
    return Finding("clock", Verdict.GOOD, found)


def _jobs(client: Client, parent: str, project: str) -> Iterator[Finding]:
    """Check the permissions for jobs, with requests that the service refuses for another reason if they are allowed."""
    grant = f"Grant the connection's account roles/aiplatform.colabEnterpriseUser on the project {project}."

    def allowed(check: str, call: Call[Any], refusal: type[Exception]) -> Finding:
        def ask() -> Any:
            try:
                return client.send(call, BRIEF)
            except refusal:
                return None

        return asked(check, ask, lambda answer: _unexpected(check, answer) if answer else "allowed", grant=grant)

    listing = calls.list_jobs(parent, page_size=1)
    yield asked("list jobs", lambda: client.send(listing, BRIEF), lambda _: "allowed", grant=grant)
    empty: Call[Any] = Call("POST", f"/v1/{parent}/notebookExecutionJobs", dict, body={}, may_repeat=False)
    yield allowed("create jobs", empty, InvalidArgumentError)
    job = f"{parent}/notebookExecutionJobs/nbjobs-doctor-{uuid.uuid4().hex}"  # it does not exist
    yield allowed("delete jobs", Call("DELETE", f"/v1/{job}", dict), NotFoundError)
    yield allowed("read operations", calls.get_operation(f"{job}/operations/1"), NotFoundError)


def _unexpected(check: str, answer: Any) -> Finding:
    name = answer.get("name") if isinstance(answer, dict) else getattr(answer, "name", None)
    job = job_of_operation(name) if check == "create jobs" and name else None
    remedy = f"The service accepted a job without a notebook. Delete it: {job}" if job else "Report this answer."
    return Finding(check, Verdict.UNKNOWN, f"unexpected answer about {name!r}", remedy)


def _template(hook: NotebookExecutionJobHook, given: str, project: str, location: str) -> Finding:
    def ask() -> str:
        found = hook.client(location).send(TEMPLATES.get(template_name(given, project, location)), BRIEF)
        return f"{found.display_name or given!r} exists in {location}"

    found = asked(
        "runtime template",
        ask,
        str,
        grant="Grant the connection's account roles/aiplatform.colabEnterpriseUser on the project.",
        missing=f"Give one of `nbjobs template list --location {location} --project {project}`, or create one: `nbjobs "
        f"template create small --machine-type e2-standard-4 --location {location} --project {project}`.",
    )
    if found.verdict is Verdict.BAD and found.detail.startswith("404") and settings.emulator_address():
        remedy = "The emulator takes any template, unless some are given with --template or created."
        return replace(found, verdict=Verdict.UNKNOWN, remedy=remedy)
    return found


def _bucket(hook: NotebookExecutionJobHook, output_uri: str) -> Finding:
    uri = f"{output_uri.rstrip('/')}/nbjobs-doctor-{uuid.uuid4().hex}.txt"
    bucket = output_uri.removeprefix("gs://").partition("/")[0]

    def ask() -> str:
        with hook.storage_client() as client:
            stored = storage.write(client, uri, b"`nbjobs doctor` wrote this. It can be deleted.")
            try:
                storage.read(client, uri, limit=1_000)
            finally:
                storage.delete(client, stored)
            return _location(client, bucket)

    return asked(
        "output bucket",
        ask,
        lambda where: f"{bucket!r}{where}: objects can be written, read and deleted",
        grant=f"Grant the connection's account roles/storage.objectUser on the bucket {bucket!r}.",
        missing=f"Create the bucket: `gcloud storage buckets create gs://{bucket} --location=…`.",
    )


def _location(client: Client, bucket: str) -> str:
    call: Call[str] = Call("GET", f"/storage/v1/b/{bucket}", lambda answer: f" in {answer['location']}")
    try:
        return client.send(call, BRIEF)
    except PermissionDeniedError:  # roles/storage.objectUser does not include the bucket's own data
        return ""


def _notebook(hook: NotebookExecutionJobHook, notebook: str) -> Iterator[Finding]:
    def ask() -> str:
        fields = source_fields(notebook, [Path.cwd()])
        if in_storage := fields.get("gcs_notebook_source"):
            with hook.storage_client() as client:
                found = storage.get_object(client, str(in_storage.uri), in_storage.generation)
            return f"{found.uri} exists, {found.size:,} bytes"
        if in_dataform := fields.get("dataform_repository_source"):
            repository = str(in_dataform.dataform_repository_resource_name)
            with hook.dataform_client() as client:
                content = dataform.read_repository(client, repository, in_dataform.commit_sha)
            return f"{repository} has a notebook, {len(content):,} bytes"
        return f"{notebook} is a file of this machine: its content is sent"

    yield asked(
        "notebook",
        ask,
        str,
        grant="Grant the connection's account roles/storage.objectViewer on its bucket, or roles/dataform.codeViewer "
        "on its repository.",
        missing="Correct the name of the notebook, or upload it.",
    )
    if "/repositories/" in notebook:
        remedy = "If it does not exist: `gcloud beta services identity create --service=dataform.googleapis.com`."
        yield Finding("Dataform's service agent", Verdict.UNKNOWN, "its existence cannot be read", remedy)


def _reader(hook: NotebookExecutionJobHook, account: str, notebook: str) -> Finding:
    """Read a notebook in Cloud Storage as the account that runs it, if the connection's account may impersonate it."""
    bucket = notebook.removeprefix("gs://").partition("/")[0]
    grant = (
        f"Grant it: `gcloud storage buckets add-iam-policy-binding gs://{bucket} --member=serviceAccount:{account} "
        "--role=roles/storage.objectViewer`."
    )
    given = hook.impersonation_chain or []
    reader = NotebookExecutionJobHook(hook.gcp_conn_id, [*([given] if isinstance(given, str) else given), account])
    check = "notebook, read by its account"
    try:
        check_token(reader.get_credentials_and_project_id()[0])
    except CredentialsError:
        found = f"not tried, since the connection's account may not get tokens of {account}"
        return Finding(check, Verdict.UNKNOWN, found, f"If it may not read {notebook}: {grant[:1].lower()}{grant[1:]}")

    def ask() -> str:
        with reader.storage_client() as client:
            source: Any = source_fields(notebook, [])["gcs_notebook_source"]
            found = storage.get_object(client, str(source.uri), source.generation)
        return f"{account} can read {found.uri}"

    return asked(check, ask, str, grant=grant, missing="Correct the name of the notebook, or upload it.")
