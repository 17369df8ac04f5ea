"""The API's routes: each with the role that it needs and the use case that it calls."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from aiohttp import web
from attrs import frozen

from control_plane.audit import read_page
from control_plane.checks import NOT_ASKED, Checks, check_view
from control_plane.clock import Clock
from control_plane.connection_fields import parse_fingerprint, parse_reason
from control_plane.connection_request import parse_connection_request
from control_plane.connections import Connections
from control_plane.database import Database
from control_plane.field_reader import FieldReader
from control_plane.health import why_not_ready
from control_plane.http_call import (
    Call,
    format_cursor,
    json_response,
    parse_cursor,
    parse_limit,
    parse_sequence,
    parse_switch,
)
from control_plane.metrics import Metrics
from control_plane.openapi import description_bytes
from control_plane.permissions import Role
from control_plane.signer import Verifier

MAX_TIME_CHARACTERS: Final = 40  # RFC 3339 with nanoseconds and an offset

Handler = Callable[[Call], Awaitable[web.Response]]
OpenHandler = Callable[[web.Request], Awaitable[web.Response]]


@frozen
class Route:
    """A method and path, the role that it needs, and what answers."""

    method: str
    path: str
    role: Role
    handler: Handler


@frozen
class Api:
    """The handlers, with the use cases that they call."""

    connections: Connections
    checks: Checks
    database: Database
    verifier: Verifier
    metrics: Metrics
    clock: Clock

    def routes(self) -> tuple[Route, ...]:
        """Return everything that needs an operator."""
        return (
            Route("POST", "/v1/connections", Role.CONNECTOR, self.connect),
            Route("GET", "/v1/connections", Role.VIEWER, self.list_connections),
            Route("GET", "/v1/connections/{id}", Role.VIEWER, self.show),
            Route("POST", "/v1/connections/{id}/approve", Role.APPROVER, self.approve),
            Route("POST", "/v1/connections/{id}/revoke", Role.APPROVER, self.revoke),
            Route("POST", "/v1/connection-checks", Role.CONNECTOR, self.check),
            Route("GET", "/v1/audit", Role.VIEWER, self.list_audit),
            Route("GET", "/metrics", Role.VIEWER, self.show_metrics),
        )

    def open_routes(self) -> tuple[tuple[str, OpenHandler], ...]:
        """Return what anybody may GET."""
        return (
            ("/healthz", self.live),
            ("/readyz", self.ready),
            ("/openapi.json", self.openapi),
        )

    async def connect(self, call: Call) -> web.Response:
        """Store a new connection; its registry is asked to log in first."""
        ask = parse_switch(call.query("check"), "check", default=True)
        request = parse_connection_request(await call.body())
        check = NOT_ASKED
        if ask:
            check = await self.checks.require_passed(request, actor=call.operator.name)
            self.metrics.checks.labels(check.outcome).inc()
        view = await self.connections.connect(request, check, actor=call.operator)
        response = json_response(view, status=201)
        response.headers["Location"] = f"/v1/connections/{view['id']}"
        return response

    async def check(self, call: Call) -> web.Response:
        """Ask a registry to log in; store nothing but who had it asked."""
        call.query()
        request = parse_connection_request(await call.body())
        check = await self.checks.check(request, actor=call.operator.name)
        self.metrics.checks.labels(check.outcome.value).inc()
        return json_response(check_view(check))

    async def list_connections(self, call: Call) -> web.Response:
        """Show a page of connections."""
        query = call.query("limit", "cursor")
        page = await self.connections.list(after=parse_cursor(query), limit=parse_limit(query))
        return json_response({"items": page.items, "next_cursor": format_cursor(page.next_place)})

    async def show(self, call: Call) -> web.Response:
        """Show one connection."""
        call.query()
        return json_response(await self.connections.show(call.connection_id))

    async def approve(self, call: Call) -> web.Response:
        """Approve the draft that was seen."""
        call.query()
        fields = FieldReader(await call.body())
        fingerprint = fields.text("fingerprint", parse_fingerprint, required=True)
        expires_at = fields.text("expires_at", self._parse_future)
        fields.finish()
        if fingerprint is None:
            raise AssertionError("a missing fingerprint is an error")
        view = await self.connections.approve(
            call.connection_id, fingerprint, expires_at=expires_at, actor=call.operator
        )
        return json_response(view)

    async def revoke(self, call: Call) -> web.Response:
        """End a connection for ever."""
        call.query()
        fields = FieldReader(await call.body(optional=True))
        reason = fields.text("reason", parse_reason) or ""
        fields.finish()
        view = await self.connections.revoke(call.connection_id, reason=reason, actor=call.operator)
        return json_response(view)

    async def list_audit(self, call: Call) -> web.Response:
        """Show a page of the audit log."""
        query = call.query("after", "limit", "cursor")
        limit = parse_limit(query)
        lines = await read_page(
            self.database, self.verifier, after=parse_sequence(query), limit=limit + 1
        )
        page = lines[:limit]
        return json_response(
            {
                "items": [line.view() for line in page],
                "next_cursor": str(page[-1].sequence) if len(lines) > limit else None,
            }
        )

    async def show_metrics(self, call: Call) -> web.Response:
        """Show what was counted."""
        call.query()
        response = web.Response(body=self.metrics.exposition())
        response.headers["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
        return response

    async def live(self, _: web.Request) -> web.Response:
        """Say that the process answers."""
        return json_response({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        """Say whether everything is in place, and what is not."""
        reason = await why_not_ready(self.database, self.verifier)
        self.metrics.ready.set(reason is None)
        if reason:
            return json_response({"status": "not ready", "reason": reason}, status=503)
        return json_response({"status": "ready"})

    async def openapi(self, _: web.Request) -> web.Response:
        """Show the description of this API."""
        return web.Response(
            body=description_bytes(),
            content_type="application/json",
        )

    def _parse_future(self, text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text[:MAX_TIME_CHARACTERS])
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or "T" not in text:
            message = "expected a time such as 2030-01-31T12:00:00Z (RFC 3339)"
            raise ValueError(message)
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            message = "expected a time of this era"
            raise ValueError(message) from None
        if moment <= self.clock():
            message = "expected a time to come"
            raise ValueError(message)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
