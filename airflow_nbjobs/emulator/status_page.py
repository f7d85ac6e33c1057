"""The page of the latest jobs, for a person with a browser."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from starlette.responses import HTMLResponse

from airflow_nbjobs.emulator.jobs.book import Job

MAX_JOBS = 100

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>nbjobs emulator</title>
<style>body {{font-family: sans-serif}} td, th {{text-align: left; padding: .2em 1em .2em 0}}</style>
</head><body><h1>nbjobs emulator</h1>
<p>The latest {count} jobs. Cloud Storage: {storage_url}</p>
<table><tr><th>Created</th><th>State</th><th>Display name</th><th>Name</th><th>Message</th></tr>
{rows}
</table></body></html>
"""
# Nothing of the page is loaded from anywhere, and it runs no script, whatever a job's name contains.
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}


def status_page(jobs: Sequence[Job], storage_url: str) -> HTMLResponse:
    """Return a page with one row for each job."""
    rows = []
    for job in jobs:
        wire = job.to_wire()
        message = (job.status or {}).get("message", "")
        cells = (wire["createTime"], job.state, wire["displayName"], job.name, message)
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    page = _PAGE.format(count=len(rows), storage_url=escape(storage_url), rows="\n".join(rows))
    return HTMLResponse(page, headers=_HEADERS)
