"""The app behind the tab: its routes, and who may ask.

Each route asks Airflow whether the user may read the task instances, the logs and the XComs of the DAG: a notebook
contains what logs and XComs contain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from importlib.resources import files
from itertools import chain, repeat, takewhile
from typing import Annotated, Any, BinaryIO, Literal
from uuid import UUID

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from airflow_nbjobs.notebooks.page_files import strict_json
from airflow_nbjobs.plugin.extra import check_extra
from airflow_nbjobs.plugin.headers import FRAME, attachment
from airflow_nbjobs.plugin.job import new_hook
from airflow_nbjobs.plugin.look import Looks
from airflow_nbjobs.plugin.notebook import ShownNotebook, check_size, read_notebook
from airflow_nbjobs.plugin.page_cache import CachedPage, PageCache, sentence_page
from airflow_nbjobs.plugin.regions import has_regions
from airflow_nbjobs.plugin.state import read_state
from airflow_nbjobs.plugin.task_instance import Place, TaskRecord, read_task
from airflow_nbjobs.plugin.unavailable import Unavailable
from airflow_nbjobs.secrecy import masked

__all__ = ["make_app"]

_ENTITIES = (DagAccessEntity.TASK_INSTANCE, DagAccessEntity.TASK_LOGS, DagAccessEntity.XCOM)
_CHUNK_BYTES = (2**16, 2**20)  # the first is small: the browser paints the first cells while it reads the others
_STATIC = {"tab": "text/html", "tab.js": "text/javascript", "tab.css": "text/css"}

router = APIRouter(
    prefix="/tasks/{dag_id}/{run_id}/{task_id}/{map_index}",
    dependencies=[Depends(requires_access_dag("GET", entity)) for entity in _ENTITIES],
)

Theme = Literal["light", "dark"]
TryNumber = Annotated[int | None, Query(alias="try", ge=0, le=100_000)]


def _task(
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: str,
    region_id: UUID | None = None,
    region_index: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> TaskRecord:
    region = (region_id, region_index) if region_id is not None and has_regions() else None
    place = Place.parse(dag_id, run_id, task_id, map_index, region)
    task = None if place is None else read_task(place)
    if task is None:
        raise HTTPException(404, "This task instance does not exist.")
    return task


Task = Annotated[TaskRecord, Depends(_task)]


def _number(task: TaskRecord, number: int | None) -> int:
    if number is None:
        return task.current.number
    if all(each.number != number for each in task.tries):
        raise HTTPException(404, "This try does not exist.")
    return number


@router.get("/tab")
@router.get("/tab.js")
@router.get("/tab.css")
def _static(request: Request) -> Response:
    """Return a part of the tab that is the same for all tasks."""
    name = request.url.path.rpartition("/")[2]
    file = files("airflow_nbjobs.plugin").joinpath("static", name if "." in name else f"{name}.html")
    return Response(file.read_bytes(), media_type=_STATIC[name])


@router.get("/state")
def _state(request: Request, task: Task, number: TryNumber = None) -> JSONResponse:
    """Return what the header shows."""
    number = _number(task, number)
    return JSONResponse(strict_json(read_state(task, number, _looks(request).new(task, number))))


@router.get("/frame")
async def _frame(request: Request, task: Task, theme: Theme = "light", number: TryNumber = None) -> Response:
    """Return the notebook as a document without scripts, for the frame of the tab."""
    try:
        page = await _page(request, task, _number(task, number), theme)
    except Unavailable as why:
        return HTMLResponse(sentence_page(str(why), theme), 404, headers={"Content-Security-Policy": FRAME})
    return _sent(page.html(), "text/html; charset=utf-8", {"Content-Security-Policy": FRAME})


@router.get("/facts")
async def _facts(request: Request, task: Task, theme: Theme = "light", number: TryNumber = None) -> Response:
    """Return what the notebook itself says: its cells with their times, and its parameters."""
    try:
        page = await _page(request, task, _number(task, number), theme)
    except Unavailable as why:
        return _refusal(why)
    found = page.facts()
    return JSONResponse(found | {"parameters": masked(found["parameters"])})


@router.get("/notebook.html")
async def _html(request: Request, task: Task, number: TryNumber = None) -> Response:
    """Return the notebook as one HTML file to keep."""
    try:
        page = await _page(request, task, _number(task, number), "auto")
    except Unavailable as why:
        return _refusal(why)
    file = page.notebook.file.removesuffix(".ipynb")
    return _sent(page.html(), "text/html; charset=utf-8", attachment(f"{file}.html"))


@router.get("/notebook.ipynb")
def _ipynb(request: Request, task: Task, number: TryNumber = None) -> Response:
    """Return the notebook itself."""
    try:
        shown = _looks(request).of_view(task, _number(task, number)).notebook()
        with ExitStack() as sources:
            hook = sources.enter_context(closing(new_hook()))
            chunks = sources.enter_context(closing(read_notebook(shown, hook)))
            first = next(chunks, b"")  # then it is known whether there is a notebook to send
            kind = "application/x-ipynb+json"
            return _Streamed(chain([first], chunks), sources.pop_all(), kind, attachment(shown.file))
    except Unavailable as why:
        return _refusal(why)


def make_app() -> FastAPI:
    """Return the app. Airflow mounts it, and does not call its lifespan."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.looks, app.state.pages = Looks(), PageCache()
    app.include_router(router)
    return app


async def _page(request: Request, task: TaskRecord, number: int, theme: Literal["light", "dark", "auto"]) -> CachedPage:
    shown = await run_in_threadpool(_shown, _looks(request), task, number)
    pages: PageCache = request.app.state.pages
    return await pages.page(shown, theme)


def _looks(request: Request) -> Looks:
    looks: Looks = request.app.state.looks
    return looks


def _shown(looks: Looks, task: TaskRecord, number: int) -> ShownNotebook:
    shown = looks.of_view(task, number).notebook()
    check_size(shown)
    check_extra()
    return shown


def _refusal(why: Unavailable) -> JSONResponse:
    return JSONResponse({"problem": {"code": why.code, "message": str(why)}}, 404)


def _sent(file: BinaryIO, media_type: str, headers: dict[str, str]) -> Response:
    """Return a file in chunks. It is open, so that it is sent whole if the cache drops it meanwhile."""
    with ExitStack() as sources:
        sources.enter_context(file)
        sizes = chain(_CHUNK_BYTES[:1], repeat(_CHUNK_BYTES[1]))
        return _Streamed(takewhile(bool, map(file.read, sizes)), sources.pop_all(), media_type, headers)


class _Streamed(StreamingResponse):
    """Send chunks, and close what they come from, also if the reader leaves before the first one is sent."""

    def __init__(self, chunks: Iterator[bytes], sources: ExitStack, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(chunks, media_type=media_type, headers=headers)
        self._sources = sources

    async def __call__(self, *call: Any) -> None:
        with self._sources:
            await super().__call__(*call)
