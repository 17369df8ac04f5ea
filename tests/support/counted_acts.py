"""The use cases of one control plane, in this process: how often they wait and verify."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar
from uuid import UUID, uuid4

import asyncpg
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.clock import now
from control_plane.connections.acts import ApprovalEnd, Connections
from control_plane.connections.edit_acts import ConnectionEdits
from control_plane.connections.filter import ConnectionFilter
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.request import ConnectionRequest
from control_plane.connections.revision import Revision
from control_plane.connections.revision_acts import approve_revision, make_draft
from control_plane.connections.state import connection_state
from control_plane.connections.store import insert_connection
from control_plane.connections.stored_connection import StoredConnection
from control_plane.database.database import Database as ControlPlaneDatabase
from control_plane.device_revocations.acts import DeviceRevocations
from control_plane.device_revocations.reader import DeviceRevocationReader
from control_plane.device_revocations.request import (
    MAX_REVOCATIONS,
    RevocationRequest,
    RevocationTarget,
)
from control_plane.operators.authenticator import Authenticator
from control_plane.operators.operator_token import OperatorName, OperatorToken
from control_plane.operators.operators import Operators
from control_plane.operators.permissions import Role
from control_plane.proof.actions import Action
from control_plane.proof.acts import Act, Acts
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import Evidence
from control_plane.proof.history import History
from control_plane.proof.signer import Signer
from control_plane.review.reviews import ConnectionReviews
from shared.connection import Anonymous
from shared.oci import RepositoryName
from shared.postgres.database_url import read_database_url
from shared.registry_host import RegistryHost
from shared.statement import Statement, StoredStatement, connection_subject
from tests.support.control_plane import LOGIN_PASSWORD, LOGIN_ROLE
from tests.support.database import Database
from tests.support.postgres_trips import Trips
from tests.support.signed_installation import ALICE, BOB, CHECK, SignedInstallation

MADE_AT_ONCE: Final = 100  # connections that a test makes with one act of its own

_Result = TypeVar("_Result")


class CountingSigner(Signer):
    """A signer that counts the signatures that it is asked to verify."""

    verified = 0

    def verify(self, stored: StoredStatement) -> Statement:
        """Count, and do as every signer does."""
        self.verified += 1
        return super().verify(stored)


@define(eq=False)
class Scene:
    """The use cases of one control plane, what they cost on the wire, and what they verify."""

    installation: SignedInstallation
    signer: CountingSigner
    trips: Trips
    url: str
    chain: AuditChain = field(init=False)
    listing: DeviceRevocationReader = field(init=False)
    costs: dict[str, int] = field(factory=dict, init=False)
    signatures: dict[str, int] = field(factory=dict, init=False)  # verified, by name

    def __attrs_post_init__(self) -> None:
        self.chain = self.installation.chain()
        self.listing = DeviceRevocationReader(self.chain)

    async def costing(self, name: str, call: Awaitable[_Result]) -> _Result:
        """Return what a call returns, and note what it costs; the costs of the last time count."""
        before, verified = self.trips.count, self.signer.verified
        try:
            return await call
        finally:
            self.costs[name] = self.trips.count - before
            self.signatures[name] = self.signer.verified - verified

    async def operator(self) -> OperatorToken:
        """Return the token of a new operator."""
        return await Operators(self.chain).add(
            OperatorName.parse("bob"), Role.APPROVER, lifetime=None, actor="root"
        )

    async def revoke(self, devices: Sequence[str]) -> None:
        """Revoke devices, as many with each act as may be."""
        asked = [RevocationRequest(RevocationTarget(device=each), "") for each in devices]
        use = DeviceRevocations(Acts(self.chain))
        for start in range(0, len(asked), MAX_REVOCATIONS):
            await use.revoke_several(asked[start : start + MAX_REVOCATIONS], actor=BOB)

    async def connect(self, places: Sequence[str]) -> None:
        """Make approved connections, many with one act; each has the entries that it always has.

        A place is a host, or one and a prefix behind a slash.
        """
        for start in range(0, len(places), MADE_AT_ONCE):
            await self._connect(places[start : start + MADE_AT_ONCE])

    async def _connect(self, places: Sequence[str]) -> None:
        acts = Acts(self.chain)
        async with acts.begin() as act:
            drafted = [await self._draft(act, place) for place in places]
            for each, _ in drafted:
                act.change(insert_connection(each))
        async with acts.begin() as act:
            for each, revision in drafted:
                approve_revision(
                    act,
                    each,
                    connection_state(each, act.verifier),
                    revision,
                    actor=BOB,
                    expires_at=None,
                    action=Action.APPROVE,
                )

    async def _draft(self, act: Act, place: str) -> tuple[StoredConnection, Revision]:
        host, _, prefix = place.partition("/")
        request = ConnectionRequest(
            RegistryHost.parse(host),
            Anonymous(),
            repository_prefix=RepositoryName.parse(prefix) if prefix else None,
        )
        document = request.document(connected_by=ALICE.name, connected_at=act.at)
        revision, connection_id = Revision(1, document, CHECK), uuid4()
        subject = connection_subject(connection_id)
        make_draft(act, connection_id, revision, actor=ALICE, action=Action.CONNECT)
        stored = StoredConnection(
            id=connection_id,
            host=host,
            repository_prefix=prefix,
            description="",
            made_at=act.at,
            is_marked_revoked=False,
            evidence=Evidence(subject, None, None),
            newest=None,
            approved=None,
            draft=revision.stored,
        )
        return stored, revision

    async def everything(self, token: OperatorToken, number: int) -> None:
        """Do one thing of each kind."""
        chain, sealer, costing = self.chain, self.installation.sealer, self.costing
        acts, reader = Acts(chain), ConnectionReader(chain, History(chain))
        connections = Connections(acts, reader, sealer, now, second_approver=False)
        edits = ConnectionEdits(acts, reader, sealer, now, second_approver=False)
        devices = DeviceRevocations(acts)
        await costing("login", Authenticator(chain).authenticate(token))
        host = RegistryHost.parse(f"registry-{number}.example")
        request = ConnectionRequest(host, Anonymous())
        view = await costing("connect", connections.connect(request, CHECK, actor=ALICE))
        made, seen = UUID(str(view["id"])), str(view["fingerprint"])
        approval = connections.approve(made, seen, end=ApprovalEnd(), actor=BOB)
        await costing("approve", approval)
        planned = await costing("plan", edits.plan(made, {"repositories": [f"a/{number}"]}))
        await costing("edit", edits.redraft(planned, CHECK, actor=ALICE))
        await costing("discard", edits.discard(made, actor=ALICE))
        planned = await edits.plan(made, {"repositories": [f"b/{number}"]})
        draft = (await edits.redraft(planned, CHECK, actor=ALICE))["draft"]
        assert isinstance(draft, dict)
        reviews = ConnectionReviews(reader, now, None, second_approver=False)
        await costing("review", reviews.review(made, asked_by=BOB))
        await costing("review what waits", reviews.queue(after=None, limit=50, asked_by=BOB))
        change = connections.approve(made, draft["fingerprint"], end=ApprovalEnd(), actor=BOB)
        await costing("approve a change", change)
        await costing("show", reader.show(made))
        everything = reader.list(ConnectionFilter(), after=None, limit=200)
        await costing("list", everything)
        await costing("revoke", connections.revoke(made, reason="moved", actor=BOB))
        target = RevocationTarget(device=f"press-{number}")
        asked = RevocationRequest(target, "stolen")
        revoked = await costing("revoke a device", devices.revoke(asked, actor=BOB))
        await costing("list devices", self.listing.list(limit=200))
        await costing("find a device", self.listing.of(target))
        lifted = devices.lift(UUID(str(revoked.view["id"])), actor=BOB)
        await costing("lift", lifted)


@asynccontextmanager
async def scene_at(database: Database, port: int, trips: Trips) -> AsyncIterator[Scene]:
    """Yield a control plane that reaches its database at a port."""
    url = database.url(LOGIN_ROLE, LOGIN_PASSWORD).replace(f":{database.server.port}/", f":{port}/")
    url += ("&" if "?" in url else "?") + "sslmode=disable"
    owner = await asyncpg.connect(database.superuser_url)
    try:
        async with ControlPlaneDatabase.open(read_database_url(url)) as pool:
            signer = CountingSigner(Ed25519PrivateKey.generate())
            yield Scene(SignedInstallation(pool, owner, signer), signer, trips, url)
    finally:
        await owner.close()
