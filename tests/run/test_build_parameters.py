"""Parameters that cannot be, should not be, or are not known are told before anything is sent."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import redact

from airflow_nbjobs.compat import mask_secret
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.secrecy import check_parameters
from tests.support.canaries import MARK
from tests.support.logged import Logged
from tests.support.papers import cell, notebook, sent, task

DECLARED = notebook(cell('day = "unset"\nrows = 10', "parameters"), cell(f"print(day)  # {MARK}"))
UNDECLARED = notebook(cell(f"print(1)  # {MARK}"))


def create(paper: dict[str, Any] = DECLARED, **arguments: Any) -> Any:
    """Return a run of a task that does not wait."""
    return task(notebook=paper, wait_for_completion=False, **arguments)


@pytest.mark.parametrize(
    ("paper", "parameters", "said"),
    [
        (DECLARED, {"day": "x", "dya": 1, "wor": 2}, "does not know 'dya', 'wor'; it knows 'day', 'rows'"),
        (UNDECLARED, {"day": "x"}, "has no cell tagged 'parameters'"),
    ],
    ids=["unknown names", "no cell"],
)
def test_unknown_parameters_are_a_warning_or_an_error(
    nbjobs_emulator: Emulator,
    project: str,
    logged: Logged,
    paper: dict[str, Any],
    parameters: dict[str, Any],
    said: str,
) -> None:
    with pytest.raises(InvalidNotebookJobError, match=f"{said}.*unknown_parameters='warn'"):
        create(paper, parameters=parameters, unknown_parameters="fail").execute()
    assert nbjobs_emulator.book(project) == []
    create(paper, parameters=parameters).execute()
    assert [line for line in logged() if said in line] != []
    assert len(nbjobs_emulator.book(project)) == 1


def test_parameters_that_a_notebook_knows_are_no_warning(project: str, logged: Logged) -> None:
    create(parameters={"day": "x"}, unknown_parameters="fail").execute()
    assert [line for line in logged() if "parameters" in line] == []


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"names": {"a"}}, "parameters['names'] is of type set"),
        ({"deep": {"list": [1, Decimal("1.1")]}}, "parameters['deep']['list'][1] is of type Decimal"),
        ({"raw": b"x"}, "parameters['raw'] is of type bytes"),
        ({"ratio": float("nan")}, "parameters['ratio'] is nan"),
        ({"a": {1: 2}}, "parameters['a'] has the key 1"),
        ({"class": 1}, "'class'"),
        ({"two words": 1}, "'two words'"),
        (["a"], "parameters=['a'] is not a dict"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_invalid_parameter_is_named_and_not_sent(
    nbjobs_emulator: Emulator, project: str, parameters: Any, named: str
) -> None:
    with pytest.raises(InvalidNotebookJobError) as error:
        create(parameters=parameters).execute()
    assert named in str(error.value)
    assert nbjobs_emulator.requests() == {}


@pytest.mark.parametrize(
    "around",
    [lambda secret: secret, lambda secret: f"postgresql://me:{secret}@db/x", lambda secret: {"a": [{"b": [secret]}]}],
    ids=["itself", "within a text", "deep down"],
)
def test_a_value_that_airflow_masks_is_refused_and_not_shown(
    nbjobs_emulator: Emulator, project: str, around: Callable[[str], Any], logged: Logged
) -> None:
    secret = f"{MARK}-{secrets.token_hex(12)}"
    mask_secret(secret)
    with pytest.raises(InvalidNotebookJobError, match=r"parameters\['day'\] holds a secret.*Secret Manager") as error:
        create(parameters={"rows": 1, "day": around(secret)}).execute()
    assert secret not in f"{error.value} {logged()}"
    assert nbjobs_emulator.requests() == {}


@pytest.mark.parametrize("argument", ["labels", "display_name"])
def test_a_masked_value_is_refused_where_everybody_sees_it(
    nbjobs_emulator: Emulator, project: str, argument: str
) -> None:
    secret = f"{MARK}-{secrets.token_hex(12)}"
    mask_secret(secret)
    with pytest.raises(InvalidNotebookJobError, match=f"^{argument} holds a secret") as error:
        create(**{argument: {"team": secret} if argument == "labels" else f"report {secret}"}).execute()
    assert secret not in str(error.value)
    assert nbjobs_emulator.requests() == {}


def test_a_name_that_looks_secret_is_a_warning_each_time(project: str, logged: Logged) -> None:
    value = f"{MARK}-{secrets.token_hex(12)}"
    for _ in range(2):  # a second submission by the same process is no offence
        run = create(parameters={"rows": value, "api_token": value})
        run.execute()
    warnings = [line for line in logged() if "looks like a secret by its name" in line]
    assert len(warnings) == 2
    assert "parameters['api_token']" in warnings[0]
    assert value in _content(run)
    assert value not in str(logged())


def test_a_value_masked_by_name_may_be_part_of_text(nbjobs_emulator: Emulator, project: str, logged: Logged) -> None:
    value = f"{MARK}-{secrets.token_hex(12)}"
    exhausted = {"job_state": "JOB_STATE_FAILED", "status_message": "RESOURCE_EXHAUSTED"}
    nbjobs_emulator.fault(exhausted)
    wanted = {"api_token": value, "rows": f"daily {value} and {value}", "day": value}
    nbjobs_emulator.upload("gs://results/made", b"")
    run = task(notebook=DECLARED, parameters=wanted, capacity_retries=1, unusable_results="omit")
    assert run.to_its_end()["state"] == "JOB_STATE_SUCCEEDED"
    assert len(nbjobs_emulator.book(project)) == 2
    assert len([line for line in logged() if "looks like a secret by its name" in line]) == 1
    assert len([line for line in logged() if "does not know 'api_token'" in line]) == 1


def test_a_secret_beside_a_value_masked_by_name_is_refused() -> None:
    value, secret = secrets.token_hex(12), secrets.token_hex(12)
    check_parameters({"api_token": value}, lambda _: None)
    mask_secret(f"x{value}y")
    mask_secret(secret)
    for text in (f"{value} {secret}", f"x{value}y", f"{secret}{value}"):
        with pytest.raises(InvalidNotebookJobError, match=r"parameters\['title'\] holds a secret"):
            check_parameters({"title": text}, lambda _: None)
    for text in (f"*** {value}{value}", "***"):
        assert check_parameters({"title": text}, lambda _: None) == {"title": text}


def test_a_secret_number_is_refused_its_digits_are_not() -> None:
    pin = secrets.randbelow(10**12) + 10**12
    mask_secret(str(pin))
    for value in (pin, [{"pin": pin}]):
        with pytest.raises(InvalidNotebookJobError, match=r"parameters\['day'\] holds a secret"):
            check_parameters({"day": value}, lambda _: None)
    others = {"rows": pin * 10 + 7, "yes": True, "ratio": 0.5}
    assert check_parameters(others, lambda _: None) == others


def test_nested_masked_values_are_checked_in_linear_time() -> None:
    given = {"token": "z" * 5, "api_key": "z" * 10, "code": "z" * 2_000}
    began = time.monotonic()
    for _ in range(2):
        assert check_parameters(given, lambda _: None) == given
    assert time.monotonic() - began < 5


def test_many_values_under_a_secret_name_are_no_secrets() -> None:
    words = [f"word-{number:05}" for number in range(20_000)]
    warnings: list[str] = []
    began = time.monotonic()
    assert check_parameters({"tokens": words, "api_token": "the-last-word"}, warnings.append)["tokens"] == words
    assert time.monotonic() - began < 5
    assert [redact(word) for word in (words[0], words[-1], "the-last-word")] == ["***", words[-1], "***"]
    assert [warning.partition(" looks")[0] for warning in warnings[:2]] == [
        "parameters['tokens']",
        "parameters['api_token']",
    ]
    assert warnings[2:] == ["Of the values whose names look secret 100 are masked in logs, and the others are not."]


def test_masking_by_name_works_at_any_depth_and_for_numbers() -> None:
    number, text = secrets.randbelow(10**12) + 10**12, secrets.token_hex(12)
    warnings: list[str] = []
    given = {"max_tokens": number, "cfg": [{"api_key": {"name": "a-plain-key", "value": [text]}, "day": "2026-11-22"}]}
    for _ in range(2):
        assert check_parameters(given, warnings.append) == given
    assert [warning.partition(" looks")[0] for warning in warnings[:2]] == [
        "parameters['max_tokens']",
        "parameters['cfg'][0]['api_key']",
    ]
    assert redact(f"{number} {text} 2026-11-22 value") == "*** *** 2026-11-22 value"


def test_a_secret_is_refused_under_any_name(project: str) -> None:
    secret = f"{MARK}-{secrets.token_hex(12)}"
    mask_secret(secret)
    with pytest.raises(InvalidNotebookJobError, match=r"parameters\['api_token'\] holds a secret"):
        create(parameters={"api_token": secret}).execute()


def test_dates_and_templates_become_text_to_any_depth(project: str) -> None:
    run = create(parameters={"day": {"list": ["{{ ds }}", datetime(2026, 11, 22, tzinfo=UTC)]}})
    run.execute()
    assert 'day = {\\"list\\": [\\"2026-11-22\\", \\"2026-11-22T00:00:00+00:00\\"]}' in _content(run)


def test_saved_outputs_are_sent_only_on_request(project: str) -> None:
    output = {"output_type": "stream", "name": "stdout", "text": "of last week"}
    paper = notebook({**cell("print(1)"), "outputs": [output], "execution_count": 3})
    for parameters in ({}, {"day": "x"}):
        without, with_them = (create(paper, parameters=parameters, send_outputs=wish) for wish in (False, True))
        without.execute()
        with_them.execute()
        assert ["of last week" in _content(run) for run in (without, with_them)] == [False, True]


def _content(run: Any) -> str:
    return base64.b64decode(sent(run)["directNotebookSource"]["content"]).decode()
