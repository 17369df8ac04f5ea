"""The routes of edits: make, change or discard a draft, give a new secret, show what to grant."""

from aiohttp import web
from attrs import frozen

from control_plane.connections import operations
from control_plane.connections.checked_edits import CheckedEdits, approves
from control_plane.connections.connection_grants import ConnectionGrants
from control_plane.connections.edit_acts import ConnectionEdits
from control_plane.http.http_call import Call, json_response, view_response
from control_plane.http.http_route import Route


@frozen
class EditRoutes:
    """The handlers, with the use cases that they call."""

    edits: ConnectionEdits
    checked: CheckedEdits
    grants: ConnectionGrants

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(operations.EDIT, self.edit),
            Route(operations.PUT_CREDENTIAL, self.put_credential),
            Route(operations.DISCARD, self.discard),
            Route(operations.GRANT, self.grant),
        )

    async def edit(self, call: Call) -> web.Response:
        """Make or change the draft; the registry is asked if the login changes."""
        query = call.query()
        ask = query.switch("check", default=True)
        with query.finishing_with_body():
            planned = await self.checked.plan(
                call.connection_id, await call.body(), actor=call.operator, seen=call.seen
            )
        return view_response(await self.checked.redraft(planned, ask=ask, actor=call.operator))

    async def put_credential(self, call: Call) -> web.Response:
        """Make a draft with a new secret, or let the secret serve if the caller may."""
        query = call.query()
        ask = query.switch("check", default=True)
        with query.finishing_with_body():
            body = await call.body()
            planned = await self.checked.plan_new_credential(
                call.connection_id, body, actor=call.operator, seen=call.seen
            )
        act = self.checked.renew if approves(body) else self.checked.redraft
        return view_response(await act(planned, ask=ask, actor=call.operator))

    async def discard(self, call: Call) -> web.Response:
        """Discard the draft."""
        call.query().finish()
        await self.edits.discard(call.connection_id, actor=call.operator, seen=call.seen)
        return web.Response(status=204)

    async def grant(self, call: Call) -> web.Response:
        """Show what a customer has to grant for the draft; without a draft, for what serves."""
        call.query().finish()
        return json_response(await self.grants.show(call.connection_id))
