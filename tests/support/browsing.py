"""Pages in a real browser: Debian's Chromium without a window, and a server that sees whatever it requests."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["Visit", "visit"]

_SECONDS = 300
_OF_CHROMIUM = (".google.com", ".googleapis.com", ".gvt1.com")  # which it asks for the time and for updates
# Loads one page after the other into a frame, touches whatever can be touched, and reports what the page has become.
_DRIVER = """<!DOCTYPE html><title>driver</title><script>
const pause = (time) => new Promise((done) => setTimeout(done, time));
async function visit(number) {
  const frame = document.createElement("iframe");
  const loaded = new Promise((done) => frame.addEventListener("load", done, {once: true}));
  frame.src = `/page/${number}`;
  document.body.append(frame);
  await loaded;
  await pause(50);
  const page = frame.contentDocument;
  for (const element of page.querySelectorAll("body *")) {
    for (const kind of ["mouseover", "mouseenter", "focus", "wheel", "toggle", "animationstart", "error", "load"])
      element.dispatchEvent(new frame.contentWindow.Event(kind, {bubbles: true}));
    if (element.localName === "details") element.open = true;
    if (element.localName === "a" && !/^(https?:|mailto:|$)/.test(element.protocol)) element.click();
  }
  await pause(50);
  await fetch(`/became/${number}`, {method: "POST", body: frame.contentDocument.documentElement.outerHTML});
  frame.remove();
}
(async () => {
  const count = await (await fetch("/count")).json();
  for (let number = 0; number < count; number++) await visit(number);
  await pause(500);
  await fetch("/done", {method: "POST"});
})();
</script><body></body>"""


@dataclass
class Visit:
    """What a browser did with pages.

    :ivar requested: what it requested beside the pages themselves, each as host and path.
    :ivar became: the pages as they were in the end, by number.
    """

    requested: list[str] = field(default_factory=list)
    became: dict[int, str] = field(default_factory=dict)


def visit(pages: Sequence[str], folder: Path) -> Visit:
    """Visit pages, whose addresses all lead to this server.

    :param pages: HTML documents; ``CANARY`` in them becomes the address of the server.
    :param folder: for the browser's profile.
    """
    seen, done = Visit(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            kind, _, number = self.path.strip("/").partition("/")
            is_own = self.headers.get("host", "").startswith("127.0.0.1:")
            answer = ""
            if is_own and self.path == "/":
                answer = _DRIVER
            elif is_own and self.path == "/count":
                answer = json.dumps(len(pages))
            elif is_own and kind == "page" and number.isdigit():
                answer = pages[int(number)].replace("CANARY", f"http://127.0.0.1:{port}/canary")
            elif is_own and kind == "became":
                seen.became[int(number)] = sent
            elif is_own and self.path == "/done":
                done.set()
            elif self.path != "/favicon.ico" and not self.headers.get("host", "").endswith(_OF_CHROMIUM):
                seen.requested.append(f"{self.headers.get('host')}{self.path}")
            content = answer.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - http.server's own name

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
            """Keep silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is not installed. Run `make test-ui`, or apt install chromium."
    options = (
        "--headless=new",
        "--no-sandbox",  # a container's root cannot have one
        "--disable-gpu",
        "--disable-background-networking",
        "--autoplay-policy=no-user-gesture-required",
        f"--user-data-dir={folder / 'profile'}",
        f"--host-resolver-rules=MAP * 127.0.0.1:{port}",
        "--remote-debugging-port=0",  # without it, Chromium ends when the page is loaded
    )
    browser = subprocess.Popen(
        [chromium, *options, f"http://127.0.0.1:{port}/"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert done.wait(_SECONDS), f"The browser has visited {len(seen.became)} of {len(pages)} pages."
    finally:
        browser.terminate()
        try:
            browser.wait(120)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()
        server.shutdown()
        server.server_close()
        thread.join()
    return seen
