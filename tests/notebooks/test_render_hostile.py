"""No hostile notebook gets more onto its page than elements, attributes and addresses that cannot act."""

from __future__ import annotations

import re
from html import unescape

import pytest

from airflow_nbjobs.notebooks import safe_html
from airflow_nbjobs.notebooks.render import to_html
from tests.support.hostile import code, hostile_notebooks, notebook_bytes, shown
from tests.support.safe_page import problems

HOSTILE = hostile_notebooks()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_notebook_has_a_safe_page(name):
    assert list(problems(to_html(HOSTILE[name], title='"></title><script>'))) == []


@pytest.mark.parametrize(
    "html",
    [
        '<p title="<img><script>x</script>">x</p>',
        '<b lang="<a x><img>" title="<img><form>">x</b>',
        '<img alt="<script>x</script><form>">',
        '<img alt="<img>" src="x"><a href="https://example.com" title="<img>">x</a>',
    ],
)
def test_a_tag_in_an_attribute_stays_there_with_every_nh3(html, monkeypatch):
    """Before 0.3.7, nh3 escapes no angle brackets in the values of attributes."""
    cleaner = safe_html._html_cleaner()

    class Older:
        def clean(self, text):
            cleaned = cleaner.clean(text)
            return re.sub(r'"[^"]*"', lambda value: value[0].replace("&lt;", "<").replace("&gt;", ">"), cleaned)

    monkeypatch.setattr(safe_html, "_html_cleaner", Older)
    assert list(problems(to_html(notebook_bytes(code(shown({"text/html": html})))))) == []


_REFERENCES = (
    "& && &amp; &amp;lt; &AMP;x &#38; &#x26; &#x; &x; &nbsp; &#160 &NonBreakingSpace; \xa0 &lt &notit; &copy=1"
)


@pytest.mark.parametrize("html", ["<p>{}</p>", '<p title="{}">x</p>', '<a href="https://example.com/?{}">x</a>'])
@pytest.mark.parametrize("reference", [*_REFERENCES.split(" "), "&#99999999999999999999999;", "&" * 40, "&\n&"])
def test_a_reference_is_cleaned_as_by_nh3_without_it(reference, html, monkeypatch):
    """nh3 takes quadratic time for ampersands and no-break spaces."""
    cleaner, seen = safe_html._html_cleaner(), []

    class Watched:
        def clean(self, text):
            seen.append(text)
            return cleaner.clean(text)

    monkeypatch.setattr(safe_html, "_html_cleaner", Watched)
    html = html.format(reference)
    assert safe_html.clean_html(html) == cleaner.clean(html).replace("<a ", '<a target="_blank" ')
    assert not {"&", "\xa0"} & set(unescape(seen[0]))


@pytest.mark.parametrize(
    "attack",
    [
        "<script>x</script>",
        "<p onclick=x>x</p>",
        "<a href=javascript:x rel=noopener target=_blank>x</a>",
        "<a href=https://example.com>x</a>",
        "<img src=https://example.com/x.png>",
        "<p style=position:fixed>x</p>",
        "<p id=failed-cell>x</p><p id=failed-cell>x</p>",
        "<svg></svg>",
        "<!-- x -->",
        "<meta http-equiv=refresh>",
    ],
)
def test_the_check_of_pages_sees_attacks(attack):
    """The test's own eyes."""
    page = to_html(HOSTILE["cell: text"])
    assert list(problems(page.replace("<main>", f"<main>{attack}"))) != []
