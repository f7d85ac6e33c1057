"""No hostile notebook gets more onto its page than elements, attributes and addresses that cannot act."""

from __future__ import annotations

import pytest

from airflow_nbjobs.notebooks.render import to_html
from tests.support.hostile import hostile_notebooks
from tests.support.safe_page import problems

HOSTILE = hostile_notebooks()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_notebook_has_a_safe_page(name):
    assert list(problems(to_html(HOSTILE[name], title='"></title><script>'))) == []


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
