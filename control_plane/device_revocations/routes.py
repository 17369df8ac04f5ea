"""The routes of device revocations: to make, list, show and lift them."""

import asyncio

from aiohttp import web
from attrs import frozen

from control_plane.device_revocations import operations
from control_plane.device_revocations.acts import DeviceRevocations
from control_plane.device_revocations.reader import DeviceRevocationReader
from control_plane.device_revocations.request import (
    parse_revocation_request,
    parse_revocation_requests,
    read_target,
)
from control_plane.http.http_call import (
    MAX_REVOCATIONS_BODY_BYTES,
    Call,
    json_response,
    view_response,
)
from control_plane.http.http_route import Route
from control_plane.reading.query_reader import format_place
from control_plane.reading.texts import parse_id_beginning
from shared.identity_form import IdentityForm


@frozen
class DeviceRevocationRoutes:
    """The handlers, with the use cases that they call."""

    revocations: DeviceRevocations
    reader: DeviceRevocationReader
    form: IdentityForm | None = None

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(operations.REVOKE, self.revoke),
            Route(operations.REVOKE_SEVERAL, self.revoke_several),
            Route(operations.LIST, self.list_revocations),
            Route(operations.SHOW, self.show),
            Route(operations.LIFT, self.lift),
        )

    async def revoke(self, call: Call) -> web.Response:
        """Revoke a device or a certificate; 200 if it is revoked already."""
        with call.query().finishing_with_body():
            request = parse_revocation_request(await call.body(), self.form)
        revoked = await self.revocations.revoke(request, actor=call.operator)
        response = view_response(revoked.view, status=201 if revoked.is_new else 200)
        response.headers["Location"] = f"/v1/device-revocations/{revoked.view['id']}"
        return response

    async def revoke_several(self, call: Call) -> web.Response:
        """Revoke many devices and certificates at once; an answer for each, in their order."""
        with call.query().finishing_with_body():
            body = await call.long_body(MAX_REVOCATIONS_BODY_BYTES)
            requests = await asyncio.to_thread(parse_revocation_requests, body, self.form)
        revoked = await self.revocations.revoke_several(requests, actor=call.operator)
        items = [{"is_new": each.is_new, "revocation": each.view} for each in revoked]
        return json_response({"items": items})

    async def list_revocations(self, call: Call) -> web.Response:
        """Show a page of the revocations in force, or that of one device or certificate."""
        query = call.query()
        target, after, limit = read_target(query, self.form), query.place(), query.limit()
        id_beginning = query.text("id", parse_id_beginning)
        any_issuer = query.switch("any_issuer", default=False)
        if target and id_beginning:
            query.wrong("id", "an id is given alone")
        if any_issuer and (not query.given("serial") or query.given("issuer")):
            query.wrong("any_issuer", "it is given with a serial, and without an issuer")
        query.finish()
        if target and not any_issuer:
            page = await self.reader.of(target)
        else:
            page = await self.reader.list(
                id_beginning=id_beginning or "",
                subject_beginning=target.subject if target else "",
                after=after,
                limit=limit,
            )
        return json_response({"items": page.items, "next_cursor": format_place(page.next_place)})

    async def show(self, call: Call) -> web.Response:
        """Show one revocation in force."""
        call.query().finish()
        return view_response(await self.reader.show(call.path_id("device revocation")))

    async def lift(self, call: Call) -> web.Response:
        """Lift a revocation."""
        call.query().finish()
        await self.revocations.lift(
            call.path_id("device revocation"), actor=call.operator, seen=call.seen
        )
        return web.Response(status=204)
