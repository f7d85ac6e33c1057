"""The tree of errors: complete, picklable, and able to carry another message."""

from __future__ import annotations

import pickle

import pytest

from airflow_nbjobs import exceptions


@pytest.mark.parametrize("name", sorted({*exceptions.__all__} - {"FailureKind"}))
def test_every_error_is_in_the_tree_and_survives_pickling(name):
    kind = getattr(exceptions, name)
    assert issubclass(kind, exceptions.NbjobsError)
    assert f" {name} " in f" {exceptions.__doc__} ".replace("\n", " ")
    twin = pickle.loads(pickle.dumps(kind("what happened")))  # noqa: S301 - our own bytes
    assert (type(twin), str(twin), vars(twin)) == (kind, "what happened", vars(kind("what happened")))


@pytest.mark.parametrize(
    "error",
    [
        exceptions.TransportError("before", was_sent=False),
        exceptions.RateLimitedError(
            "before", http_status=429, status="RESOURCE_EXHAUSTED", details=({"a": 1},), retry_after=7.0
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_with_another_message_keeps_everything_else(error):
    known = dict(vars(error))
    twin = error.with_message("after")
    assert (type(twin), twin.args, vars(twin)) == (type(error), ("after",), {**known, "message": "after"})
    assert (error.args, vars(error)) == (("before",), known)
