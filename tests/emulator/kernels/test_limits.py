"""What is kept of a flood of output, and what later cells and results keep."""

from __future__ import annotations

import nbformat
import pytest

from airflow_nbjobs.emulator.kernels import limits
from airflow_nbjobs.emulator.kernels.limits import MAX_OUTPUT_BYTES, MAX_OUTPUTS, MAX_RESULT_BYTES, OutputLimit
from tests.support import kernels
from tests.support.building import code, notebook, read

PUBLISH = "get_ipython().display_pub.publish"
SLOWLY = "    if n % 100 == 0: time.sleep(0.05)  # the kernel itself drops what is not read in time"
FLOODS = {
    "one text": "print('x' * 200_000_000)",
    "many lines": "import sys\nfor _ in range(60): sys.stdout.write('x' * 1_000_000 + '\\n')",
    "many displays": f"import time\nfor n in range(10_500):\n    {PUBLISH}({{'text/plain': 'x'}})\n{SLOWLY}",
}
GLUE = PUBLISH + "({'application/scrapbook.scrap.json+json': {'name': 'a', 'encoder': 'json', 'data': %s}})"


def run(scratch, *cells):
    ended = kernels.run(scratch, nbformat.writes(notebook(*cells)).encode(), timeout=120)
    assert (ended.ok, ended.message) == (True, "")
    return ended, read(*nbformat.reads(ended.notebook.decode(), as_version=4).cells)


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_cells_after_a_flood_keep_their_outputs_and_results(tmp_path, flood):
    ended, outcome = run(tmp_path, code(flood), code("print('after')"), code("{'rows': 5}", "result"))
    assert outcome.results == {"rows": 5}
    assert kernels.texts(ended)[1] == "after\n"
    assert kernels.outputs(ended)[0][-1] == limits.DROPPED


def test_the_scrap_of_a_cell_that_floods_is_kept(tmp_path):
    _, outcome = run(tmp_path, code(f"{FLOODS['many lines']}\n{GLUE % 1}"))
    assert outcome.results == {"a": 1}


def test_the_pieces_of_a_stream_are_one_output(tmp_path):
    pieces = f"import time\nfor n in range(10_500):\n    print(n, flush=True)\n{SLOWLY}"
    ended, outcome = run(tmp_path, code(pieces), code("{'rows': 5}", "result"))
    (output,) = kernels.outputs(ended)[0]
    assert output["text"] == "".join(f"{n}\n" for n in range(10_500))
    assert outcome.results == {"rows": 5}


def test_the_pieces_of_two_streams_keep_their_order(tmp_path):
    pieces = "import sys\nfor n in range(3):\n    for file in (sys.stdout, sys.stderr): print(n, file=file, flush=True)"
    ended, _ = run(tmp_path, code("print('a', end='', flush=True)\nprint('b', flush=True)\n1"), code(pieces))
    first, second = kernels.outputs(ended)
    assert [output.get("text") for output in first] == ["ab\n", None]
    assert [output["text"] for output in second] == ["0\n", "0\n", "1\n", "1\n", "2\n", "2\n"]


@pytest.mark.parametrize("tags", [("result",), ()], ids=["tagged", "a scrap"])
def test_a_result_that_is_not_kept_is_unusable(tmp_path, tags):
    huge = GLUE % f"'x' * {MAX_RESULT_BYTES + 1}"
    _, outcome = run(tmp_path, code("{'rows': 5}", "result"), code(f"{huge}\n{GLUE % 1}", *tags))
    assert outcome.results == {}
    assert "cell 2" in outcome.results_problem


def stream(text):
    return {"name": "stdout", "text": text}


def test_each_cell_has_an_eighth_of_what_is_left():
    limit, kept = OutputLimit(), []
    for _ in range(3):
        kept.append(len(limit.cut("stream", stream("x" * 2 * MAX_OUTPUT_BYTES), joins=False)["text"]))
        assert limit.is_full
        limit.start_cell(())
    assert kept[0] == MAX_OUTPUT_BYTES // 8
    assert kept[1] == (MAX_OUTPUT_BYTES - kept[0]) // 8
    assert kept[2] > kept[1] * 0.8


def test_only_outputs_that_are_not_joined_are_counted():
    limit = OutputLimit()
    for _ in range(MAX_OUTPUTS * 2):
        assert limit.cut("stream", stream("x"), joins=True)
    for _ in range(MAX_OUTPUTS):
        assert limit.cut("display_data", {"data": {"text/plain": "x"}}, joins=False)
    assert limit.cut("display_data", {"data": {"text/plain": "x"}}, joins=False) is None
    assert limit.cut("stream", stream("x"), joins=False) is None
    assert limit.cut("comm_msg", {"data": {"state": {"msg_id": ""}}}, joins=False)


def test_errors_have_a_limit_of_their_own():
    limit = OutputLimit()
    error = {"ename": "E", "evalue": "v", "traceback": ["x" * 100_000] * 20}
    kept = [limit.cut("error", error, joins=False)["traceback"] for _ in range(100)]
    assert kept[0] == error["traceback"]
    assert kept[-1] == []
