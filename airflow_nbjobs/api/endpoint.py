"""Where requests go, and whether credentials may be sent there.

A token is only sent to ``https`` hosts under ``googleapis.com``, and to those that the deployment's administrator
allows. Requests to any other endpoint carry no credentials.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from airflow_nbjobs.api.names import check_location
from airflow_nbjobs.api.redacting import without_user
from airflow_nbjobs.exceptions import InvalidNotebookJobError

__all__ = ["Endpoint"]

# Names in DNS, and IPv6. Other characters are legal in a URL's host, but resolvers may disagree on how to read
# "evil.example\.googleapis.com".
_HOST = re.compile(rb"[a-z0-9._:-]+")
_GOOGLE = re.compile(rb"(?:[a-z0-9-]+\.)*googleapis\.com")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Endpoint:
    """The origin of the service.

    :ivar url: scheme, host and port, without a path: ``https://us-central1-aiplatform.googleapis.com``.
    :ivar is_trusted: whether credentials may be sent there.
    """

    url: str
    is_trusted: bool

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine; the environment's proxy is not used for it."""
        return httpx.URL(self.url).host in _LOOPBACK

    @classmethod
    def of_location(cls, location: str, override: str | None = None, allowed: Iterable[str] = ()) -> Endpoint:
        """Return the endpoint of a location.

        :param location: such as ``us-central1``; checked as a whole before it becomes a host name.
        :param override: an address to use instead; ``{location}`` in it is replaced.
        :param allowed: further addresses that credentials may be sent to: scheme, host and port.
        :raises InvalidNotebookJobError: if the location or an address is not well formed.
        """
        check_location(location)
        if override is None:
            return cls(f"https://{location}-aiplatform.googleapis.com", is_trusted=True)
        url = _origin(override.replace("{location}", location))
        is_google = _GOOGLE.fullmatch(url.raw_host) is not None
        is_allowed = any(url == _origin(each.replace("{location}", location)) for each in allowed)
        return cls(str(url).rstrip("/"), is_trusted=url.scheme == "https" and (is_google or is_allowed))

    @classmethod
    def of_emulator(cls, address: str) -> Endpoint:
        """Return the endpoint of an emulator, never trusted with credentials.

        :param address: ``127.0.0.1:9099`` or ``http://127.0.0.1:9099``, the value of ``NBJOBS_EMULATOR_HOST``.
        :raises InvalidNotebookJobError: if it is neither.
        """
        url = _origin(address if "://" in address else f"http://{address}")
        return cls(str(url).rstrip("/"), is_trusted=False)


def _origin(address: str) -> httpx.URL:
    """Parse an address with the HTTP client's own parser: another one could read another host."""
    shown = without_user(address)
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        # The parser's message may quote a part of a password, which it reads as a port.
        reason = "it has a user" if "@" in str(address) else error
        raise InvalidNotebookJobError(f"{shown} is not the address of a service: {reason}.") from None
    is_place = _HOST.fullmatch(url.raw_host) is not None and (url.port or 0) < 65536
    # "?" and "#": the parser drops an empty query or fragment.
    has_more = url.userinfo or "?" in address or "#" in address
    if url.scheme not in {"http", "https"} or not is_place or has_more:
        raise InvalidNotebookJobError(f"{shown} is not the address of a service: write 'https://host[:port]'.")
    if url.path not in {"", "/"}:
        raise InvalidNotebookJobError(f"{shown} has a path: write 'https://host[:port]' alone.")
    return url.copy_with(path="/")
