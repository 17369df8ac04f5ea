"""The routes of sessions: to list and end one's own, and for admins anybody's."""

import re
from typing import Final

from aiohttp import web
from attrs import frozen

from control_plane.errors import NotFoundError
from control_plane.http.http_call import Call, json_response
from control_plane.http.http_route import Route
from control_plane.http.operation import SESSION_ID_PATTERN
from control_plane.operator_accounts import session_operations as operations
from control_plane.operator_accounts.operator_sessions import (
    OperatorSessions,
    parse_caller,
    session_view,
    signed_in_view,
)
from control_plane.operator_accounts.routes import format_name_cursor, parse_name_cursor
from control_plane.reading.query_reader import format_place

_SESSION_ID: Final = re.compile(SESSION_ID_PATTERN, re.ASCII)


@frozen
class SessionRoutes:
    """The handlers, with the use cases that they call."""

    sessions: OperatorSessions

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(operations.LIST_SESSIONS, self.list_own),
            Route(operations.END_SESSION, self.end_own),
            Route(operations.END_SESSIONS, self.end_all_own),
            Route(operations.LIST_SIGNED_IN, self.list_signed_in),
            Route(operations.LIST_OPERATOR_SESSIONS, self.list_of),
            Route(operations.END_OPERATOR_SESSION, self.end_of),
            Route(operations.END_OPERATOR_SESSIONS, self.end_all_of),
        )

    async def list_own(self, call: Call) -> web.Response:
        """Show a page of the caller's sessions."""
        return await self._page(call, call.operator.name)

    async def list_of(self, call: Call) -> web.Response:
        """Show a page of somebody's sessions."""
        return await self._page(call, _caller(call))

    async def list_signed_in(self, call: Call) -> web.Response:
        """Show a page of those who are signed in."""
        query = call.query()
        after, limit = query.text("cursor", parse_name_cursor), query.limit()
        query.finish()
        found, following = await self.sessions.signed_in(after=after, limit=limit)
        items = [signed_in_view(each) for each in found]
        return json_response({"items": items, "next_cursor": format_name_cursor(following)})

    async def end_own(self, call: Call) -> web.Response:
        """End one of the caller's sessions."""
        call.query().finish()
        await self.sessions.end_own(_session_id(call), actor=call.operator)
        return web.Response(status=204)

    async def end_all_own(self, call: Call) -> web.Response:
        """End all of the caller's sessions."""
        call.query().finish()
        await self.sessions.end_all_own(call.operator)
        return web.Response(status=204)

    async def end_of(self, call: Call) -> web.Response:
        """End one of somebody's sessions."""
        call.query().finish()
        await self.sessions.end_of(_caller(call), _session_id(call), actor=call.operator)
        return web.Response(status=204)

    async def end_all_of(self, call: Call) -> web.Response:
        """End all of somebody's sessions."""
        call.query().finish()
        await self.sessions.end_all_of(_caller(call), actor=call.operator)
        return web.Response(status=204)

    async def _page(self, call: Call, name: str) -> web.Response:
        query = call.query()
        after, limit = query.place(), query.limit()
        query.finish()
        page = await self.sessions.page(name, after=after, limit=limit)
        items = [session_view(each) for each in page.sessions]
        return json_response({"items": items, "next_cursor": format_place(page.next_place)})


def _caller(call: Call) -> str:
    """Return whose sessions the path names; raise `NotFoundError` if nobody is called so."""
    return parse_caller(call.request.match_info["caller"])


def _session_id(call: Call) -> str:
    text = call.request.match_info["session"]
    if not _SESSION_ID.fullmatch(text):
        raise NotFoundError("there is no session of this id")
    return text
