"""The routes of connections: to make, check, list, show, approve and revoke them."""

import asyncio
from datetime import datetime

from aiohttp import web
from attrs import frozen

from control_plane.clock import Clock
from control_plane.connections import operations
from control_plane.connections.acts import ApprovalEnd, Connections
from control_plane.connections.checks import NOT_ASKED, Checks, check_view
from control_plane.connections.fields import parse_fingerprint
from control_plane.connections.filter import read_filter
from control_plane.connections.history_reader import HistoryReader
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.request import ConnectionRequest, parse_connection_request
from control_plane.connections.service_account_keys import ServiceAccountKeys
from control_plane.http.http_call import Call, json_response, view_response
from control_plane.http.http_route import Route
from control_plane.metrics import ControlPlaneMetrics
from control_plane.reading.field_reader import FieldReader
from control_plane.reading.query_reader import format_place, parse_sequence
from control_plane.reading.texts import parse_comment, parse_reason
from control_plane.reading.times import parse_time
from shared.oci import RepositoryName


@frozen
class ConnectionRoutes:
    """The handlers, with the use cases that they call."""

    connections: Connections
    reader: ConnectionReader
    history: HistoryReader
    checks: Checks
    keys: ServiceAccountKeys
    metrics: ControlPlaneMetrics
    clock: Clock

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(operations.CONNECT, self.connect),
            Route(operations.LIST, self.list_connections),
            Route(operations.SHOW, self.show),
            Route(operations.APPROVE, self.approve),
            Route(operations.SEND_BACK, self.send_back),
            Route(operations.REVOKE, self.revoke),
            Route(operations.HISTORY, self.show_history),
            Route(operations.CHECK, self.check),
        )

    async def connect(self, call: Call) -> web.Response:
        """Store a new connection; its registry is asked to log in first."""
        query = call.query()
        ask = query.switch("check", default=True)
        with query.finishing_with_body():
            request = await self._request(call)
        check = NOT_ASKED
        if ask:
            check = await self.checks.require_passed(request, actor=call.operator)
            self.metrics.checks.labels(check.outcome).inc()
        view = await self.connections.connect(request, check, actor=call.operator)
        response = view_response(view, status=201)
        response.headers["Location"] = f"/v1/connections/{view['id']}"
        return response

    async def check(self, call: Call) -> web.Response:
        """Ask a registry to log in; store nothing but that it was asked, and by whom."""
        query = call.query()
        repository = query.text("repository", RepositoryName.parse)
        with query.finishing_with_body():
            request = await self._request(call)
        check = await self.checks.check(request, actor=call.operator, repository=repository)
        self.metrics.checks.labels(check.outcome.value).inc()
        return json_response(check_view(check))

    async def list_connections(self, call: Call) -> web.Response:
        """Show a page of connections."""
        query = call.query()
        wanted, after, limit = read_filter(query), query.place(), query.limit()
        query.finish()
        page = await self.reader.list(wanted, after=after, limit=limit)
        return json_response({"items": page.items, "next_cursor": format_place(page.next_place)})

    async def show(self, call: Call) -> web.Response:
        """Show one connection."""
        call.query().finish()
        return view_response(await self.reader.show(call.connection_id))

    async def show_history(self, call: Call) -> web.Response:
        """Show a page of what was done to a connection."""
        query = call.query()
        before, limit = query.text("cursor", parse_sequence), query.limit()
        query.finish()
        page = await self.history.page(call.connection_id, before=before, limit=limit)
        following = page.next_place
        next_cursor = str(following) if following is not None else None
        return json_response({"items": page.items, "next_cursor": next_cursor})

    async def approve(self, call: Call) -> web.Response:
        """Approve the draft that was seen; without a draft, what serves, once more."""
        with call.query().finishing_with_body():
            fields = FieldReader(await call.body())
            fingerprint = fields.text("fingerprint", parse_fingerprint, required=True)
            expires_at = fields.text("expires_at", self._parse_future)
            end = ApprovalEnd(expires_at, is_said=fields.given("expires_at"))
            despite_send_back = fields.flag("despite_send_back")
            if fingerprint is None:
                raise fields.refusal()
            fields.finish()
        view = await self.connections.approve(
            call.connection_id,
            fingerprint,
            end=end,
            actor=call.operator,
            despite_send_back=despite_send_back,
            seen=call.seen,
        )
        return view_response(view)

    async def send_back(self, call: Call) -> web.Response:
        """Send the draft back, with a comment."""
        with call.query().finishing_with_body():
            fields = FieldReader(await call.body())
            comment = fields.text("comment", parse_comment, required=True)
            fingerprint = fields.text("fingerprint", parse_fingerprint)
            if comment is None:
                raise fields.refusal()
            fields.finish()
        view = await self.connections.send_back(
            call.connection_id,
            comment=comment,
            seen_fingerprint=fingerprint,
            actor=call.operator,
            seen=call.seen,
        )
        return view_response(view)

    async def revoke(self, call: Call) -> web.Response:
        """End a connection for ever."""
        with call.query().finishing_with_body():
            fields = FieldReader(await call.body(optional=True))
            reason = fields.text("reason", parse_reason) or ""
            fields.finish()
        view = await self.connections.revoke(
            call.connection_id, reason=reason, actor=call.operator, seen=call.seen
        )
        return view_response(view)

    def _parse_future(self, text: str) -> datetime:
        moment = parse_time(text)
        if moment <= self.clock():
            raise ValueError("expected a time to come")
        return moment

    async def _request(self, call: Call) -> ConnectionRequest:
        """Return the body's request; it is read in a thread, for certificates take long."""
        request = await asyncio.to_thread(parse_connection_request, await call.body())
        await self.keys.require_sound(request, actor=call.operator.name)
        return request
