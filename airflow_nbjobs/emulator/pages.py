"""Pages for a person with a browser: the latest jobs, and the executed notebook of each.

The emulator itself cannot render notebooks. The command ``nbjobs emulator`` gives it what does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from airflow_nbjobs.emulator.jobs import states
from airflow_nbjobs.emulator.jobs.book import Book, Job
from airflow_nbjobs.emulator.jobs.execution import output_uri
from airflow_nbjobs.emulator.storage.model import Storage, StorageError

Render = Callable[[bytes, str, bool], bytes]
"""Returns a notebook as a safe HTML document, given its content, a title, and whether its job has failed."""

_MAX_JOBS = 100
_STYLE = """
:root { color-scheme: light dark } a { color: light-dark(#155dfc, #8ec5ff) }
body { background: light-dark(#fff, #161d2d); color: light-dark(#161d2d, #f8fafd); margin: 16px;
  font: 14px/1.5 Inter, -apple-system, system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
h1 { font-size: 20px } table { border-collapse: collapse }
td, th { border-bottom: 1px solid light-dark(#dee3ea, #293c51); padding: 4px 12px 4px 0; text-align: left }
"""
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
# Nothing of the pages is loaded from anywhere, and they run no script, whatever a job's name or its notebook contains.
# A notebook's page is of no origin: what is on it could not even pass for a page of the emulator.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
_OF_JOBS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
_OF_NOTEBOOK = {
    "Content-Security-Policy": f"{_POLICY}; sandbox allow-popups allow-popups-to-escape-sandbox",
    "Cache-Control": "no-store",
}


class Pages:
    """The pages, as routes.

    :param book: the jobs.
    :param storage: where the executed notebooks are.
    :param render: renders a notebook; ``None`` if nothing here can.
    """

    def __init__(self, book: Book, storage: Storage, render: Render | None) -> None:
        self._book = book
        self._storage = storage
        self._render = render
        self._turn = asyncio.Semaphore(1)  # a large notebook takes seconds of a core

    def routes(self) -> list[Route]:
        """Return the routes; :mod:`.guard` knows their paths."""
        return [
            Route("/", self._jobs, methods=["GET"]),
            Route("/_emulator/jobs/{job}/notebook", self._notebook, methods=["GET"]),
        ]

    async def _jobs(self, request: Request) -> Response:  # noqa: ARG002 - an endpoint takes it
        jobs = self._book.latest(_MAX_JOBS)
        heads = ("Created", "State", "Display name", "Executed notebook", "Name", "Message")
        body = (
            f"<p>The latest {len(jobs)} jobs. Cloud Storage: {escape(self._storage.url)}</p>\n<table><tr>"
            + "".join(f"<th>{head}</th>" for head in heads)
            + "</tr>\n"
            + "\n".join(map(self._row, jobs))
            + "\n</table>"
        )
        return HTMLResponse(_page("nbjobs emulator", body), headers=_OF_JOBS)

    def _row(self, job: Job) -> str:
        wire = job.to_wire()
        link = "" if self._render is None or job.is_active else f'<a href="/_emulator/jobs/{job.id}/notebook">open</a>'
        texts = [escape(text) for text in (wire["createTime"], job.state, wire["displayName"])]
        more = [escape(text) for text in (job.name, (job.status or {}).get("message", ""))]
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in (*texts, link, *more)) + "</tr>"

    async def _notebook(self, request: Request) -> Response:
        job = self._book.find_id(request.path_params["job"])
        if job is None:
            return _problem("This job does not exist.", 404)
        if self._render is None:
            return _problem("This emulator does not render notebooks: start it with `nbjobs emulator`.", 501)
        uri = output_uri(job)
        try:
            content = await self._storage.read(uri)
        except StorageError as error:
            return _problem(f"The executed notebook was not written, or was deleted: {error}", 404)
        title = f"{job.body['displayName']} ({job.state.removeprefix('JOB_STATE_')})"
        async with self._turn:
            try:
                html = await asyncio.to_thread(self._render, content, title, job.state == states.FAILED)
            except Exception as error:  # noqa: BLE001 - each renderer raises other errors
                return _problem(f"{error} The notebook is {uri}.", 500)
        return Response(html, headers=_OF_NOTEBOOK, media_type="text/html")


def _problem(text: str, status: int) -> Response:
    body = f'<p>{escape(text)}</p><p><a href="/">All jobs</a></p>'
    return HTMLResponse(_page("Executed notebook", body), status, headers=_OF_JOBS)


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=escape(title), style=_STYLE, body=body)
