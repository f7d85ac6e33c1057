"""The pages of the latest jobs and of executed notebooks, and answers to requests on the wrong port."""

from __future__ import annotations

import httpx
import pytest

from airflow_nbjobs.emulator import Emulator
from tests.support.emulator_api import Api


@pytest.fixture(scope="module")
def emulator():
    with Emulator(runner="simulated", seconds=0) as running:
        yield running


@pytest.fixture
def api(emulator):
    with Api(emulator, "status") as api:
        yield api


def page(emulator, **headers):
    return httpx.get(f"{emulator.url}/", headers=headers, trust_env=False)


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


WINDOW = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture(scope="module")
def rendering():
    def render(notebook, title, has_failed):
        if notebook == b"bad":
            raise ValueError("It is <bad>.")
        return f"<p>{notebook.decode()} {title} {has_failed}</p>".encode()

    with Emulator(runner="simulated", seconds=0, render=render) as running:
        yield running


@pytest.fixture
def ended(rendering):
    """Return a function that runs a job, leaves it an executed notebook, and returns the address of its page."""

    def run(content, state="SUCCEEDED"):
        api = Api(rendering, "status")
        if state == "FAILED":
            rendering.fault({"job_state": "JOB_STATE_FAILED"})
        name = api.create(displayName="<report>", gcsOutputUri="gs://results/runs")
        job = api.reaches(name, state)
        source = job.get("gcsNotebookSource", {}).get("uri", "content.ipynb").rpartition("/")[2]
        job_id = name.rpartition("/")[2]
        if content is not None:
            rendering.upload(f"gs://results/runs/{job_id}/{source}", content)
        api.http.close()
        return f"/_emulator/jobs/{job_id}/notebook"

    return run


def get(emulator, path, **headers):
    return httpx.get(f"{emulator.url}{path}", headers=headers, trust_env=False)


@pytest.mark.parametrize(("state", "has_failed"), [("SUCCEEDED", "False"), ("FAILED", "True")])
def test_the_executed_notebook_of_a_job_is_a_page(rendering, ended, state, has_failed):
    path = ended(b"content", state)
    assert f'<a href="{path}">open</a>' in page(rendering).text
    answer = get(rendering, path)
    assert answer.text == f"<p>content <report> ({state}) {has_failed}</p>"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; img-src data:;")
    assert answer.headers["content-security-policy"].endswith("sandbox allow-popups allow-popups-to-escape-sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (None, 404, "notebook was not written"),
        (b"bad", 500, "It is &lt;bad&gt;. The notebook is gs://results/runs/"),
    ],
)
def test_a_notebook_that_cannot_be_shown_is_explained(rendering, ended, content, status, words):
    answer = get(rendering, ended(content))
    assert (answer.status_code, words in answer.text) == (status, True)


def test_an_unknown_job_has_no_page(rendering):
    assert get(rendering, "/_emulator/jobs/none/notebook").status_code == 404


def test_links_open_the_pages_and_nothing_else(rendering, ended):
    path = ended(b"content")
    for address in ("/", path):
        assert get(rendering, address, **WINDOW).status_code == 200
        for name, value in {
            "Sec-Fetch-Mode": "no-cors",
            "Sec-Fetch-Dest": "iframe",
            "Origin": "http://x",
        }.items():
            assert get(rendering, address, **{**WINDOW, name: value}).status_code == 403
    for site in ("same-site", "same-origin"):
        assert get(rendering, path, **{**WINDOW, "Sec-Fetch-Site": site}).status_code == 200
    assert get(rendering, "/_emulator/jobs", **WINDOW).status_code == 403
    assert httpx.post(f"{rendering.url}{path}", headers=WINDOW, trust_env=False).status_code == 403


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_the_page_is_refused_to_other_pages(emulator, headers):
    assert page(emulator, **headers).status_code == 403
    assert page(emulator, **{"Sec-Fetch-Site": "none"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/storage/v1/b?project=p", "/upload/storage/v1/b/x/o", "/download/storage/v1/b/x/o/y"]
)
def test_a_storage_request_on_the_service_port_is_explained(emulator, path):
    answer = httpx.get(emulator.url + path, trust_env=False)
    message = answer.json()["error"]["message"]
    assert answer.status_code == 404
    assert f"Cloud Storage is at {emulator.storage_url}" in message
    assert "not swapped" in message


@pytest.mark.parametrize("path", ["/v1/projects/p/locations/l/notebookExecutionJobs", "/_emulator/health"])
def test_a_service_request_on_the_storage_port_is_explained(emulator, path):
    answer = httpx.get(emulator.storage_url + path, trust_env=False)
    assert answer.status_code == 404
    assert "this is the port of Cloud Storage" in answer.json()["error"]["message"]
    assert "not swapped" in answer.json()["error"]["message"]
