"""The routes of the emulator: Google's methods under ``/v1``, its own endpoints under ``/_emulator``."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_nbjobs.emulator.admin import methods as admin_methods
from airflow_nbjobs.emulator.connections import DroppedResponse, TruncatedResponse
from airflow_nbjobs.emulator.database import nanoseconds, timestamp
from airflow_nbjobs.emulator.dataform import methods as dataform_methods
from airflow_nbjobs.emulator.dataform.model import Repositories
from airflow_nbjobs.emulator.errors import ServiceError, invalid
from airflow_nbjobs.emulator.faults import Faults, read_move
from airflow_nbjobs.emulator.http import Method, error_answer, json_answer, read_body, read_request
from airflow_nbjobs.emulator.jobs import methods as job_methods
from airflow_nbjobs.emulator.jobs.model import Jobs
from airflow_nbjobs.emulator.pages import Pages
from airflow_nbjobs.emulator.resources import project_number
from airflow_nbjobs.emulator.schedules import methods as schedule_methods
from airflow_nbjobs.emulator.schedules.model import Schedules
from airflow_nbjobs.emulator.templates import methods as template_methods
from airflow_nbjobs.emulator.templates.model import Templates

_STORAGE_PATHS = ("/storage/", "/upload/", "/download/")


class App:
    """The ASGI application :attr:`asgi`, and what it serves.

    :param jobs: the jobs to serve.
    :param schedules: what creates jobs by the clock.
    :param templates: the runtime templates.
    :param repositories: Dataform's repositories.
    :param faults: the failures that were asked for.
    :param pages: the pages for people.
    :param storage_url: the address of Cloud Storage.
    """

    def __init__(
        self,
        jobs: Jobs,
        schedules: Schedules,
        templates: Templates,
        repositories: Repositories,
        faults: Faults,
        pages: Pages,
        storage_url: str,
    ) -> None:
        self.jobs = jobs
        self.schedules = schedules
        self.repositories = repositories
        self.faults = faults
        self._storage_url = storage_url
        self._answered: defaultdict[str, Counter[str]] = defaultdict(Counter)
        methods = [
            *job_methods.routes(jobs),
            *schedule_methods.routes(schedules),
            *template_methods.routes(templates),
            *dataform_methods.routes(repositories),
            *admin_methods.routes(),
        ]
        routes = [Route(path, self._endpoint(name, act), methods=[verb]) for path, verb, name, act in methods]
        routes += [
            *pages.routes(),
            Route("/_emulator/health", self._health, methods=["GET"]),
            Route("/_emulator/jobs", self._book, methods=["GET"]),
            Route("/_emulator/jobs/{job}", self._move, methods=["POST"]),
            Route("/_emulator/clock", self._clock, methods=["GET", "POST"]),
            Route("/_emulator/requests", self._requests, methods=["GET", "DELETE"]),
            Route("/_emulator/faults", self._faults, methods=["GET", "POST", "DELETE"]),
        ]
        handlers: dict[Any, Any] = dict.fromkeys((ServiceError, HTTPException, Exception), self._failed)
        self.asgi = Starlette(routes=routes, exception_handlers=handlers)
        # A path with an additional slash is not found: a client that follows a redirect would turn a create into a GET.
        self.asgi.router.redirect_slashes = False

    def requests(self) -> dict[str, dict[str, int]]:
        """Count the requests since the start or the last reset.

        :returns: ``{method: {HTTP status or "dropped": count}}``; a truncated answer counts as dropped.
        """
        return {name: dict(sorted(counts.items())) for name, counts in sorted(self._answered.items())}

    def reset_requests(self) -> None:
        """Set all counts of requests to zero."""
        self._answered.clear()

    def _endpoint(self, name: str, act: Method) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                response = await self._answer(request, name, act)
            except ServiceError as error:
                response = error_answer(error)
            except asyncio.CancelledError:  # only the end of the emulator does that
                response = error_answer(ServiceError(503, "The emulator is stopping."))
            dropped = isinstance(response, DroppedResponse | TruncatedResponse)
            self._answered[name]["dropped" if dropped else str(response.status_code)] += 1
            return response

        return endpoint

    async def _answer(self, request: Request, name: str, act: Method) -> Response:
        # The body is read first: a create that is delayed acts even when its client has closed the connection.
        call = await read_request(request)
        project = project_number(request.path_params["project"])
        self.faults.check_quota(name, project)
        fault = self.faults.meet(name, project)
        if fault is None:
            return json_answer(await act(call))
        answer = await act(call) if fault.phase == "after" else None
        await asyncio.sleep(fault.delay_seconds)
        if fault.drop:
            return DroppedResponse()
        error = fault.error()
        if error is None and answer is None:
            answer = await act(call)
        spoiled = json_answer(answer) if error is None else error_answer(error)
        if fault.body is not None:  # a proxy's page, with the status and the Retry-After of the answer
            kept = {name: value for name, value in spoiled.headers.items() if name == "retry-after"}
            spoiled = Response(fault.body, spoiled.status_code, kept, media_type="text/html")
        return TruncatedResponse(spoiled) if fault.truncate else spoiled

    async def _health(self, request: Request) -> Response:  # noqa: ARG002 - an endpoint takes it
        return json_answer({"status": "ok"})

    async def _book(self, request: Request) -> Response:
        project = request.query_params.get("project")
        return json_answer({"jobs": self.jobs.book.everything(project_number(project) if project else None)})

    async def _move(self, request: Request) -> Response:
        state, message = read_move(await read_body(request))
        await self.jobs.move_to(request.path_params["job"], state, message)
        return json_answer({"state": state})

    async def _clock(self, request: Request) -> Response:
        clock = self.jobs.book.clock
        if request.method == "POST":
            self.schedules.move_clock(_read_move(await read_body(request)))
        return json_answer({"time": timestamp(clock.peek())})

    async def _requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.reset_requests()
        return json_answer(self.requests())

    async def _faults(self, request: Request) -> Response:
        if request.method == "POST":
            self.faults.add(await read_body(request))
        elif request.method == "DELETE":
            self.faults.clear()
        return json_answer({"faults": self.faults.accounts()})

    async def _failed(self, request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            path = request.url.path
            text = f"{error.detail}: {request.method} {path}"
            if path.startswith(_STORAGE_PATHS):
                text += (
                    f". This is the port of Vertex AI; Cloud Storage is at {self._storage_url}. Check that "
                    "NBJOBS_EMULATOR_HOST and STORAGE_EMULATOR_HOST are not swapped."
                )
            error = ServiceError(error.status_code, text)
        elif not isinstance(error, ServiceError):
            error = ServiceError(500, f"The emulator itself failed: {type(error).__name__}: {error}")
        return error_answer(error)


def _read_move(asked: object) -> datetime | timedelta:
    """Read ``{"time": …}`` or ``{"advance_seconds": …}``.

    :raises ServiceError: 400 when it is malformed.
    """
    match asked:
        case {"time": str(text), **rest} if not rest:
            try:
                return datetime.fromtimestamp(nanoseconds(text) / 10**9, UTC)
            except ValueError as error:
                raise invalid("time", f"Invalid time: {error}.") from None
        case {"advance_seconds": (int() | float()) as seconds, **rest} if not rest and _is_span(seconds):
            return timedelta(seconds=seconds)
    raise invalid("", f"A move of the clock is a JSON object with time (RFC 3339) or advance_seconds, not {asked!r}.")


def _is_span(seconds: float) -> bool:
    return not isinstance(seconds, bool) and 0 <= seconds <= 10**9
