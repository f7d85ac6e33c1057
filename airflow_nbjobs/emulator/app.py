"""The HTTP face of the emulator: Google's methods under ``/v1``, its own endpoints under ``/_emulator``."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from airflow_nbjobs.emulator import dataform_methods, methods
from airflow_nbjobs.emulator.connections import BrokenOff, Dropped
from airflow_nbjobs.emulator.errors import ApiError
from airflow_nbjobs.emulator.faults import read_move
from airflow_nbjobs.emulator.http import error_answer, json_answer, page_answer, read_body, read_query
from airflow_nbjobs.emulator.ids import project_number

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_nbjobs.emulator.connections import Connections
    from airflow_nbjobs.emulator.dataform import Repositories
    from airflow_nbjobs.emulator.faults import Faults
    from airflow_nbjobs.emulator.jobs import Jobs

_JOBS = "/projects/{project}/locations/{location}/notebookExecutionJobs"
_JOB = _JOBS + "/{job}"
_OPERATION = _JOB + "/operations/{operation}"


class App:
    """What the emulator serves.

    :param jobs: the jobs to serve.
    :param repositories: Dataform's, with notebooks of jobs.
    :param faults: what is to go wrong.
    :param connections: the server's open connections, which a fault may cut.
    """

    def __init__(self, jobs: Jobs, repositories: Repositories, faults: Faults, connections: Connections) -> None:
        self.jobs = jobs
        self.repositories = repositories
        self.faults = faults
        self._answered: Counter[tuple[str, str]] = Counter()
        self._connections = connections
        handlers: dict[Any, Any] = {ApiError: _refused, HTTPException: _no_route, Exception: _broken}
        self.asgi = Starlette(routes=[*self._google_routes(), *self._own_routes()], exception_handlers=handlers)
        # A path with a slash too many is not found: following a redirect would make a GET of a create.
        self.asgi.router.redirect_slashes = False

    def requests(self) -> dict[str, dict[str, int]]:
        """Count the requests since the start or the last reset: by method, then by HTTP status or ``dropped``.

        An answer that broke off counts as dropped too.
        """
        counts: dict[str, dict[str, int]] = {}
        for (name, outcome), count in sorted(self._answered.items()):
            counts.setdefault(name, {})[outcome] = count
        return counts

    def reset_requests(self) -> None:
        """Begin to count anew."""
        self._answered.clear()

    def _google_routes(self) -> list[Route]:
        routes = [
            ("/v1" + _JOBS, "POST", "create", methods.create),
            ("/v1" + _JOBS, "GET", "list", methods.list_jobs),
            ("/v1" + _JOB, "GET", "get", methods.get),
            ("/v1" + _JOB, "DELETE", "delete", methods.delete),
            *dataform_methods.routes(self.repositories),
        ]
        # Google's own client asks for operations under /ui, the first of the bindings in its service description.
        for prefix in ("/v1", "/ui"):
            routes += [
                (prefix + _JOB + "/operations", "GET", "list_operations", methods.list_operations),
                (prefix + _OPERATION + ":cancel", "POST", "cancel", methods.cancel),
                (prefix + _OPERATION + ":wait", "POST", "wait_operation", methods.wait_operation),
                (prefix + _OPERATION, "GET", "get_operation", methods.get_operation),
                (prefix + _OPERATION, "DELETE", "delete_operation", methods.delete_operation),
            ]
        return [Route(path, self._endpoint(name, act), methods=[verb]) for path, verb, name, act in routes]

    def _own_routes(self) -> list[Route]:
        return [
            Route("/_emulator/health", self._health, methods=["GET"]),
            Route("/_emulator/jobs", self._book, methods=["GET"]),
            Route("/_emulator/jobs/{job}", self._play, methods=["POST"]),
            Route("/_emulator/requests", self._requests, methods=["GET", "DELETE"]),
            Route("/_emulator/faults", self._faults, methods=["GET", "POST", "DELETE"]),
        ]

    def _endpoint(self, name: str, act: methods.Method) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                response = await self._answer(request, name, act)
            except ApiError as error:
                response = error_answer(error)
            except asyncio.CancelledError:  # only the end of the emulator does that
                response = error_answer(ApiError(503, "The emulator is stopping."))
            outcome = "dropped" if isinstance(response, Dropped | BrokenOff) else str(response.status_code)
            self._answered[name, outcome] += 1
            return response

        return endpoint

    async def _answer(self, request: Request, name: str, act: methods.Method) -> Response:
        # The body is read first: a create that is stalled acts even when its client has hung up.
        call = methods.Call(self.jobs, request.path_params, read_query(request), await read_body(request))
        project = project_number(request.path_params["project"])
        self.faults.check_quota(name, project)
        fault = self.faults.meet(name, project)
        if fault is None:
            return json_answer(await act(call))
        answer = await act(call) if fault.acts_first else None
        await asyncio.sleep(fault.delay_seconds)
        if fault.drops:
            return Dropped(self._connections)
        error = fault.error()
        if error is None and answer is None:
            answer = await act(call)
        spoiled = json_answer(answer) if error is None else error_answer(error)
        if fault.text is not None:
            spoiled = page_answer(fault.text, spoiled)
        return BrokenOff(self._connections, spoiled) if fault.breaks_off else spoiled

    async def _health(self, request: Request) -> Response:  # noqa: ARG002 - an endpoint takes it
        return json_answer({"status": "ok"})

    async def _book(self, request: Request) -> Response:
        project = request.query_params.get("project")
        return json_answer({"jobs": self.jobs.book.everything(project_number(project) if project else None)})

    async def _play(self, request: Request) -> Response:
        state, message = read_move(await read_body(request))
        await self.jobs.lead(request.path_params["job"], state, message)
        return json_answer({"state": state})

    async def _requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.reset_requests()
        return json_answer(self.requests())

    async def _faults(self, request: Request) -> Response:
        if request.method == "POST":
            self.faults.ask(await read_body(request))
        elif request.method == "DELETE":
            self.faults.clear()
        return json_answer({"faults": self.faults.accounts()})


async def _refused(request: Request, error: ApiError) -> Response:  # noqa: ARG001 - a handler takes it
    return error_answer(error)


async def _no_route(request: Request, error: HTTPException) -> Response:
    text = f"{error.detail}: {request.method} {request.url.path}"
    return error_answer(ApiError(error.status_code, text))


async def _broken(request: Request, error: Exception) -> Response:  # noqa: ARG001 - a handler takes it
    return error_answer(ApiError(500, f"The emulator itself failed: {type(error).__name__}: {error}"))
