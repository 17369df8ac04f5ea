"""The HTTP application: request ids, logins, problems and log lines around the routes."""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from control_plane.errors import ControlPlaneError, NotAuthenticatedError, TooManyRequestsError
from control_plane.http.http_call import MAX_BODY_BYTES, Call, bearer_token
from control_plane.http.http_connection import HttpConnection
from control_plane.http.http_route import Route
from control_plane.http.problems import INTERNAL, problem_of, problem_of_http
from control_plane.http.stranger_pace import StrangerPace
from control_plane.metrics import ControlPlaneMetrics
from control_plane.operators.login_gate import LoginGate
from control_plane.operators.permissions import require
from control_plane.operators.stranger_lines import StrangerLines
from control_plane.serving.routes import Api
from shared.structured_log import get_logger, log_context

NO_ROUTE: Final = "none"
_IS_TOLD: Final = web.RequestKey("is_told", bool)  # whether the request has lines in the log
_IS_OPERATORS: Final = web.RequestKey("is_operators", bool)  # whether somebody was let in
_HEADERS: Final = {
    "Server": "control-plane",  # it does not tell the versions of libraries
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

_log = get_logger("control_plane.app")


def make_app(
    api: Api,
    gate: LoginGate,
    metrics: ControlPlaneMetrics,
    lines: StrangerLines,
    pace: StrangerPace,
) -> web.Application:
    """Return the application."""
    answering = _answering(metrics, lines, pace)
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[answering])
    for path, handler in api.open_routes():
        app.router.add_route("GET", path, handler)
    for route in api.routes():
        answer = _for_operators(route, gate, metrics, lines)
        app.router.add_route(route.method, route.path, answer)
    return app


def _for_operators(
    route: Route, gate: LoginGate, metrics: ControlPlaneMetrics, lines: StrangerLines
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            operator = await gate.let_in(bearer_token(request), request.remote or "")
        except (NotAuthenticatedError, TooManyRequestsError) as error:
            metrics.denied_logins.inc()
            if _is_told(request, lines):
                _tell_of_denial(error, request, route)
            raise
        request[_IS_OPERATORS] = request[_IS_TOLD] = True
        if isinstance(request.protocol, HttpConnection):
            request.protocol.note_operator()
        with log_context(actor=operator.name, role=operator.role):
            require(operator.role, route.role)
            response = await route.handler(Call(request, operator))
            if request.method != "GET":
                _log.info("act done", method=route.method, route=route.path)
            return response

    return answer


def _tell_of_denial(
    error: NotAuthenticatedError | TooManyRequestsError, request: web.Request, route: Route
) -> None:
    reason, claimed_name = str(error), None
    if isinstance(error, NotAuthenticatedError):
        reason, claimed_name = error.reason, error.claimed_name
    _log.warning(
        "login denied", reason=reason, actor=claimed_name, peer=request.remote, route=route.path
    )


def _answering(
    metrics: ControlPlaneMetrics, lines: StrangerLines, pace: StrangerPace
) -> Middleware:
    @web.middleware
    async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id, began = uuid4().hex, time.monotonic()
        with log_context(request_id=request_id):
            response = await _answer(request, handler, request_id, lines)
            seconds = time.monotonic() - began
            route = _route(request)
            if _is_told(request, lines):
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
        response.headers.update(_HEADERS)
        response.headers["X-Request-Id"] = request_id
        if _IS_OPERATORS not in request:
            await pace.keep(request)
        return response

    return answering


def _is_told(request: web.Request, lines: StrangerLines) -> bool:
    """Tell whether the request has lines in the log: an operator's has, a stranger's may have."""
    if _IS_TOLD not in request:
        request[_IS_TOLD] = lines.may_tell(request.remote)
    return request[_IS_TOLD]


async def _answer(
    request: web.Request, handler: Handler, request_id: str, lines: StrangerLines
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ControlPlaneError as error:
        problem = problem_of(error)
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and _is_told(request, lines):
            _log.error("cannot answer", reason=str(error), exc_info=error)
    except web.HTTPException as error:
        problem = problem_of_http(error)
    except Exception as error:  # noqa: BLE001  # the outermost layer: it is logged and answered
        _log.error("unexpected error", exc_info=error)
        problem = INTERNAL
    return problem.response(request_id)


def _route(request: web.Request) -> str:
    """Return the route's pattern; a path that is not served is not named."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else NO_ROUTE
