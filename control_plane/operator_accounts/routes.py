"""The routes of operators: to list, show, make, rotate and remove them."""

import base64
import binascii
from typing import Final

from aiohttp import hdrs, web
from attrs import frozen

from control_plane.clock import Clock
from control_plane.errors import NotFoundError
from control_plane.http.http_call import Call, json_response
from control_plane.http.http_route import Route
from control_plane.operator_accounts import operations
from control_plane.operator_accounts.accounts import OperatorAccounts, operator_view
from control_plane.operator_accounts.request import (
    parse_operator_request,
    parse_rotation_request,
)
from control_plane.operators.operator_token import InvalidOperatorNameError, OperatorName
from control_plane.operators.operators import IssuedToken
from control_plane.reading.entity_tag import entity_tag
from control_plane.reading.page import View
from shared.outside_bytes import Party, reads_bytes_of

MAX_NAME_CURSOR_CHARACTERS: Final = 6000  # of a subject of 4,096 bytes, whoever wrote it there


@frozen
class OperatorRoutes:
    """The handlers, with the use cases that they call."""

    accounts: OperatorAccounts
    clock: Clock

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(operations.LIST_OPERATORS, self.list_operators),
            Route(operations.ADD_OPERATOR, self.add),
            Route(operations.SHOW_OPERATOR, self.show),
            Route(operations.ROTATE_OPERATOR, self.rotate),
            Route(operations.REMOVE_OPERATOR, self.remove),
        )

    async def list_operators(self, call: Call) -> web.Response:
        """Show a page of operators."""
        query = call.query()
        after, limit = query.text("cursor", parse_name_cursor), query.limit()
        query.finish()
        items, following = await self.accounts.page(after=after, limit=limit)
        return json_response({"items": items, "next_cursor": format_name_cursor(following)})

    async def show(self, call: Call) -> web.Response:
        """Show one operator."""
        call.query().finish()
        return _tagged(await self.accounts.show(_name(call).value))

    async def add(self, call: Call) -> web.Response:
        """Make an operator; this answer alone has the token."""
        with call.query().finishing_with_body():
            request = parse_operator_request(await call.body(), self.clock())
        response = _issued(await self.accounts.add(request, actor=call.operator), status=201)
        response.headers[hdrs.LOCATION] = f"/v1/operators/{request.name}"
        return response

    async def rotate(self, call: Call) -> web.Response:
        """Replace an operator's token; this answer alone has the new one."""
        name = _name(call)
        with call.query().finishing_with_body():
            request = parse_rotation_request(await call.body(optional=True), self.clock())
        issued = await self.accounts.rotate(name, request, actor=call.operator, seen=call.seen)
        return _issued(issued, status=200)

    async def remove(self, call: Call) -> web.Response:
        """Remove an operator."""
        call.query().finish()
        await self.accounts.remove(_name(call), actor=call.operator, seen=call.seen)
        return web.Response(status=204)


def _name(call: Call) -> OperatorName:
    """Return the name in the path; raise `NotFoundError` if nobody can be called so."""
    try:
        return OperatorName.parse(call.request.match_info["name"])
    except InvalidOperatorNameError as error:
        raise NotFoundError(f"there is no such operator: {error}") from None


def _tagged(view: View) -> web.Response:
    """Return a view with the tag of what is signed of it: a use changes nothing there."""
    signed = {name: value for name, value in view.items() if name != "last_used_at"}
    response = json_response(view)
    response.headers[hdrs.ETAG] = entity_tag(signed)
    return response


def _issued(token: IssuedToken, *, status: int) -> web.Response:
    view = operator_view(token.operator)
    body = {"operator": view | {"last_used_at": None}, "token": token.secret.reveal_text()}
    response = json_response(body, status=status)
    response.headers[hdrs.ETAG] = entity_tag(view)
    return response


@reads_bytes_of(Party.OPERATOR)
def parse_name_cursor(text: str) -> str:
    """Return the name that a `next_cursor` of `format_name_cursor` means."""
    try:
        if not 0 < len(text) <= MAX_NAME_CURSOR_CHARACTERS:
            raise ValueError
        name = base64.b64decode(text, altchars=b"-_", validate=True).decode()
        if "\0" in name:  # which PostgreSQL's texts cannot hold
            raise ValueError
    except (ValueError, binascii.Error):
        raise ValueError("expected the next_cursor of a page") from None
    return name


def format_name_cursor(name: str | None) -> str | None:
    """Return the `next_cursor` after a name."""
    return None if name is None else base64.urlsafe_b64encode(name.encode()).decode()
