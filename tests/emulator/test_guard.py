"""Web pages reach neither port: neither across origins, nor with DNS rebinding, nor with simple requests."""

from __future__ import annotations

import json
import sys

import psutil
import pytest

from airflow_nbjobs.emulator import Emulator
from tests.support.running import talk

TARGETS = {
    "list jobs": ("service", "GET /v1/projects/p/locations/us-central1/notebookExecutionJobs"),
    "create a job": ("service", "POST /v1/projects/p/locations/us-central1/notebookExecutionJobs"),
    "read the book": ("service", "GET /_emulator/jobs"),
    "see the jobs": ("service", "GET /"),
    "ask for faults": ("service", "POST /_emulator/faults"),
    "read a file": ("service", "GET /v1/projects/p/locations/l/repositories/r:readFile?path=content.ipynb"),
    "commit a file": ("service", "POST /v1/projects/p/locations/l/repositories/r:commit"),
    "list buckets": ("storage", "GET /storage/v1/b?project=p"),
    "make a bucket": ("storage", "POST /storage/v1/b?project=p"),
    "swap a notebook": ("storage", "POST /upload/storage/v1/b/bucket/o?uploadType=media&name=x.ipynb"),
    "read a notebook": ("storage", "GET /bucket/x.ipynb"),
    "preflight a job": ("service", "OPTIONS /v1/projects/p/locations/us-central1/notebookExecutionJobs"),
    "preflight a swap": ("storage", "OPTIONS /upload/storage/v1/b/bucket/o"),
}
BAD_HEADERS = {
    "origin": ["Host: localhost:{port}", "Origin: http://evil.example"],
    "null origin": ["Host: localhost:{port}", "Origin: null"],
    "origin of a neighbour": ["Host: localhost:{port}", "Origin: http://localhost:8080"],
    "our own origin": ["Host: localhost:{port}", "oRiGiN: http://localhost:{port}"],
    "empty origin": ["Host: localhost:{port}", "Origin:"],
    "a form": ["Host: localhost:{port}", "Content-Type: text/plain", "Origin: http://evil.example"],
    "an image": ["Host: localhost:{port}", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image"],
    "an image of a neighbour": ["Host: localhost:{port}", "Sec-Fetch-Site: same-site"],
    "a page that a bucket served": ["Host: localhost:{port}", "Sec-Fetch-Site: same-origin"],
    "a rebound name": ["Host: evil.example:{port}"],
    "a rebound name that looks like ours": ["Host: localhost.evil.example"],
    "a rebound name that begins like ours": ["Host: 127.0.0.1.evil.example:{port}"],
    "a wildcard name": ["Host: 127-0-0-1.nip.example"],
    "an address of the network": ["Host: 192.168.0.1:{port}"],
    "a user in the host": ["Host: localhost@evil.example"],
    "a path in the host": ["Host: evil.example/localhost"],
    "a second name in the host": ["Host: evil.example, localhost"],
    "empty host": ["Host:"],
    "a host with a trailing dot": ["Host: localhost.:{port}"],
}


@pytest.fixture(scope="module")
def emulator():
    with Emulator(runner="simulated", allowed_hosts=["friend.example"]) as running:
        running.upload("gs://bucket/x.ipynb", b"good")
        yield running


def _url(emulator, port):
    return {"service": emulator.url, "storage": emulator.storage_url}[port]


def _refused(answer):
    status, headers, body = answer
    assert not [name for name in headers if name.startswith("access-control-")]
    return status == 403 and json.loads(body)["error"]["message"].startswith("The emulator refused this request: ")


@pytest.mark.parametrize("headers", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
@pytest.mark.parametrize(("port", "target"), TARGETS.values(), ids=TARGETS.keys())
def test_the_requests_of_a_web_page_are_refused(emulator, port, target, headers):
    url = _url(emulator, port)
    lines = [line.format(port=url.rpartition(":")[2]) for line in headers]
    assert _refused(talk(url, f"{target} HTTP/1.1", *lines, body=b"" if target.startswith("GET") else b"{}"))


@pytest.mark.parametrize("port", ["service", "storage"])
def test_a_request_has_one_host_and_a_path_as_its_target(emulator, port):
    url = _url(emulator, port)
    for lines in (
        ["GET / HTTP/1.0"],
        ["GET / HTTP/1.1"],
        ["GET / HTTP/1.1", "Host: localhost", "Host: evil.example"],
        ["GET / HTTP/1.1", "Host: evil.example", "Host: localhost"],
        ["GET http://evil.example/storage/v1/b HTTP/1.1", "Host: localhost"],
        ["GET localhost HTTP/1.1", "Host: localhost"],
    ):
        assert talk(url, *lines)[0] in {400, 403}


@pytest.mark.parametrize("port", ["service", "storage"])
def test_nothing_was_done_for_the_refused(emulator, port):
    evil = "Origin: http://evil.example"
    talk(_url(emulator, port), f"{TARGETS['create a job'][1]} HTTP/1.1", "Host: localhost", evil, body=b"{}")
    talk(_url(emulator, port), f"{TARGETS['swap a notebook'][1]} HTTP/1.1", "Host: localhost", evil, body=b"evil")
    assert emulator.book() == []
    assert emulator.download("gs://bucket/x.ipynb") == b"good"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:{port}", "[::1]:{port}", "friend.example:99"])
@pytest.mark.parametrize("port", ["service", "storage"])
def test_a_program_on_this_machine_is_let_in(emulator, port, host):
    target = {"service": TARGETS["list jobs"], "storage": TARGETS["list buckets"]}[port][1]
    url = _url(emulator, port)
    line = f"Host: {host.format(port=url.rpartition(':')[2])}"
    assert talk(url, f"{target} HTTP/1.1", line)[0] == 200
    assert talk(url, f"{target} HTTP/1.1", line, "Sec-Fetch-Site: none")[0] == 200


@pytest.mark.parametrize(("allowed", "status"), [([], 403), (["127.0.0.2"], 200)], ids=["", "--allow-host"])
def test_another_address_to_listen_on_must_be_allowed(allowed, status):
    with Emulator(runner="simulated", host="127.0.0.2", allowed_hosts=allowed) as running:
        for port, name in (("service", "list jobs"), ("storage", "list buckets")):
            url = _url(running, port)
            request = f"{TARGETS[name][1]} HTTP/1.1"
            assert talk(url, request, f"Host: {url.removeprefix('http://')}")[0] == status
            assert talk(url, request, "Host: localhost")[0] == 200
        running.upload("gs://bucket/x.ipynb", b"its own way is open")
        assert running.download("gs://bucket/x.ipynb") == b"its own way is open"


def test_a_browser_does_not_take_an_object_for_a_page(emulator):
    _, headers, body = talk(emulator.storage_url, "GET /bucket/x.ipynb HTTP/1.1", "Host: localhost")
    assert body == b"good"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("port", ["service", "storage"])
def test_no_web_socket_is_opened(emulator, port):
    upgrade = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    status, _, _ = talk(_url(emulator, port), "GET / HTTP/1.1", "Host: localhost", *upgrade)
    assert status in {200, 400, 403, 404}  # as a plain request, not 101


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is the one loopback address")
@pytest.mark.usefixtures("emulator")
def test_the_server_behind_the_storage_is_not_found_by_its_port_alone():
    """It takes any Origin and Host, and writes outside its folder: a page may try all ports of 127.0.0.1."""
    behind = [each for each in psutil.Process().children(recursive=True) if "-filesystem-root" in each.cmdline()]
    addresses = {each.laddr.ip for server in behind for each in server.net_connections("tcp") if not each.raddr}
    assert addresses
    assert all(address.startswith("127.") for address in addresses)
    assert not addresses & {"127.0.0.1", "127.0.1.1"}
