"""Notebooks that mean no good, or have gone wrong: the task ends in time, and says something that can be read."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from airflow_nbjobs.exceptions import NotebookJobError, NotebookJobFailedError
from tests.support.cloud import Cloud
from tests.support.logged import Logged
from tests.support.papers import as_bytes, cell, notebook, task

AROUND = (
    b'{"cells":[{"cell_type":"code","execution_count":1,"metadata":{},"outputs":[%b],"source":"bad()"},'
    b'{"cell_type":"code","execution_count":2,"metadata":{"tags":["result"]},"outputs":[{"output_type":'
    b'"execute_result","data":{"text/plain":"{\'rows\': 3}"},"execution_count":2,"metadata":{}}],"source":"count()"},'
    b'{"cell_type":"code","execution_count":3,"metadata":{},"outputs":[%b],"source":"1/0"}],'
    b'"metadata":{},"nbformat":4,"nbformat_minor":5}'
)
PRINTED = b'{"output_type":"stream","name":"stdout","text":["%b"]}'
JSON = b'{"output_type":"display_data","data":{"application/json":%b}}'
ERROR = b'{"output_type":"error","ename":"ZeroDivisionError","evalue":"division by zero","traceback":[]}'
OUTPUTS = {
    "no JSON": b'{"output_type":nope,"text":[,,]}',
    "no UTF-8": PRINTED % b"caf\xe9 \xff\xfe",
    "half a surrogate pair": PRINTED % rb"\ud800",
    "colours, bells and cursor moves": PRINTED % rb"\u001b[31mred\u001b[2J\u0007\u009b1;1H\u001b]0;title\u0007",
    "lines that pass for a log's": PRINTED % rb"x\r\n[2026-11-22] ERROR - forged\u2028::group::more\u0085and",
    "200,000 brackets": b'{"output_type":"display_data","data":{"application/json":%b}}'
    % (b"[" * 10**5 + b"]" * 10**5),
    "a number of 100,000 digits": JSON % (b"9" * 10**5),
    "outputs of no kind": b'null,7,"text",[],{},{"output_type":[]},{"output_type":"stream","text":{"a":1}}',
    "20 MB": PRINTED % (b"x" * 20_000_000),
}
NOTEBOOKS = {
    "nothing": b"",
    "a page of HTML": b"<html>503</html>",
    "JSON that is not a notebook": b'[{"cells":[]}]',
    "half a notebook": (AROUND % (b"", b""))[:-300],
    "brackets without end": b"[" * 10**6,
    "no text at all": b"\x1f\x8b\x08\x00" * 1000,
}


def ended(cloud: Cloud, folder: str, executed: bytes, state: str, **arguments: Any) -> Any:
    """Let a task settle a job that left such a notebook, and return its result."""
    cloud.fault({"job_state": "JOB_STATE_RUNNING"})
    sent = notebook(cell("1"))
    run = task(notebook=sent, gcs_output_uri=folder, wait_for_completion=False, **{"log_output": "all", **arguments})
    name = run.execute()["name"]
    cloud.upload(f"{folder}/{name.rpartition('/')[2]}/content.ipynb", executed)
    cloud.play(name, f"JOB_STATE_{state}", "Cell 3 failed.")
    return run.told(state=f"JOB_STATE_{state}")


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_bad_output_hurts_no_other_cell(cloud: Cloud, folder: str, kind: str, logged: Logged) -> None:
    result = ended(cloud, folder, AROUND % (OUTPUTS[kind], b""), "SUCCEEDED")
    assert result["results"] == {"rows": 3}
    with pytest.raises(NotebookJobFailedError, match=r"Cell 3: ZeroDivisionError: division by zero\. Notebook job"):
        ended(cloud, folder, AROUND % (OUTPUTS[kind], ERROR), "FAILED")
    lines = [line for line in logged() if "cell 1]" in line or "red" in line or "forged" in line]
    assert lines[0].startswith("[cell 1] ran")
    for line in lines:
        assert line.startswith("[cell 1]")
        assert len(line) < 2_100
        assert not {unicodedata.category(character) for character in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert "::group::" not in line


@pytest.mark.parametrize("kind", NOTEBOOKS)
def test_of_what_is_no_notebook_the_task_says_so(cloud: Cloud, folder: str, kind: str) -> None:
    with pytest.raises(NotebookJobError, match=r"could not be read to its end\. They are in gs://results/"):
        ended(cloud, folder, NOTEBOOKS[kind], "SUCCEEDED")
    without = ended(cloud, folder, NOTEBOOKS[kind], "SUCCEEDED", unusable_results="omit")
    assert without["results"] is None
    with pytest.raises(NotebookJobFailedError, match=r"Cell 3 failed\. .*FAILED"):
        ended(cloud, folder, NOTEBOOKS[kind], "FAILED")


@pytest.mark.parametrize("log_output", ["errors", "none"])
def test_the_traceback_is_logged_once_whatever_was_printed_before_it(
    cloud: Cloud, folder: str, log_output: str, logged: Logged
) -> None:
    frames = [f"frame {number}" for number in range(30)]
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["Traceback", *frames, "E: v"]}
    printed = {"output_type": "stream", "name": "stdout", "text": "".join(f"line {n}\n" for n in range(1_000))}
    executed = as_bytes(notebook({**cell("bad()"), "outputs": [printed, error], "execution_count": 1}))
    with pytest.raises(NotebookJobFailedError, match="Cell 1: E: v"):
        ended(cloud, folder, executed, "FAILED", log_output=log_output)
    log = logged()
    for line in ("Traceback", *frames, "E: v"):
        assert log.count(f"[cell 1] | {line}") == 1
    pointers = [line for line in log if "lines left out" in line]
    uri = next(line for line in pointers or [""]).partition("all of it: ")[2]
    assert len(pointers) == (log_output == "errors")
    assert uri.startswith(f"{folder}/") is (log_output == "errors")
