"""The page of the latest jobs, and answers to requests on the wrong port."""

from __future__ import annotations

import httpx2
import pytest

from airflow_nbjobs.emulator import Emulator
from tests.support.emulator_api import Api


@pytest.fixture(scope="module")
def emulator():
    with Emulator(runner="simulated", seconds=0) as running:
        yield running


@pytest.fixture
def api(emulator):
    api = Api(emulator, "status")
    yield api
    api.http.close()


def page(emulator, **headers):
    return httpx2.get(f"{emulator.url}/", headers=headers, trust_env=False)


def test_the_page_shows_the_latest_jobs_and_their_states(api, emulator):
    first, second = (api.create(displayName=name) for name in ("one", "two"))
    for name in (first, second):
        api.reaches(name, "SUCCEEDED")
    answer = page(emulator)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.index(second) < answer.text.index(first)
    assert answer.text.count("JOB_STATE_SUCCEEDED") == len(emulator.book())


def test_no_text_of_a_job_becomes_html(api, emulator):
    evil = "<script>alert(1)</script>"
    emulator.fault({"job_state": "JOB_STATE_FAILED", "status_message": evil})
    api.reaches(api.create(displayName=evil), "FAILED")
    answer = page(emulator)
    assert "<script" not in answer.text
    assert answer.text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_deleted_job_is_not_shown(api, emulator):
    name = api.create()
    api.reaches(name)
    api.http.delete(name)
    assert name not in page(emulator).text


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_the_page_is_refused_to_other_pages(emulator, headers):
    assert page(emulator, **headers).status_code == 403
    assert page(emulator, **{"Sec-Fetch-Site": "none"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/storage/v1/b?project=p", "/upload/storage/v1/b/x/o", "/download/storage/v1/b/x/o/y"]
)
def test_a_storage_request_on_the_service_port_is_explained(emulator, path):
    answer = httpx2.get(emulator.url + path, trust_env=False)
    message = answer.json()["error"]["message"]
    assert answer.status_code == 404
    assert f"Cloud Storage is at {emulator.storage_url}" in message
    assert "not swapped" in message


@pytest.mark.parametrize("path", ["/v1/projects/p/locations/l/notebookExecutionJobs", "/_emulator/health"])
def test_a_service_request_on_the_storage_port_is_explained(emulator, path):
    answer = httpx2.get(emulator.storage_url + path, trust_env=False)
    assert answer.status_code == 404
    assert "this is the port of Cloud Storage" in answer.json()["error"]["message"]
    assert "not swapped" in answer.json()["error"]["message"]
