"""The site: `make docs`."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "extensions"), str(Path(__file__).parents[1])]

from airflow_nbjobs import __version__  # noqa: E402 - it is found by the line above

project = "airflow-nbjobs"
release = version = __version__
copyright = "the authors of airflow-nbjobs, Apache License 2.0"  # noqa: A001 - Sphinx's own name

extensions = ["myst_parser", "sphinx.ext.autodoc", "described"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
exclude_patterns = ["_build", "extensions"]
suppress_warnings = ["myst.strikethrough"]

autodoc_typehints = "none"  # the tables of arguments have the types
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
# References are to names of ours; those of Airflow, Google and Python are plain text, since no other site is read.
nitpick_ignore_regex = [("py:.*", r"(?!airflow_nbjobs\.).*")]

html_theme = "furo"
html_title = "airflow-nbjobs"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_search_scorer = str(Path(__file__).parent / "extensions/scorer.js")
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b57d0", "color-brand-content": "#0b57d0"},
    "dark_css_variables": {"color-brand-primary": "#8ab4f8", "color-brand-content": "#8ab4f8"},
}
