"""Airflow for the tests: a home of its own for each process of the run, made before anything imports Airflow."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from httpx._transports import default as transports

# Asserts in helpers explain themselves only when pytest rewrites them.
pytest.register_assert_rewrite("tests.support", "tests.contract.scenarios")

pytest_plugins = ["tests.support.canaries", "tests.support.emulators", "tests.support.fixtures"]

ROOT = Path(__file__).resolve().parent.parent
_HOME = tempfile.mkdtemp(prefix="nbjobs-airflow-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)

# A shell lets commands in the background ignore SIGINT, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What a developer's shell says of another Airflow or another emulator is not the tests' business; which real project
# they may use is.
for name in list(os.environ):
    of_ours = name.startswith("NBJOBS_") and not name.startswith("NBJOBS_LIVE_")
    if of_ours or name.startswith("AIRFLOW") or name in {"STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT"}:
        del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": _HOME,
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PLUGINS_FOLDER": f"{_HOME}/plugins",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
}
# Examples take as long as a busy machine lets them. There are many properties, so each has few; `pytest
# --hypothesis-profile thorough` looks for what a few do not find.
hypothesis.settings.register_profile("few", max_examples=20, deadline=None, database=None)
hypothesis.settings.register_profile("thorough", max_examples=500, deadline=None)
hypothesis.settings.load_profile("few")

_create_ssl_context = vars(transports)["create_ssl_context"]


@cache
def _certificates(_file: str | None, _folder: str | None, trust_env: bool) -> Any:
    return _create_ssl_context(trust_env=trust_env)


def _certificates_read_once(verify: Any = True, cert: Any = None, trust_env: bool = True) -> Any:
    if verify is not True or cert is not None:
        return _create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)
    return _certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"), trust_env)


# Each HTTP client reads all of the machine's certificates, which takes 20 to 50 ms, also where it will speak plain
# HTTP; the tests make thousands of clients.
vars(transports)["create_ssl_context"] = _certificates_read_once


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in an event loop of its own, for five minutes at most."""
    if not inspect.iscoroutinefunction(test := pyfuncitem.obj):
        return None

    async def bounded() -> None:
        async with asyncio.timeout(300):
            await test(**{name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters})

    asyncio.run(bounded())
    return True


@pytest.fixture(autouse=True)
def secrets_of_one_test() -> Iterator[None]:
    """Have Airflow forget what it masks in logs: with each secret it compiles all that it ever saw into one pattern."""
    yield
    for name in ("airflow._shared.secrets_masker", "airflow.sdk._shared.secrets_masker"):  # not so in Airflow 3.1
        if module := sys.modules.get(name):
            module.reset_secrets_masker()
