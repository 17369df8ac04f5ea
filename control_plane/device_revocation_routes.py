"""The routes of device revocations: made, listed, shown, lifted."""

from aiohttp import web
from attrs import frozen

from control_plane.device_revocation_reader import DeviceRevocationReader
from control_plane.device_revocation_request import (
    TARGET_FIELDS,
    parse_revocation_request,
    parse_target_query,
)
from control_plane.device_revocations import DeviceRevocations
from control_plane.http_call import (
    Call,
    format_cursor,
    json_response,
    parse_cursor,
    parse_limit,
)
from control_plane.http_route import Route
from control_plane.permissions import Role


@frozen
class DeviceRevocationRoutes:
    """The handlers, with the use cases that they call."""

    revocations: DeviceRevocations
    reader: DeviceRevocationReader

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        path = "/v1/device-revocations"
        return (
            Route("POST", path, Role.APPROVER, self.revoke),
            Route("GET", path, Role.APPROVER, self.list_revocations),
            Route("GET", f"{path}/{{id}}", Role.APPROVER, self.show),
            Route("DELETE", f"{path}/{{id}}", Role.APPROVER, self.lift),
        )

    async def revoke(self, call: Call) -> web.Response:
        """Revoke a device or a certificate; 200 where it is revoked already."""
        call.query()
        request = parse_revocation_request(await call.body())
        revoked = await self.revocations.revoke(request, actor=call.operator)
        response = json_response(revoked.view, status=201 if revoked.is_new else 200)
        response.headers["Location"] = f"/v1/device-revocations/{revoked.view['id']}"
        return response

    async def list_revocations(self, call: Call) -> web.Response:
        """Show a page of the revocations in force, or that of one device or certificate."""
        query = call.query("limit", "cursor", *TARGET_FIELDS)
        after, limit = parse_cursor(query), parse_limit(query)
        if (target := parse_target_query(query)) is None:
            page = await self.reader.list(after=after, limit=limit)
        else:
            page = await self.reader.of(target)
        return json_response({"items": page.items, "next_cursor": format_cursor(page.next_place)})

    async def show(self, call: Call) -> web.Response:
        """Show one revocation in force."""
        call.query()
        return json_response(await self.reader.show(call.path_id("device revocation")))

    async def lift(self, call: Call) -> web.Response:
        """Lift a revocation."""
        call.query()
        await self.revocations.lift(call.path_id("device revocation"), actor=call.operator)
        return web.Response(status=204)
