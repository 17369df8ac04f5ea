"""The HTTP application: request ids, logins, problems and log lines around the routes."""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from control_plane.console.console import Console
from control_plane.console.local_path import ROOT
from control_plane.errors import (
    ControlPlaneError,
    NotAuthenticatedError,
    NotPermittedError,
    TooManyRequestsError,
)
from control_plane.http.denied_logins import DeniedLogins
from control_plane.http.http_call import MAX_BODY_BYTES, Call, bearer_token
from control_plane.http.http_route import Route
from control_plane.http.problems import INTERNAL, problem_of, problem_of_http
from control_plane.http.request_marks import is_operators, is_told, note_operator
from control_plane.http.stranger_pace import StrangerPace
from control_plane.metrics import ControlPlaneMetrics
from control_plane.operators.permissions import require
from control_plane.operators.stranger_lines import StrangerLines
from control_plane.serving.routes import Api
from control_plane.single_sign_on.callers import Callers
from shared.structured_log import get_logger, log_context

NO_ROUTE: Final = "none"
_HEADERS: Final = {
    "Server": "control-plane",  # it does not tell the versions of libraries
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

_log = get_logger("control_plane.app")


def make_app(
    api: Api,
    callers: Callers,
    metrics: ControlPlaneMetrics,
    lines: StrangerLines,
    pace: StrangerPace,
    console: Console | None = None,
) -> web.Application:
    """Return the application, with the console unless it was taken away."""
    denied = DeniedLogins(metrics.denied_logins.inc, lines)
    answering = _answering(metrics, lines, pace, console)
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[answering])
    for path, handler in api.open_routes():
        app.router.add_route("GET", path, handler)
    for route in api.routes():
        answer = _for_operators(route, callers, denied)
        app.router.add_route(route.method, route.path, answer)
    if console is not None:
        console.add_to(app)
    return app


def _for_operators(
    route: Route, callers: Callers, denied: DeniedLogins
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            operator = await callers.let_in(bearer_token(request), request.remote or "")
        except (NotAuthenticatedError, NotPermittedError, TooManyRequestsError) as error:
            denied.note(error, request, route.path)
            raise
        note_operator(request)
        with log_context(actor=operator.name, actor_name=operator.display_name, role=operator.role):
            require(operator.role, route.role)
            response = await route.handler(Call(request, operator))
            if request.method != "GET":
                _log.info("act done", method=route.method, route=route.path)
            return response

    return answer


def _answering(
    metrics: ControlPlaneMetrics,
    lines: StrangerLines,
    pace: StrangerPace,
    console: Console | None,
) -> Middleware:
    @web.middleware
    async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id, began = uuid4().hex, time.monotonic()
        with log_context(request_id=request_id):
            response = await _answer(request, handler, request_id, lines, console)
            seconds = time.monotonic() - began
            route = _route(request)
            if is_told(request, lines):
                _log.info(
                    "answered",
                    method=request.method if route != NO_ROUTE else None,
                    route=route,
                    status=response.status,
                    duration_ms=round(seconds * 1000, 3),
                    peer=request.remote,
                )
        method = request.method if route != NO_ROUTE else NO_ROUTE
        metrics.requests.labels(method, route, str(response.status)).inc()
        metrics.request_seconds.labels(route).observe(seconds)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)  # pages of the console have stricter ones
        response.headers["X-Request-Id"] = request_id
        if not is_operators(request):
            await pace.keep(request)
        return response

    return answering


async def _answer(
    request: web.Request,
    handler: Handler,
    request_id: str,
    lines: StrangerLines,
    console: Console | None,
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ControlPlaneError as error:
        problem = problem_of(error)
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and is_told(request, lines):
            _log.error("cannot answer", reason=str(error), exc_info=error)
    except web.HTTPException as error:
        problem = problem_of_http(error)
    except Exception as error:  # noqa: BLE001  # the outermost layer: it is logged and answered
        _log.error("unexpected error", exc_info=error)
        problem = INTERNAL
    if console is not None and request.path.startswith(ROOT):
        return console.answer(problem, request, request_id)
    return problem.response(request_id)


def _route(request: web.Request) -> str:
    """Return the route's pattern; a path that is not served is not named."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else NO_ROUTE
