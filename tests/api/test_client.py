"""Requests: pages as needed, flows, redirects, proxies and the time for all calls of a flow."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from airflow_nbjobs.api import calls
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.api.flows import Sleep, all_pages
from airflow_nbjobs.api.pacing import Patience
from airflow_nbjobs.exceptions import NotFoundError, TransportError, UnexpectedAnswerError
from tests.support.raw_server import FOUND, JOB, PARENT, RawServer, http_answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(serve, status):
    _, elsewhere = serve(FOUND)
    talk, _ = serve(http_answer(status, b"", f"Location: {elsewhere.url}/v1/{JOB}"))
    with pytest.raises(UnexpectedAnswerError, match="is not followed"):
        talk.send(calls.get_job(JOB), Patience(tries=1))
    assert elsewhere.requests == []


def test_no_proxy_is_used_for_this_machine(monkeypatch, serve):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    talk, _ = serve(FOUND)
    assert talk.send(calls.get_job(JOB)).name == JOB


def test_the_proxy_of_the_environment_is_used_otherwise(monkeypatch, open_talk):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with RawServer(lambda *_: FOUND) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert open_talk("http://emulator.example:9099").send(calls.get_job(JOB)).name == JOB
        assert proxy.requests[0].startswith(f"GET http://emulator.example:9099/v1/{JOB} ")


def test_pages_are_requested_as_they_are_needed(talk, emulator, where, a_job):
    for _ in range(5):
        talk.send(calls.create_job(where, a_job))
    emulator.reset_requests()
    listing = calls.list_jobs(where, order_by="create_time", page_size=2)
    assert len(talk.first(listing, 2)) == 2
    assert emulator.requests()["list"] == {"200": 1}
    names = [job.name for job in talk.first(listing)]
    assert len(set(names)) == 5
    assert emulator.requests()["list"] == {"200": 4}
    assert [job.name for job in talk.run_flow(all_pages(listing))] == names


def test_all_pages_are_one_list():
    flow = all_pages(calls.list_jobs(PARENT, page_size=2))
    queries = [next(flow).query]
    queries += [flow.send(page).query for page in (calls.Page([1, 2], "a"), calls.Page([], "b"))]
    with pytest.raises(StopIteration) as end:
        flow.send(calls.Page([3], ""))
    assert end.value.value == [1, 2, 3]
    assert [query.get("pageToken") for query in queries] == [None, "a", "b"]
    assert {query["pageSize"] for query in queries} == {"2"}


def test_a_flow_may_go_on_after_an_error(talk, where, a_job):
    def asking():
        try:
            yield calls.get_job(f"{where}/notebookExecutionJobs/1")
        except NotFoundError:
            yield Sleep(3)
            return (yield calls.create_job(where, replace(a_job, display_name="second")))

    assert talk.run_flow(asking()).name.startswith("projects/")
    assert talk.slept == [3]


def test_a_flow_ends_in_time_though_no_call_is_answered():
    def asking():
        yield calls.get_job(JOB)

    with RawServer(lambda *_: None) as server, Client(Endpoint(server.url, is_trusted=False), None) as client:
        begun = time.monotonic()
        with pytest.raises(TransportError, match="got no answer"):
            client.run_flow(asking(), until=begun + 0.3)
        with pytest.raises(TransportError, match="no time left"):
            client.run_flow(asking(), until=begun)
        assert len(server.requests) == 1
