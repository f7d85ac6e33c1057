"""Notebooks as HTML documents: what is shown, where, and how much of it."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from importlib.resources import files

import nbformat
import pytest

from airflow_nbjobs.exceptions import RenderError
from airflow_nbjobs.notebooks.render import Limits, to_html
from airflow_nbjobs.notebooks.render_process import render
from tests.support.building import code, error, execute, notebook, ran, shows, stream
from tests.support.safe_page import problems

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SVG = "<svg xmlns='http://www.w3.org/2000/svg'/>"


def page(*cells, limits=None, **options):
    """Return the body of the page of a notebook."""
    content = nbformat.v4.writes(notebook(*cells)).encode()
    return to_html(content, limits=Limits(**limits) if limits else None, **options).partition("<body>")[2]


def markdown(source, **fields):
    return nbformat.v4.new_markdown_cell(source, **fields)


def timed(seconds):
    times = {"iopub.execute_input": "2026-11-30T00:00:00Z", "shell.execute_reply": f"2026-11-30T00:00:{seconds:06.3f}Z"}
    return code("x", metadata={"execution": times}, execution_count=1)


def test_the_failing_cell_is_marked_and_linked():
    html = page(ran(stream("fine")), ran(error("ZeroDivisionError", "division by zero")), code("never"))
    assert '<a href="#failed-cell">Cell 2 failed</a>: <strong>ZeroDivisionError</strong> division by zero' in html
    assert re.search(r'<article class="cell code failed" id="cell-2"[^>]*>\n<div class="bar" id="failed-cell">', html)
    assert '<span class="time">did not run</span>' in html


@pytest.mark.parametrize(
    ("failed_cell", "marked"),
    [(None, 2), (0, None), (3, 3), (1, 1), (99, None)],
)
def test_the_caller_may_say_which_cell_failed(failed_cell, marked):
    html = page(ran(error(), tag="raises-exception"), ran(error()), ran(error()), failed_cell=failed_cell)
    assert re.findall(r'class="cell code failed" id="cell-([0-9]+)"', html) == ([str(marked)] if marked else [])


def test_cells_have_times_and_the_slowest_is_marked():
    html = page(timed(0.25), timed(12.0), timed(3.5), code("y"))
    assert re.findall(r'<span class="time">(.*?)</span>', html) == ["250 ms", "12 s", "3.5 s", "did not run"]
    assert 'slowest: <a href="#cell-2">cell 2</a> (12 s)' in html
    assert html.count('<span class="badge slow">slowest</span>') == 1


def test_a_run_of_a_kernel_is_shown():
    executed = execute(
        code("print('printed')"),
        code("import pandas as pd\npd.DataFrame({'column': [1]})"),
        code("from IPython.display import Markdown\nMarkdown('# shown')"),
        code("1 / 0"),
    )
    html = to_html(nbformat.v4.writes(executed).encode())
    for shown in ("<pre>printed</pre>", "<th>column</th>", "<h2>shown</h2>", "ZeroDivisionError", 'class="ansi-'):
        assert shown in html
    assert list(problems(html)) == []


def test_code_and_markdown_are_highlighted():
    html = page(code("def f(): return 1"), markdown("# Title\n\n**bold** `code`\n\n```python\nreturn 1\n```\n"))
    assert html.count('<span class="k">return</span>') == 2
    assert "<h2>Title</h2>" in html
    assert "<strong>bold</strong>" in html


def test_a_cell_of_another_language_is_highlighted_in_it():
    assert '<span class="nb">echo</span>' in page(code("%%bash\necho x"))


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (
            {"image/png": PIXEL, "text/plain": "<Figure>"},
            f'<img alt="Picture: Figure" src="data:image/png;base64,{PIXEL}">',
        ),
        ({"image/png": f"{PIXEL[:20]}\n{PIXEL[20:]}\n"}, f'src="data:image/png;base64,{PIXEL}"'),
        ({"image/svg+xml": SVG}, f"data:image/svg+xml;base64,{base64.b64encode(SVG.encode()).decode()}"),
        ({"image/jpeg": PIXEL}, "it says that it is image/jpeg, and is not"),
        ({"image/jpeg": PIXEL, "text/plain": "text"}, "<pre>text</pre>"),
        ({"text/html": "<script>x</script>", "text/plain": "text"}, "<pre>text</pre>"),
        ({"text/html": "<script>x</script>"}, "needs scripts or a viewer: text/html"),
        ({"text/html": "<b>html</b>", "text/plain": "text"}, "<b>html</b>"),
        ({"text/latex": "$x$", "text/plain": "text"}, "<pre>$x$</pre>"),
        ({"application/json": {"a": 1}}, "&#34;a&#34;: 1"),
    ],
)
def test_the_best_type_that_can_be_shown_is_shown(data, shown):
    assert shown in page(shows(data))


def test_attachments_and_links_inside_the_notebook_work():
    source = '![picture](attachment:a.png) [down](#below)\n\n<h2 id="below">Below</h2>'
    html = page(markdown(source, attachments={"a.png": {"image/png": PIXEL}}))
    assert f'src="data:image/png;base64,{PIXEL}"' in html
    assert '<a href="#in-notebook-below"' in html
    assert 'id="in-notebook-below"' in html


def test_a_picture_from_elsewhere_is_named():
    assert "A picture from elsewhere is not shown: logo" in page(markdown("![logo](https://example.com/x.png)"))


def test_long_outputs_are_folded():
    html = page(ran(stream("".join(f"line {n}\n" for n in range(100)))), shows({"text/html": "<p>x</p>" * 5_000}))
    assert "line 19</pre><details><summary>80 more lines</summary><pre>line 20" in html
    assert "<summary>Show the output (40 KB)</summary>" in html


def test_the_traceback_of_a_failure_is_not_folded():
    assert "<details open>" in page(ran(error(traceback=[f"line {n}" for n in range(100)])))


def test_a_progress_bar_is_shown_as_a_terminal_shows_it():
    assert "<pre>100%</pre>" in page(ran(stream("10%\r"), stream("50%\r"), stream("100%")))


def test_the_rest_of_a_very_long_displayed_text_is_left_out():
    assert "100 more characters are not shown." in page(shows({"text/plain": "x" * 200_100}))


def test_the_middle_of_a_very_long_traceback_is_left_out():
    html = page(ran(error(traceback=[f"line {n}" for n in range(2_000)])), limits={"text_characters": 1_000})
    assert "line 1\n" in html
    assert re.search(r"… [0-9,]+ characters left out …", html)
    assert "line 1999</pre>" in html


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"output_bytes": 1_000}, "An output of 2 KB (text/plain) is not shown: it is too large."),
        ({"page_bytes": 2_500}, "An output of 2 KB is not shown: the page is full."),
        ({"outputs": 2}, "2 more outputs are not shown."),
        ({"cells": 1}, "1 more cells are not shown: the page is full."),
        ({"text_characters": 10}, "The rest of this output is not shown: it is too long."),
    ],
)
def test_what_is_over_a_limit_becomes_a_note(limits, words):
    printed = code("x", outputs=[stream("printed " * 10), *[shows({"text/plain": "x" * 2_000}).outputs[0]] * 3])
    assert words in page(printed, code("y"), limits=limits)


def test_a_large_picture_becomes_a_note():
    picture = base64.b64encode(bytes(10_000_000)).decode()
    assert "An output of 13.3 MB (image/png) is not shown" in page(shows({"image/png": picture}))


def test_what_needs_time_is_plain_text_after_the_deadline():
    html = page(
        code("return"), markdown("**bold**"), shows({"text/html": "<b>x</b>", "text/plain": "x"}), limits={"seconds": 0}
    )
    for shown in ("<pre>return</pre>", "<pre>**bold**</pre>", "<pre>x</pre>"):
        assert shown in html


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\x89PNG", b'{"cells": 3, "nbformat": 4}', b'{"nbformat": 9}'])
def test_what_is_not_a_notebook_is_refused(content):
    with pytest.raises(RenderError, match="not"):
        to_html(content)


@pytest.mark.parametrize(
    "source",
    ["![a](attachment:a)" * 9, "[a]: https://example.com/" + "x" * 900 + "\n\n" + "[a] " * 900],
    ids=["an attachment", "an address"],
)
def test_a_page_that_grows_too_large_is_refused(source, monkeypatch):
    monkeypatch.setattr("airflow_nbjobs.notebooks.exporter._LARGEST_PAGE", 500_000)
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60_000)).decode()
    with pytest.raises(RenderError, match=r"^The page of the notebook has .* over the limit of 500 KB\. Download"):
        page(markdown(source, attachments={"a": {"image/png": picture}}))


def test_a_notebook_that_is_too_large_is_refused():
    with pytest.raises(RenderError, match=r"has 2 KB, over the limit of 1 KB\. Download it"):
        to_html(b"{" + b" " * 2_000, limits=Limits(notebook_bytes=1_000))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-be"])
def test_other_encodings_are_read(encoding):
    assert "<pre>ü</pre>" in to_html(json.dumps(notebook(ran(stream("ü"))), ensure_ascii=False).encode(encoding))


def test_a_notebook_of_format_3_is_read():
    cell = {"cell_type": "code", "input": "1", "outputs": [], "language": "python", "metadata": {}, "prompt_number": 1}
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [cell], "metadata": {}}]}
    assert 'id="cell-1"' in to_html(json.dumps(old).encode())


def test_a_cut_file_is_shown_with_a_note():
    content = nbformat.v4.writes(notebook(ran(stream("first")), ran(stream("second")))).encode()
    html = to_html(content[: content.index(b"second")])
    assert "The file ends too early" in html
    assert "first" in html


def test_a_page_has_a_language_landmarks_headings_and_alternatives():
    html = to_html(
        nbformat.v4.writes(notebook(markdown("# One\n## Two"), shows({"image/png": PIXEL}))).encode(), title="A & B"
    )
    assert html.startswith('<!DOCTYPE html>\n<html lang="en" data-theme="light">')
    assert "<title>A &amp; B</title>" in html
    assert [html.count(f"<{name}>") for name in ("header", "main", "h1")] == [1, 1, 1]
    assert "<h2>One</h2>\n<h3>Two</h3>" in html
    assert html.count("<img") == html.count("<img alt=")


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_the_theme_is_one_of_three(theme):
    assert f'data-theme="{theme}"' in to_html(nbformat.v4.writes(notebook()).encode(), theme=theme)
    with pytest.raises(RenderError, match=r"theme='x' is not a theme"):
        to_html(nbformat.v4.writes(notebook()).encode(), theme="x")


def test_the_same_notebook_has_the_same_page():
    content = nbformat.v4.writes(notebook(markdown("# x"), ran(stream("y")))).encode()
    assert render(content, title="x") == to_html(content, title="x").encode()


def test_a_rendering_that_takes_too_long_or_too_much_is_ended():
    content = nbformat.v4.writes(notebook()).encode()
    with pytest.raises(RenderError, match=r"takes more than 0\.001 seconds or 2,000 MB of memory\. Download it"):
        render(content, seconds=0.001)
    with pytest.raises(RenderError, match=r"(or 60 MB of memory|could not be rendered)"):
        render(content, memory_bytes=60_000_000)
    with pytest.raises(RenderError, match="it is not a JSON object"):
        render(b"[]")


def test_html_that_takes_too_much_memory_is_shown_as_text():
    """Each paragraph repeats all elements that are open."""
    bomb = "<p>" + "".join(f"<b id=b{number}>" for number in range(490)) + "<p>x" * 20_000
    content = nbformat.v4.writes(notebook(shows({"text/html": bomb, "text/plain": "a table"}))).encode()
    html = render(content, memory_bytes=700_000_000).decode()
    assert "Rendering took too long" in html
    assert ">a table<" in html


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_colors_have_the_contrast_of_level_aa(dark):
    style = files("airflow_nbjobs.notebooks").joinpath("templates/notebook.css").read_text()
    found = re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]+), (#[0-9a-f]+)\)", style)
    color = {name: pair[dark] for name, *pair in found}
    words = ("text", "faint", "link", "bad", "keyword", "string", "number", "comment", "name", "builtin")
    terminal = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white", "text")
    pairs = [(word, ground) for word in words for ground in ("page", "panel")]
    pairs += [(word, ground) for word in terminal for ground in ("page", "panel", "err", "bad-panel", "mark-yellow")]
    pairs += [("text", name) for name in color if name.startswith("mark-")]
    pairs += [("badge-text", "badge"), ("slow-text", "slow"), ("bad", "bad-panel")]
    assert {pair: ratio for pair in pairs if (ratio := contrast(*(color[name] for name in pair))) < 4.5} == {}


def contrast(one, other):
    """Return the contrast of two colors, as WCAG 2 defines it."""
    lights = sorted(map(luminance, (one, other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(color):
    digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_process_that_renders_has_no_secrets(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "s3cret")
    run, seen = subprocess.run, []

    def watched(*given, **more):
        seen.append(more["env"])
        return run(*given, **more)

    monkeypatch.setattr(subprocess, "run", watched)
    assert b"</html>" in render(json.dumps(notebook()).encode())
    assert "s3cret" not in seen[0].values()
