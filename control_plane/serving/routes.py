"""The API's routes: each with its operation, and the use case that it calls."""

from typing import Self

from aiohttp import web
from attrs import frozen

from control_plane.audit.log_reading import read_page
from control_plane.audit.operations import LIST_AUDIT
from control_plane.connections.edit_routes import EditRoutes
from control_plane.connections.routes import ConnectionRoutes
from control_plane.database.database import Database
from control_plane.device_revocations.routes import DeviceRevocationRoutes
from control_plane.http.http_call import Call, json_response
from control_plane.http.http_route import OpenHandler, Route
from control_plane.http.openapi import description_bytes
from control_plane.metrics import ControlPlaneMetrics
from control_plane.operations import SHOW_METRICS, allowed_to
from control_plane.operator_accounts.operations import SHOW_ME
from control_plane.operator_accounts.routes import OperatorRoutes
from control_plane.operator_accounts.session_routes import SessionRoutes
from control_plane.proof.audit_filter import read_audit_filter
from control_plane.proof.signer import Verifier
from control_plane.reading.query_reader import QueryReader, parse_sequence
from control_plane.review.routes import ReviewRoutes
from control_plane.serving import operations
from control_plane.serving.config import ServeSettings
from control_plane.serving.health import Health
from control_plane.serving.use_cases import UseCases
from control_plane.single_sign_on.routes import SignOnRoutes
from shared.canonical_json import format_time
from shared.process_metrics import EXPOSITION_TYPE


@frozen
class Api:
    """Everything that is answered."""

    connections: ConnectionRoutes
    edits: EditRoutes
    reviews: ReviewRoutes
    device_revocations: DeviceRevocationRoutes
    database: Database
    verifier: Verifier
    metrics: ControlPlaneMetrics
    health: Health
    sign_on: SignOnRoutes
    operators: OperatorRoutes
    sessions: SessionRoutes

    @classmethod
    def of(
        cls,
        use_cases: UseCases,
        configured: ServeSettings,
        metrics: ControlPlaneMetrics,
        health: Health,
    ) -> Self:
        """Return what answers with these use cases."""
        chain, checks, keys = use_cases.chain, use_cases.checks, use_cases.keys
        return cls(
            ConnectionRoutes(
                use_cases.connections,
                use_cases.reader,
                use_cases.connection_history,
                checks,
                keys,
                metrics,
                chain.clock,
            ),
            EditRoutes(use_cases.edits, use_cases.checked_edits, use_cases.grants),
            ReviewRoutes(use_cases.reviews),
            DeviceRevocationRoutes(
                use_cases.revocations, use_cases.revocation_reader, configured.identity_form
            ),
            chain.database,
            chain.signer,
            metrics,
            health,
            SignOnRoutes(configured.sign_on),
            OperatorRoutes(use_cases.operator_accounts, chain.clock),
            SessionRoutes(use_cases.operator_sessions),
        )

    def routes(self) -> tuple[Route, ...]:
        """Return everything that needs an operator."""
        return (
            *self.connections.routes(),
            *self.edits.routes(),
            *self.reviews.routes(),
            *self.device_revocations.routes(),
            Route(SHOW_ME, self.show_me),
            *self.operators.routes(),
            *self.sessions.routes(),
            Route(LIST_AUDIT, self.list_audit),
            Route(SHOW_METRICS, self.show_metrics),
        )

    def open_routes(self) -> tuple[tuple[str, OpenHandler], ...]:
        """Return what anybody may GET."""
        return (
            (operations.LIVE.path, self.live),
            (operations.READY.path, self.ready),
            (operations.DESCRIBE.path, self.openapi),
            *self.sign_on.open_routes(),
        )

    async def show_me(self, call: Call) -> web.Response:
        """Show who calls, and what they may do."""
        call.query().finish()
        operator = call.operator
        expires_at = operator.expires_at
        return json_response(
            {
                "name": operator.name,
                "display_name": operator.shown_name,
                "person": operator.person,
                "role": operator.role.value,
                "login": operator.login.value,
                "expires_at": format_time(expires_at) if expires_at else None,
                "operations": [each.id for each in allowed_to(operator.role)],
            }
        )

    async def list_audit(self, call: Call) -> web.Response:
        """Show a page of the audit log."""
        query = call.query()
        after, limit = _read_sequence(query), query.limit()
        wanted = read_audit_filter(query)
        query.finish()
        page, following = await read_page(
            self.database, self.verifier, wanted, after=after, limit=limit
        )
        next_cursor = str(following) if following is not None else None
        return json_response({"items": [line.view() for line in page], "next_cursor": next_cursor})

    async def show_metrics(self, call: Call) -> web.Response:
        """Show what was counted."""
        call.query().finish()
        self.metrics.show_troubles(self.health.troubles(), self.health.refused_files())
        response = web.Response(body=self.metrics.exposition())
        response.headers["Content-Type"] = EXPOSITION_TYPE
        return response

    async def live(self, _: web.Request) -> web.Response:
        """Say that the process answers."""
        return json_response({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        """Say whether everything is in place, and what is not."""
        reason = await self.health.why_not_ready()
        self.metrics.ready.set(reason is None)
        state = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
        notes = [each.words for each in self.health.troubles() if not (reason and each.stops)]
        return json_response(
            state | ({"notes": notes} if notes else {}), status=503 if reason else 200
        )

    async def openapi(self, _: web.Request) -> web.Response:
        """Show the description of this API."""
        return web.Response(
            body=description_bytes(),
            content_type="application/json",
        )


def _read_sequence(query: QueryReader) -> int:
    """Return the place after which a page of the log begins: `after`, or its `cursor`.

    Beside a cursor, generated clients send `after=0`: that was its default once.
    """
    places = [query.text(name, parse_sequence) for name in ("after", "cursor")]
    if places[0] and query.given("cursor"):
        query.wrong("cursor", "the same as after; give one of them")
    return max(place or 0 for place in places)
