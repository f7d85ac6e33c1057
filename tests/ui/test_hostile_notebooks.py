"""In a real browser no hostile notebook executes or requests anything, also without a content security policy."""

from __future__ import annotations

import json
import re

from airflow_nbjobs.notebooks.render import to_html
from tests.support.browsing import visit
from tests.support.hostile import hostile_notebooks
from tests.support.safe_page import problems

HOSTILE = hostile_notebooks("CANARY")
_POLICY = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>")


def test_nothing_executes_and_nothing_is_requested(tmp_path):
    pages = [to_html(content) for content in HOSTILE.values()]
    assert all(_POLICY.search(page) for page in pages)
    seen = visit([_POLICY.sub('<meta name="x" content="y">', page) for page in pages], tmp_path)
    assert seen.requested == []
    for number, name in enumerate(HOSTILE):
        became = seen.became[number]
        assert (name, list(problems(f"<!DOCTYPE html>{became}"))) == (name, [])
        assert "<title>ran" not in became


def test_the_browser_sees_what_the_attacks_do(tmp_path):
    """The test's own eyes: the same attacks act in pages that are not sanitized."""
    names = ("html: script", "html: event handlers", "html: backgrounds", "html: media and objects", "svg: script")
    outputs = [json.loads(HOSTILE[name])["cells"][0]["outputs"][0]["data"] for name in names]
    seen = visit([f"<!DOCTYPE html>{next(iter(data.values()))}" for data in outputs], tmp_path)
    paths = {re.sub(r"^[^/]*", "", requested) for requested in seen.requested}
    assert paths >= {"/canary/ran", "/canary/x.js", "/canary/3", "/canary/7"}
    assert "<title>ran</title>" in seen.became[0]
