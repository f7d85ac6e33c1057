"""Checks of the connection and the project, each with the fault that it is there for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from typing import Any

import httpx
import pytest

from airflow_nbjobs.api.calls.administration import list_quotas, own_permissions, service_state
from airflow_nbjobs.api.calls.templates import create_template
from airflow_nbjobs.api.template import NotebookRuntimeTemplate
from airflow_nbjobs.doctor.cloud import Plan, _reader, examine_cloud
from airflow_nbjobs.doctor.findings import Finding
from airflow_nbjobs.hooks import NotebookExecutionJobHook
from tests.support.cloud import Cloud
from tests.support.google_lookalike import Answer, Server

DISABLED = (
    "Vertex AI API has not been used in project 123 before or it is disabled. Enable it by visiting "
    "https://console.developers.google.com/apis/api/aiplatform.googleapis.com/overview?project=123 then retry."
)
EVERYTHING = [
    "credentials", "project and location", "clock", "list jobs", "create jobs", "delete jobs", "read operations",
    "API aiplatform", "API compute", "API dataform", "quotas", "service account", "output bucket", "notebook",
]  # fmt: skip


@pytest.fixture
def bucket(cloud: Cloud) -> str:
    """Return the name of a new bucket."""
    name = f"doctor-{uuid.uuid4().hex[:12]}"
    cloud.create_bucket(name)
    return name


def examined(**plan: Any) -> dict[str, Finding]:
    """Return what is found, by check, in its order."""
    found = examine_cloud(NotebookExecutionJobHook(), Plan(**{"location": "us-central1", **plan}))
    return {finding.check: finding for finding in found}


def test_a_project_in_order_has_good_findings_only(cloud: Cloud, bucket: str) -> None:
    cloud.upload(f"gs://{bucket}/report.ipynb", b"{}")
    found = examined(output_uri=f"gs://{bucket}/runs", notebook=f"gs://{bucket}/report.ipynb")
    assert {finding.verdict for finding in found.values()} == {"good"}
    assert list(found) == EVERYTHING
    assert found["notebook"].detail == f"gs://{bucket}/report.ipynb exists, 2 bytes"


def test_a_check_creates_no_job_and_leaves_no_object(cloud: Cloud, bucket: str) -> None:
    examined(output_uri=f"gs://{bucket}/runs")
    listed = httpx.get(f"{cloud.storage_url}/storage/v1/b/{bucket}/o", trust_env=False)
    assert (cloud.book(), listed.json().get("items", [])) == ([], [])


@pytest.mark.parametrize(
    ("method", "check"),
    [("list", "list jobs"), ("create", "create jobs"), ("delete", "delete jobs"), ("get_operation", "read operations")],
)
def test_a_forbidden_method_names_the_role(cloud: Cloud, method: str, check: str) -> None:
    cloud.fault({"method": method, "status": 403, "message": "Permission denied.", "project": cloud.project})
    found = examined()
    assert [finding.check for finding in found.values() if finding.verdict == "bad"] == [check]
    assert "Grant the connection's account roles/aiplatform.colabEnterpriseUser" in found[check].remedy


def test_a_disabled_api_says_to_enable_it(cloud: Cloud) -> None:
    cloud.fault({"method": "list", "status": 403, "message": DISABLED, "project": cloud.project})
    remedy = examined()["list jobs"].remedy
    assert "`gcloud services enable aiplatform.googleapis.com compute.googleapis.com dataform.googleapis.com`" in remedy


def test_a_refused_token_ends_the_checks(cloud: Cloud) -> None:
    cloud.fault({"method": "list", "status": 401, "project": cloud.project})
    found = examined()
    assert list(found)[-1] == "list jobs"
    assert found["list jobs"].remedy.startswith("Run `gcloud auth application-default login`")


def test_a_service_that_does_not_answer_ends_the_checks(monkeypatch: pytest.MonkeyPatch, cloud: Cloud) -> None:
    monkeypatch.setenv("NBJOBS_EMULATOR_HOST", "127.0.0.1:1")
    found = examined()
    assert (list(found)[-1], found["list jobs"].verdict) == ("list jobs", "bad")
    assert "Check the location, the network" in found["list jobs"].remedy


def test_a_wrong_project_ends_the_checks(cloud: Cloud) -> None:
    found = examined(project="not a project")
    assert (list(found)[-1], found["project and location"].verdict) == ("project and location", "bad")


@pytest.mark.parametrize(
    ("fault", "verdict", "remedy"),
    [
        ({"status": 404, "message": "Unknown service account"}, "bad", "does not exist. Create it"),
        ({"status": 403, "message": "Permission denied on resource"}, "unknown", "roles/iam.serviceAccountUser"),
    ],
)
def test_a_service_account_that_cannot_be_used(cloud: Cloud, fault: dict[str, Any], verdict: str, remedy: str) -> None:
    cloud.fault({"method": "test_account_permissions", "project": cloud.project, **fault})
    found = examined(service_account=f"robot@{cloud.project}.iam.gserviceaccount.com")["service account"]
    assert found.verdict == verdict
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("call", "answer", "value"),
    [
        (own_permissions("a@p-1.iam.gserviceaccount.com", ["x"]), {}, set()),
        (own_permissions("a@p-1.iam.gserviceaccount.com", ["x"]), {"permissions": ["x"]}, {"x"}),
        (service_state("p-1", "compute.googleapis.com"), {"state": "DISABLED"}, "DISABLED"),
    ],
)
def test_answers_of_administration_are_read(call: Any, answer: dict[str, Any], value: Any) -> None:
    assert call.parse(answer) == value


def test_a_refused_service_check_is_unknown(cloud: Cloud) -> None:
    cloud.fault({"method": "get_service", "status": 403, "message": "No.", "project": cloud.project})
    found = examined()["API aiplatform"]
    assert (found.verdict, "gcloud services enable aiplatform.googleapis.com" in found.remedy) == ("unknown", True)


STATUS = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


def refused(code: int) -> Answer:
    return code, {}, {"error": {"code": code, "message": "The words of Google.", "status": STATUS[code]}}


def allowed(**answer: Any) -> Answer:
    return 200, {}, answer


# What a project answers until the check of the service account, which is the last.
ENABLED = allowed(state="ENABLED")
ANSWERS = [*map(refused, (404,)), allowed(), *map(refused, (400, 404, 404)), *[ENABLED] * 3, allowed(), allowed()]


@pytest.mark.parametrize(
    ("number", "answer", "check", "verdict", "remedy"),
    [
        (7, allowed(state="DISABLED"), "API compute", "bad", "gcloud services enable compute.googleapis.com"),
        (8, allowed(state="DISABLED"), "API dataform", "unknown", "It is for notebooks in repositories."),
        (9, allowed(), "quotas", "unknown", "Look at https://console.cloud.google.com/iam-admin/quotas?project=p"),
        (10, allowed(), "service account", "bad", "Grant the connection's account roles/iam.serviceAccountUser"),
    ],
)
def test_answers_that_the_emulator_does_not_give(
    number: int, answer: Any, check: str, verdict: str, remedy: str, serve: Callable[..., Server], monkeypatch
) -> None:
    server = serve(lambda asked: answer if asked == number else ANSWERS[asked - 1])
    monkeypatch.setenv("NBJOBS_EMULATOR_HOST", server.url)
    found = examined(project="p")[check]
    assert (found.verdict, remedy in found.remedy) == (verdict, True), found


def test_quotas_are_read(monkeypatch: pytest.MonkeyPatch, cloud: Cloud) -> None:
    assert "requests: 600 a minute; Job or long-running operation requests: 60" in examined()["quotas"].detail
    monkeypatch.setenv("AIRFLOW__NBJOBS__REQUESTS_PER_MINUTE", "601")
    found = examined()["quotas"]
    assert (found.verdict, "Lower [nbjobs] requests_per_minute" in found.remedy) == ("bad", True)


def test_a_refused_look_at_quotas_is_unknown(cloud: Cloud) -> None:
    cloud.fault({"method": "list_quotas", "status": 403, "message": "No.", "project": cloud.project})
    found = examined()["quotas"]
    assert (found.verdict, "roles/servicemanagement.quotaViewer" in found.remedy) == ("unknown", True)


def test_the_limit_of_the_region_is_taken() -> None:
    limits = [{"effectiveLimit": "5"}, {"effectiveLimit": "-1", "dimensions": {"region": "us-central1"}}]
    metric = {"displayName": "requests", "consumerQuotaLimits": [{"quotaBuckets": limits}]}
    (quota,) = list_quotas("p-1", "aiplatform.googleapis.com").parse({"metrics": [metric]}).items
    assert quota.limits == {"": 5, "us-central1": -1}


@pytest.mark.parametrize(("status", "remedy"), [(403, "colabEnterpriseUser"), (404, "`nbjobs template create small")])
def test_a_template_that_cannot_be_used(
    status: int, remedy: str, connect: Callable[..., Any], google: Callable[..., Server]
) -> None:
    connect()
    google(lambda number: refused(status) if number == 6 else ANSWERS[number - 1])
    plan = Plan("us-central1", runtime_template="small")
    found = next(each for each in examine_cloud(NotebookExecutionJobHook(), plan) if each.check == "runtime template")
    assert (found.verdict, remedy in found.remedy) == ("bad", True), found


def test_credentials_without_a_token_are_bad(connect: Callable[..., Any], tokens: Server) -> None:
    connect()
    tokens._answer = lambda _: (400, {}, {"error": "invalid_grant", "error_description": "account not found"})
    (found,) = examined().values()
    assert (found.check, found.verdict) == ("credentials", "bad")
    assert "invalid_grant" in found.detail
    assert found.remedy.startswith("Run `gcloud auth application-default login`")


@pytest.mark.parametrize(
    ("check", "plan", "role"),
    [
        ("output bucket", {"output_uri": "gs://bucket/runs"}, "roles/storage.objectUser"),
        ("notebook", {"notebook": "gs://bucket/report.ipynb"}, "roles/storage.objectViewer"),
    ],
)
def test_a_refusal_of_storage_names_the_role(
    check: str, plan: dict[str, str], role: str, cloud: Cloud, serve: Callable[..., Server], monkeypatch
) -> None:
    refusal = {"error": {"code": 403, "message": "robot@p does not have permission to access the object."}}
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", serve((403, {}, refusal)).url)
    found = examined(**plan)[check]
    assert (found.verdict, role in found.remedy) == ("bad", True), found


@pytest.mark.parametrize(
    ("impersonation", "storage", "verdict", "remedy"),
    [
        (200, 200, "good", ""),
        (200, 403, "bad", "--member=serviceAccount:reader@p.iam.gserviceaccount.com --role=roles/storage.objectViewer"),
        (403, 200, "unknown", "If it may not read gs://bucket/report.ipynb: grant it"),
    ],
)
def test_a_notebook_is_read_as_its_account(
    impersonation: int, storage: int, verdict: str, remedy: str, connect: Callable[..., Any],
    google: Callable[..., Server], serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    connect()
    google()
    token = {"accessToken": "t", "expireTime": "2099-01-01T00:00:00Z"}
    monkeypatch.setattr("google.auth.iam._IAM_ENDPOINT", serve((impersonation, {}, token)).url)
    stored = {"bucket": "bucket", "name": "report.ipynb", "generation": "1", "size": "2"}
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", serve((storage, {}, stored)).url)
    found = _reader(NotebookExecutionJobHook(), "reader@p.iam.gserviceaccount.com", "gs://bucket/report.ipynb")
    assert (found.verdict, remedy in found.remedy) == (verdict, True), found


def test_a_runtime_template_is_looked_for(cloud: Cloud) -> None:
    template = NotebookRuntimeTemplate(display_name="small", machine_spec={"machineType": "e2-standard-4"})
    parent = f"projects/{cloud.project}/locations/us-central1"
    hook = NotebookExecutionJobHook()  # a client is closed when its hook goes
    hook.client("us-central1").send(create_template(parent, template, "small-1"))
    found = examined(runtime_template="small-1")["runtime template"]
    assert (found.verdict, found.detail) == ("good", "'small' exists in us-central1")
    elsewhere = "projects/p/locations/europe-west4/notebookRuntimeTemplates/small-1"
    assert examined(runtime_template=elsewhere)["runtime template"].verdict == "bad"
    assert examined(runtime_template="small-2")["runtime template"].verdict == "unknown"


def test_a_missing_bucket_says_how_to_create_it(cloud: Cloud) -> None:
    found = examined(output_uri="gs://doctor-no-such-bucket/runs")["output bucket"]
    assert (found.verdict, "gcloud storage buckets create gs://doctor-no-such-bucket" in found.remedy) == ("bad", True)


@pytest.mark.parametrize("uri", ["runs", "gs://", "s3://bucket/runs"])
def test_an_output_uri_that_is_none_is_bad(cloud: Cloud, uri: str) -> None:
    assert examined(output_uri=uri)["output bucket"].verdict == "bad"


@pytest.mark.parametrize(
    ("notebook", "part"),
    [
        ("gs://doctor-no-such-bucket/report.ipynb", "404"),
        ("gs://bucket/report.ipynb#newest", "no generation"),
        ("projects/p/locations/us-central1/repositories/none", "does not exist"),
        ("no/such/file.ipynb", "was not found"),
        ("https://example.com/report.ipynb", "does not read"),
    ],
)
def test_a_notebook_that_is_not_there_is_bad(cloud: Cloud, notebook: str, part: str) -> None:
    found = examined(notebook=notebook)["notebook"]
    assert (found.verdict, part in found.detail) == ("bad", True), found


def test_storage_without_its_address_is_bad(monkeypatch: pytest.MonkeyPatch, cloud: Cloud) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    assert "STORAGE_EMULATOR_HOST is not set" in examined(output_uri="gs://bucket/runs")["output bucket"].detail


def test_a_clock_that_is_wrong_is_bad(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda _: "Thu, 01 Jan 2026 00:00:00 GMT")
    monkeypatch.setenv("NBJOBS_EMULATOR_HOST", serve((403, {}, {})).url)
    found = examined(project="p")["clock"]
    assert (found.verdict, "ahead of the service" in found.detail) == ("bad", True), found


@pytest.mark.parametrize(
    ("document", "call", "path"),
    [
        ("iam.v1", own_permissions("a@p-1.iam.gserviceaccount.com", ["x"]), "serviceAccounts/testIamPermissions"),
        ("serviceusage.v1", service_state("p-1", "compute.googleapis.com"), "services/get"),
        ("serviceusage.v1beta1", list_quotas("p-1", "aiplatform.googleapis.com"), "services/consumerQuotaMetrics/list"),
    ],
)
def test_requests_match_the_discovery_documents(document: str, call: Any, path: str) -> None:
    cache = files("googleapiclient") / f"discovery_cache/documents/{document}.json"
    resources = json.loads(cache.read_text())["resources"]
    *folders, name = path.split("/")
    inner: Any = {"resources": {**resources, **resources.get("projects", {}).get("resources", {})}}
    for folder in folders:
        inner = inner["resources"][folder]
    method = inner["methods"][name]
    assert method["httpMethod"] == call.verb
    assert method["path"].partition("}")[2] in call.path
