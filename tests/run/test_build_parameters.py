"""Parameters that cannot be, should not be, or are not known are told before anything is sent."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from airflow.sdk.log import mask_secret

from airflow_nbjobs.exceptions import InvalidNotebookJobError
from airflow_nbjobs.secrecy import check_parameters
from tests.support.canaries import MARK
from tests.support.cloud import Cloud
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
        (DECLARED, {"day": "x", "dya": 1, "wor": 2}, "does not declare 'dya', 'wor'; it declares 'day', 'rows'"),
        (UNDECLARED, {"day": "x"}, "has no cell tagged 'parameters'"),
    ],
    ids=["unknown names", "no cell"],
)
def test_unknown_parameters_are_a_warning_or_an_error(
    cloud: Cloud,
    logged: Logged,
    paper: dict[str, Any],
    parameters: dict[str, Any],
    said: str,
) -> None:
    with pytest.raises(InvalidNotebookJobError, match=f"{said}.*unknown_parameters='warn'"):
        create(paper, parameters=parameters).execute()
    assert cloud.book() == []
    create(paper, parameters=parameters, unknown_parameters="warn").execute()
    assert [line for line in logged() if said in line] != []
    assert len(cloud.book()) == 1


def test_parameters_that_a_notebook_knows_are_no_warning(project: str, logged: Logged) -> None:
    create(parameters={"day": "x"}).execute()
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
def test_an_invalid_parameter_is_named_and_not_sent(cloud: Cloud, parameters: Any, named: str) -> None:
    with pytest.raises(InvalidNotebookJobError) as error:
        create(parameters=parameters).execute()
    assert named in str(error.value)
    assert cloud.requests() == {}


@pytest.mark.parametrize(
    "around",
    [lambda secret: secret, lambda secret: f"postgresql://me:{secret}@db/x", lambda secret: {"a": [{"b": [secret]}]}],
    ids=["itself", "within a text", "deep down"],
)
def test_a_value_that_airflow_masks_is_refused_and_not_shown(
    cloud: Cloud, around: Callable[[str], Any], logged: Logged
) -> None:
    secret = f"{MARK}-{secrets.token_hex(12)}"
    mask_secret(secret)
    with pytest.raises(
        InvalidNotebookJobError, match=r"parameters\['day'\] contains a secret.*Secret Manager"
    ) as error:
        create(parameters={"rows": 1, "day": around(secret)}).execute()
    assert secret not in f"{error.value} {logged()}"
    assert cloud.requests() == {}


@pytest.mark.parametrize("argument", ["labels", "display_name"])
def test_a_masked_value_is_refused_where_everybody_sees_it(cloud: Cloud, argument: str) -> None:
    secret = f"{MARK}-{secrets.token_hex(12)}"
    mask_secret(secret)
    with pytest.raises(InvalidNotebookJobError, match=f"^{argument} contains a secret") as error:
        create(**{argument: {"team": secret} if argument == "labels" else f"report {secret}"}).execute()
    assert secret not in str(error.value)
    assert cloud.requests() == {}


def test_a_name_that_looks_secret_gets_a_warning(project: str, logged: Logged) -> None:
    value = f"{MARK}-{secrets.token_hex(12)}"
    run = create(parameters={"rows": 1, "api_token": value}, unknown_parameters="warn")
    run.execute()
    (warning,) = [line for line in logged() if "looks like a secret by its name" in line]
    assert "parameters['api_token']" in warning
    assert value in _content(run)
    assert value not in str(logged())


def test_a_try_that_submits_twice_warns_once(cloud: Cloud, logged: Logged) -> None:
    value = f"{MARK}-{secrets.token_hex(12)}"
    exhausted = {"job_state": "JOB_STATE_FAILED", "status_message": "RESOURCE_EXHAUSTED"}
    cloud.fault(exhausted)
    wanted = {"api_token": value, "day": "2026-11-22"}
    cloud.upload("gs://results/made", b"")
    run = task(
        notebook=DECLARED, parameters=wanted, capacity_retries=1, unusable_results="omit", unknown_parameters="warn"
    )
    assert run.to_its_end()["state"] == "JOB_STATE_SUCCEEDED"
    assert len(cloud.book()) == 2
    assert len([line for line in logged() if "looks like a secret by its name" in line]) == 1
    assert len([line for line in logged() if "does not declare 'api_token'" in line]) == 1


def test_a_secret_number_is_refused_its_digits_are_not() -> None:
    pin = secrets.randbelow(10**12) + 10**12
    mask_secret(str(pin))
    for value in (pin, [{"pin": pin}]):
        with pytest.raises(InvalidNotebookJobError, match=r"parameters\['day'\] contains a secret"):
            check_parameters({"day": value}, lambda _: None)
    others = {"rows": pin * 10 + 7, "yes": True, "ratio": 0.5}
    assert check_parameters(others, lambda _: None) == others


def test_names_that_look_secret_are_found_at_any_depth() -> None:
    number, text = secrets.randbelow(10**12) + 10**12, secrets.token_hex(12)
    warnings: list[str] = []
    given = {"max_tokens": number, "cfg": [{"api_key": {"name": "a-plain-key", "value": [text]}, "day": "2026-11-22"}]}
    assert check_parameters(given, warnings.append) == given
    assert [warning.partition(" looks")[0] for warning in warnings] == [
        "parameters['max_tokens']",
        "parameters['cfg'][0]['api_key']",
    ]


def test_a_secret_is_refused_under_any_name(project: str) -> None:
    secret = f"{MARK}-{secrets.token_hex(12)}"
    mask_secret(secret)
    with pytest.raises(InvalidNotebookJobError, match=r"parameters\['api_token'\] contains a secret"):
        create(parameters={"api_token": secret}).execute()


def test_dates_and_templates_become_text_to_any_depth(project: str) -> None:
    run = create(parameters={"day": {"list": ["{{ ds }}", datetime(2026, 11, 22, tzinfo=UTC)]}})
    run.execute()
    assert 'day = {\\"list\\": [\\"2026-11-22\\", \\"2026-11-22T00:00:00+00:00\\"]}' in _content(run)


def test_saved_outputs_are_not_sent(project: str) -> None:
    output = {"output_type": "stream", "name": "stdout", "text": "of last week"}
    paper = notebook({**cell("print(1)"), "outputs": [output], "execution_count": 3})
    for parameters in ({}, {"day": "x"}):
        run = create(paper, parameters=parameters, unknown_parameters="warn")
        run.execute()
        assert ("print(1)" in _content(run), "of last week" in _content(run)) == (True, False)


def _content(run: Any) -> str:
    return base64.b64decode(sent(run)["directNotebookSource"]["content"]).decode()
