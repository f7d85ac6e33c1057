"""HTML, pictures and colored text of a notebook, made safe to show: an allowlist of elements and attributes.

A notebook is untrusted. What this module returns contains no script, no element that loads something, no style that
leaves its place, and no id that can be taken for one of the page's own.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from html import unescape

import nh3
from markupsafe import Markup
from nbconvert.filters import ansi2html, strip_ansi
from pygments.token import STANDARD_TYPES

__all__ = ["clean_ansi", "clean_code", "clean_html", "data_uri", "is_nested_too_deep", "valid"]

_ID_PREFIX = "in-notebook-"  # begins every id of a notebook's own HTML

_TAGS = {
    "a", "abbr", "b", "bdi", "bdo", "blockquote", "br", "caption", "center", "cite", "code", "col", "colgroup", "dd",
    "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "i", "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "rp", "rt", "ruby", "s", "samp", "small", "span",
    "strike", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt",
    "u", "ul", "var", "wbr",
}  # fmt: skip
# The content of these tags is not text to read.
_WITHOUT_CONTENT = {
    "applet", "audio", "canvas", "embed", "frame", "frameset", "head", "iframe", "math", "noembed", "noframes",
    "noscript", "object", "script", "select", "style", "svg", "template", "textarea", "title", "video", "xmp",
}  # fmt: skip
_ATTRIBUTES = {
    "*": {"dir", "id", "lang", "style", "title"},
    "a": {"href"},
    "col": {"span"},
    "colgroup": {"span"},
    "details": {"open"},
    "img": {"alt", "height", "src", "width"},
    "ol": {"reversed", "start", "type"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan", "scope"},
    "time": {"datetime"},
}
# They cannot load anything, leave their box, or lie above other content.
_STYLES = {
    "background-color", "border-collapse", "color", "font-family", "font-style", "font-weight", "text-align",
    "text-decoration", "vertical-align", "white-space",
}  # fmt: skip
_CODE_CLASSES = {"div": {"highlight"}, "span": {name for name in STANDARD_TYPES.values() if name}}
_COLORS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_ANSI_CLASSES = {
    "ansi-bold",
    "ansi-underline",
    "ansi-default-inverse-fg",
    "ansi-default-inverse-bg",
    *(f"ansi-{color}{end}" for color in _COLORS for end in ("-fg", "-bg", "-intense-fg", "-intense-bg")),
}
_URL_SCHEMES = {"data", "http", "https", "mailto"}

_ADDRESS = re.compile(r"https?://|mailto:", re.IGNORECASE)
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/\s]+={0,2}\s*")
_SIZE = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,10})?(?:px|%)?")
# Any whole start tag: nh3 before 0.3.7 leaves "<" in the values of attributes, where a tag must not be seen.
_TAG = re.compile(r"<([a-z][a-z0-9]*)((?:\s[^\s\"<>=]+(?:=\"[^\"]*\")?)*)>")
_ALT = re.compile(r' alt="([^"]*)"')
_HEADING = re.compile(r"(</?h)([1-5])(?=[ >])")
_ANY_TAG = re.compile(r"<(/?)([a-z][^\s/>]*+)", re.IGNORECASE)
# They have no end tag, or the next one of them ends them.
_FLAT = {
    "area", "br", "col", "dd", "dt", "hr", "img", "input", "li", "link", "meta", "option", "p", "td", "th", "tr", "wbr",
}  # fmt: skip
_MOST_NESTED = 500
_REFERENCE = re.compile(r"&(?:#[0-9]{1,20};?|#[xX][0-9a-fA-F]{1,20};?|[A-Za-z0-9]{1,32};?)?")
# Unicode leaves these two to programs. They stand for what takes nh3 quadratic time: ampersands and no-break spaces.
_STANDING_IN = {"&": "\ufdd0", "\xa0": "\ufdd1"}
_COLOR_SEQUENCE = re.compile(r"\x1b\[[0-9;]{0,30}m")
_MOST_COLORS = 2_000


def clean_html(html: str) -> Markup:
    """Return the safe part of HTML that a notebook contains.

    Kept are text, tables, lists, headings, pictures that are part of the text (``data:``) and links. Links open in a
    new tab; links inside of the notebook lead to its own ids. Headings are one level lower than in the notebook.
    """
    safe = _TAG.sub(_completed, _clean(_html_cleaner(), html))
    return Markup(_HEADING.sub(lambda found: f"{found[1]}{int(found[2]) + 1}", safe))  # noqa: S704 - here it becomes safe


def clean_code(html: str) -> Markup:
    """Return what Pygments made of code, with its classes only."""
    return Markup(_clean(_code_cleaner(), html))  # noqa: S704 - as above


def clean_ansi(text: str) -> Markup:
    """Return text with the colors of a terminal as HTML.

    Other sequences than colors are left out, and all of them in a text with more than 2,000 colors.
    """
    colors = _COLOR_SEQUENCE.findall(text)
    if len(colors) > _MOST_COLORS:
        return Markup.escape(strip_ansi(text))
    if "\x1b" in text:
        parts = [strip_ansi(part).replace("\x1b", "") for part in _COLOR_SEQUENCE.split(text)]
        text = "".join(part + color for part, color in zip(parts, [*colors, ""], strict=True))
        return Markup(_clean(_ansi_cleaner(), ansi2html(text)))  # noqa: S704 - as above
    return Markup.escape(text)


def data_uri(mime: str, content: str) -> str | None:
    """Return a picture as a ``data:`` URI, or ``None`` if the content is not of its MIME type.

    A browser runs no script of an SVG in an ``<img>``, and loads nothing for it.

    :param mime: of the picture.
    :param content: base64, or the text of an SVG.
    """
    if mime == "image/svg+xml":
        encoded = base64.b64encode(content.encode(errors="replace")).decode()
        return f"data:{mime};base64,{encoded}" if "<svg" in content else None
    encoded = "".join(content.split())
    try:
        beginning = base64.b64decode(encoded[:64], validate=True)
        base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return None
    return f"data:{mime};base64,{encoded}" if _SIGNATURES[mime](beginning) else None


_SIGNATURES: dict[str, Callable[[bytes], bool]] = {
    "image/png": lambda content: content.startswith(b"\x89PNG\r\n\x1a\n"),
    "image/jpeg": lambda content: content.startswith(b"\xff\xd8\xff"),
    "image/gif": lambda content: content.startswith((b"GIF87a", b"GIF89a")),
    "image/webp": lambda content: content[:4] == b"RIFF" and content[8:12] == b"WEBP",
}


def is_nested_too_deep(html: str) -> bool:
    """Return whether more than 500 elements are inside of each other: reading them takes quadratic time."""
    depth, opened = 0, Counter[str]()
    for found in _ANY_TAG.finditer(html):
        is_end, name = found[1], found[2].lower()
        if name in _FLAT or (is_end and not opened[name]):
            continue
        step = -1 if is_end else 1
        opened[name] += step
        depth += step
        if depth > _MOST_NESTED:
            return True
    return False


def valid(text: str) -> str:
    """Return a text without halves of surrogate pairs, which JSON can contain and UTF-8 cannot."""
    return text.encode(errors="replace").decode()


def _clean(cleaner: nh3.Cleaner, html: str) -> str:
    """Return what a cleaner keeps of HTML, in linear time."""
    held = _REFERENCE.sub(_held, valid(html).replace("\xa0", _STANDING_IN["\xa0"]))
    cleaned: str = cleaner.clean(held)
    return cleaned.replace(_STANDING_IN["&"], "&amp;").replace(_STANDING_IN["\xa0"], "&nbsp;")


def _held(found: re.Match[str]) -> str:
    """Return a character reference, or what stands in for the character that it is."""
    character, rest = (text := unescape(found[0]))[:1], text[1:]
    return f"{_STANDING_IN[character]}{rest}" if character in _STANDING_IN else found[0]


@cache
def _html_cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=_TAGS,
        clean_content_tags=_WITHOUT_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=_filter_attribute,
        url_schemes=_URL_SCHEMES,
        filter_style_properties=_STYLES,
        allowed_classes=_CODE_CLASSES,
        link_rel="noopener noreferrer",
    )


@cache
def _code_cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(tags={"div", "pre", "span"}, attributes={}, allowed_classes=_CODE_CLASSES)


@cache
def _ansi_cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(tags={"span"}, attributes={}, allowed_classes={"span": _ANSI_CLASSES})


def _filter_attribute(_tag: str, name: str, value: str) -> str | None:
    """Return the value of an attribute, or ``None`` to leave the attribute out."""
    if name == "src":
        return value if _DATA_IMAGE.fullmatch(value) else None
    if name == "id":
        return f"{_ID_PREFIX}{value}"
    if name == "href":
        if value.startswith("#"):
            return f"#{_ID_PREFIX}{value[1:]}"
        return value if _ADDRESS.match(value) else None
    if name in ("width", "height"):
        return value if _SIZE.fullmatch(value) else None
    if name == "style":
        return None if "url" in value.lower() or "\\" in value else value
    return value


def _completed(found: re.Match[str]) -> str:
    """Return the tag of a link or a picture, with what the notebook did not say."""
    tag, attributes = found.groups()
    if tag not in ("a", "img"):
        return found[0]
    if tag == "a":
        is_outside = " href=" in attributes and ' href="#' not in attributes
        return f'<a target="_blank"{attributes}>' if is_outside else f"<a{attributes}>"
    alt = _ALT.search(attributes)
    if " src=" not in attributes:
        about = f": {alt[1]}".replace("<", "&lt;").replace(">", "&gt;") if alt and alt[1] else ""
        return f'<span class="absent">A picture from elsewhere is not shown{about}</span>'
    return f"<img{attributes}>" if alt else f'<img alt="Picture without a description"{attributes}>'
