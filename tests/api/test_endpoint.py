"""Tokens are only sent to Google and to allowed addresses, however an address is written."""

from __future__ import annotations

import re

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_nbjobs.api.client import Client
from airflow_nbjobs.api.endpoint import Endpoint
from airflow_nbjobs.exceptions import InvalidNotebookJobError

GOOGLE = "https://us-central1-aiplatform.googleapis.com"


def test_a_location_has_an_endpoint_of_google():
    assert Endpoint.of_location("us-central1") == Endpoint(GOOGLE, is_trusted=True)


@pytest.mark.parametrize("location", ["", "evil.example/", "us-central1.evil.example#", "US", "a b", "a\n", None, "٣"])
def test_a_bad_location_never_becomes_a_host(location):
    with pytest.raises(InvalidNotebookJobError, match=r"is not a location|location is missing"):
        Endpoint.of_location(location)
    with pytest.raises(InvalidNotebookJobError, match=r"is not a location|location is missing"):
        Endpoint.of_location(location, "https://x.googleapis.com")


@pytest.mark.parametrize(
    "url",
    [
        "https://us-central1-aiplatform.googleapis.com",
        "https://{location}-aiplatform.googleapis.com",
        "HTTPS://EU-AIPLATFORM.GOOGLEAPIS.COM",
        "https://x.p.googleapis.com:443/",
        "https://x.googleapis.com:8443",
        "https://aiplatform\u3002googleapis\uff0ecom",
    ],
)
def test_hosts_under_googleapis_are_trusted_over_https(url):
    assert Endpoint.of_location("us-central1", url).is_trusted
    assert not Endpoint.of_location("us-central1", url.lower().replace("https", "http")).is_trusted


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "https://googleapis.com.evil.example",
        "https://evilgoogleapis.com",
        "https://googleapis.com.",
        "https://evil.example\\.googleapis.com",
        "https://evil.example%2f.googleapis.com",
        "https://evil.example%00.googleapis.com",
        'https://evil.example".googleapis.com',
        "https://[::1]:443",
        "https://127.0.0.1",
        "https://googleapis.co",
        "https://googleapis.com\u200b.evil.example",
    ],
)
def test_any_other_host_is_refused_or_not_trusted(url):
    try:
        assert not Endpoint.of_location("us-central1", url).is_trusted
    except InvalidNotebookJobError as refused:
        assert "is not the address of a service" in str(refused)  # noqa: PT017 - both are right


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@x.googleapis.com",
        "https://x.googleapis.com/v1",
        "https://x.googleapis.com?a=b",
        "https://x.googleapis.com#a",
        "https://x.googleapis.com?",
        "https://x.googleapis.com#",
        "ftp://x.googleapis.com",
        "x.googleapis.com",
        "https://",
        "https://x.googleapis.com:port",
        "https://x.googleapis.com:99999",
        "",
    ],
)
def test_anything_but_scheme_host_and_port_is_refused(url):
    with pytest.raises(InvalidNotebookJobError, match=re.escape(repr(url.replace("user:secret", "***")))):
        Endpoint.of_location("us-central1", url)


pieces = st.sampled_from(
    [*"abc.:@/\\?#%[]-_ \n\u3002\uff0e\uff61", "googleapis.com", ".googleapis.com", "evil.example", "%2e"]
)


@given(st.lists(pieces, min_size=1, max_size=8).map("".join))
@example("evil.example\\.googleapis.com")
@example("googleapis.com@evil.example")
@example("a?")
def test_only_hosts_under_googleapis_in_dns_are_trusted(text):
    """The host is the one that the HTTP client connects to."""
    try:
        endpoint = Endpoint.of_location("us-central1", f"https://{text}")
    except InvalidNotebookJobError:
        return
    with httpx.Client(base_url=endpoint.url) as client:
        url = client.build_request("GET", "/v1/x").url
    is_google = re.fullmatch(r"([a-z0-9-]+\.)*googleapis\.com", url.raw_host.decode()) is not None
    assert endpoint.is_trusted == is_google
    assert url.path == "/v1/x"


def test_allowed_addresses_are_trusted_and_only_they():
    allowed = ["https://proxy.corp:8443", "https://{location}.corp.example"]

    def is_trusted(url: str) -> bool:
        return Endpoint.of_location("us-central1", url, allowed).is_trusted

    assert is_trusted("https://proxy.corp:8443/")
    assert is_trusted("https://PROXY.corp:8443")
    assert is_trusted("https://us-central1.corp.example:443")
    assert not is_trusted("https://proxy.corp")
    assert not is_trusted("http://proxy.corp:8443")
    assert not is_trusted("https://us-east1.corp.example")
    assert not is_trusted("https://sub.proxy.corp:8443")


@pytest.mark.parametrize("address", ["http://proxy.corp", "http://127.0.0.1:1"])
def test_an_allowed_address_without_tls_gets_no_tokens(address):
    assert not Endpoint.of_location("us-central1", address, [address]).is_trusted


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:9099", "http://127.0.0.1:9099"),
        ("http://localhost:9099/", "http://localhost:9099"),
        ("https://x.googleapis.com", "https://x.googleapis.com"),
        ("[::1]:9099", "http://[::1]:9099"),
    ],
)
def test_an_emulator_is_never_trusted(address, url):
    assert Endpoint.of_emulator(address) == Endpoint(url, is_trusted=False)


@pytest.mark.parametrize("address", ["http://", "a b", "http://127.0.0.1:9099/v1", "user@127.0.0.1:9099", ":9099"])
def test_a_bad_address_of_an_emulator_is_refused(address):
    with pytest.raises(InvalidNotebookJobError, match=r"is not the address|has a path"):
        Endpoint.of_emulator(address)


@pytest.mark.parametrize(
    ("url", "is_loopback"),
    [
        ("http://127.0.0.1:1", True),
        ("http://LOCALHOST:1", True),
        ("http://[::1]:1", True),
        ("http://localhost.evil.example:1", False),
        (GOOGLE, False),
    ],
)
def test_loopback_is_this_machine(url, is_loopback):
    assert Endpoint.of_emulator(url).is_loopback is is_loopback


def test_a_client_of_an_untrusted_endpoint_has_no_credentials():
    with Client(Endpoint("http://127.0.0.1:1", is_trusted=False), credentials=object()) as client:
        assert client._http.auth is None
