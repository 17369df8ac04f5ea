"""The routes of edits: make, change or discard a draft, give a new secret, show what to grant."""

from aiohttp import web
from attrs import frozen

from control_plane.connections import operations
from control_plane.connections.checks import NOT_ASKED, Checks
from control_plane.connections.edit_acts import ConnectionEdits, PlannedEdit
from control_plane.connections.grant import grant_of
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.revision import RecordedCheck
from control_plane.connections.revisions import editable
from control_plane.connections.service_account_keys import ServiceAccountKeys
from control_plane.http.http_call import Call, json_response, view_response
from control_plane.http.http_route import Route
from control_plane.metrics import ControlPlaneMetrics
from control_plane.operators.permissions import require


@frozen
class EditRoutes:
    """The handlers, with the use cases that they call."""

    edits: ConnectionEdits
    reader: ConnectionReader
    checks: Checks
    keys: ServiceAccountKeys
    metrics: ControlPlaneMetrics
    aws_principal_arn: str | None

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
            planned = await self.edits.plan(call.connection_id, await call.body(), seen=call.seen)
            await self.keys.require_sound(planned.edit.request, actor=call.operator.name)
        check = await self._check(planned, call, ask=ask)
        return view_response(await self.edits.redraft(planned, check, actor=call.operator))

    async def put_credential(self, call: Call) -> web.Response:
        """Make a draft with a new secret, or let the secret serve if the caller may."""
        query = call.query()
        ask = query.switch("check", default=True)
        with query.finishing_with_body():
            body = await call.body()
            approves = body.get("approve") is True
            if approves:
                require(call.operator.role, operations.PUT_CREDENTIAL.role_of_field["approve"])
            planned = await self.edits.plan_new_credential(call.connection_id, body, seen=call.seen)
            await self.keys.require_sound(planned.edit.request, actor=call.operator.name)
        if approves:
            self.edits.require_renewable(planned, actor=call.operator)
        check = await self._check(planned, call, ask=ask)
        act = self.edits.renew if approves else self.edits.redraft
        return view_response(await act(planned, check, actor=call.operator))

    async def discard(self, call: Call) -> web.Response:
        """Discard the draft."""
        call.query().finish()
        await self.edits.discard(call.connection_id, actor=call.operator, seen=call.seen)
        return web.Response(status=204)

    async def grant(self, call: Call) -> web.Response:
        """Show what a customer has to grant for the draft; without a draft, for what serves."""
        call.query().finish()
        _, state = await self.reader.read(call.connection_id)
        base = editable(state)
        return json_response(
            grant_of(base.document, base.fingerprint, principal_arn=self.aws_principal_arn)
        )

    async def _check(self, planned: PlannedEdit, call: Call, *, ask: bool) -> RecordedCheck:
        """Return what the registry says now; if the login stays the same, what it said to that."""
        if not planned.edit.changes_login:
            return planned.base.check
        if not ask:
            return NOT_ASKED
        check = await self.checks.require_passed(planned.edit.request, actor=call.operator.name)
        self.metrics.checks.labels(check.outcome).inc()
        return check
