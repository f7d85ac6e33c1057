"""What a page of a notebook may consist of, read by a parser that follows the standard as browsers do."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import html5lib

__all__ = ["problems"]

_XHTML = "{http://www.w3.org/1999/xhtml}"
_FRAME = {"html", "head", "meta", "title", "style", "body", "header", "main", "article"}
_CONTENT = {
    "a", "abbr", "b", "bdi", "bdo", "blockquote", "br", "caption", "center", "cite", "code", "col", "colgroup", "dd",
    "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "i", "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "rp", "rt", "ruby", "s", "samp", "small", "span",
    "strike", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt",
    "u", "ul", "var", "wbr",
}  # fmt: skip
_ANYWHERE = {"class", "dir", "id", "lang", "style", "title", "role", "aria-label", "tabindex"}
_ATTRIBUTES = {
    "a": {"href", "rel", "target"}, "col": {"span"}, "colgroup": {"span"}, "details": {"open"},
    "html": {"data-theme"}, "img": {"alt", "height", "src", "width"},
    "meta": {"charset", "http-equiv", "content", "name"},
    "ol": {"reversed", "start", "type"}, "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan", "scope"}, "time": {"datetime"},
}  # fmt: skip
_STYLES = {
    "background-color", "border-collapse", "color", "font-family", "font-style", "font-weight", "text-align",
    "text-decoration", "vertical-align", "white-space",
}  # fmt: skip
_FETCHES = re.compile(r"url|image|expression|\\", re.IGNORECASE)
_OWN_ID = re.compile(r"cell-[0-9]+|failed-cell")
_LINK = re.compile(r"(?:https?://|mailto:).*|#(?:in-notebook-.*|cell-[0-9]+|failed-cell)", re.DOTALL)
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*")

_VALUES = {"href": _LINK, "src": _PICTURE, "target": re.compile("_blank")}


def problems(page: str) -> Iterator[str]:
    """Return what a page has that it must not have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        tree = html5lib.parse(page)
    ids: set[str] = set()
    for element in tree.iter():
        if not isinstance(element.tag, str):
            yield f"a comment: {element.text}"
            continue
        if not element.tag.startswith(_XHTML):
            yield f"an element of another language: {element.tag}"
            continue
        name = element.tag.removeprefix(_XHTML)
        if name not in _FRAME | _CONTENT:
            yield f"<{name}>"
        for attribute, value in element.attrib.items():
            yield from _problems_of_attribute(name, str(attribute), str(value), ids)
    yield from _problems_of_frame(tree)


def _problems_of_attribute(element: str, name: str, value: str, ids: set[str]) -> Iterator[str]:
    shown = f"<{element} {name}={value[:100]!r}>"
    if name not in _ANYWHERE | _ATTRIBUTES.get(element, set()):
        yield shown
    elif name == "id":
        is_own = _OWN_ID.fullmatch(value) is not None
        if not (is_own or value.startswith("in-notebook-")) or (is_own and value in ids):
            yield shown
        ids.add(value)
    elif (patterns := _VALUES.get(name)) and not patterns.fullmatch(value):
        yield shown
    elif name == "style":
        names = {declaration.partition(":")[0].strip() for declaration in value.split(";") if declaration}
        if not names <= _STYLES or _FETCHES.search(value):
            yield shown


def _problems_of_frame(tree: Any) -> Iterator[str]:
    """Return what is wrong with the elements of which there is only one, and with links."""
    for name in ("head", "title", "style", "body", "header", "main"):
        if len(list(tree.iter(f"{_XHTML}{name}"))) != 1:
            yield f"not one <{name}>"
    head = next(tree.iter(f"{_XHTML}head"))
    if [child.tag.removeprefix(_XHTML) for child in head] != ["meta", "meta", "meta", "meta", "title", "style"]:
        yield "another head"
    if len(list(tree.iter(f"{_XHTML}meta"))) != 4:
        yield "a <meta> outside of the head"
    for link in tree.iter(f"{_XHTML}a"):
        if link.get("href", "#").startswith("#"):
            continue
        if link.get("target") != "_blank" or "noopener" not in link.get("rel", ""):
            yield f"a link that does not open apart: {link.get('href')}"
