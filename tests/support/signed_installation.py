"""An installation whose database holds acts of every kind, written by the product itself.

No process is started: these are the use cases on a real database, and what a control plane that
starts now believes.
"""

from typing import Any
from uuid import UUID, uuid4

import asyncpg
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from control_plane.audit.last_export import note_export
from control_plane.clock import Clock, now
from control_plane.connections.acts import ApprovalEnd, Connections
from control_plane.connections.edit_acts import ConnectionEdits
from control_plane.connections.filter import ConnectionFilter
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.request import ConnectionRequest
from control_plane.connections.revision import RecordedCheck
from control_plane.database.database import Database
from control_plane.device_revocations.acts import DeviceRevocations
from control_plane.device_revocations.reader import DeviceRevocationReader
from control_plane.device_revocations.request import RevocationRequest, RevocationTarget
from control_plane.errors import NotAuthenticatedError
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.authenticator import Authenticator
from control_plane.operators.last_uses import LastUses
from control_plane.operators.operator_token import OperatorName, OperatorToken
from control_plane.operators.operators import Operators
from control_plane.operators.permissions import Role
from control_plane.operators.person import Person
from control_plane.proof.acts import Acts
from control_plane.proof.audit_chain import AuditChain, SeenChain
from control_plane.proof.belief import HighestGenerations, believe
from control_plane.proof.history import History
from control_plane.proof.sealer import Sealer
from control_plane.proof.session_endings import of_session
from control_plane.proof.signed_log import Place
from control_plane.proof.signer import Signer
from control_plane.proof.statement_store import statement_rows, statements_within
from control_plane.sessions.session import Session
from control_plane.sessions.session_store import SessionStore
from control_plane.single_sign_on.claims import ProviderLogout
from control_plane.single_sign_on.provider_logouts import ProviderLogouts
from control_plane.webhooks.position import WebhookPosition, sign_position
from control_plane.webhooks.sender_lease import LeaseClaim
from control_plane.webhooks.webhook_store import put_position, write_claim
from shared.connection import Anonymous, UsernameAndToken
from shared.registry_host import RegistryHost
from shared.secret import Secret

ALICE = AuthenticatedOperator("alice", Role.CONNECTOR)
BOB = AuthenticatedOperator("bob", Role.APPROVER)
CHECK = RecordedCheck("skipped")
TABLES = (
    "statements",
    "audit_entries",
    "connections",
    "connection_revisions",
    "device_revocations",
    "audit_checkpoint",
    "audit_exports",
    "operator_uses",
    "provider_logouts",
    "session_uses",
    "session_endings",
    "webhook_positions",
    "webhook_sender",
)
PAGE = 200
ISSUER = "https://id.example"
Believed = dict[str, Any]


@define(eq=False)
class SignedInstallation:
    """Keys, a database, and somebody who owns its tables."""

    database: Database
    owner: asyncpg.Connection
    signer: Signer = field(factory=lambda: Signer(Ed25519PrivateKey.generate()))
    sealer: Sealer = field(factory=lambda: Sealer(X25519PrivateKey.generate().public_key()))
    tokens: dict[str, OperatorToken] = field(factory=dict)
    names: dict[str, UUID] = field(factory=dict)

    def chain(self, seen: SeenChain | None = None, clock: Clock = now) -> AuditChain:
        """Return the log as a control plane that starts now has it."""
        return AuditChain(
            self.database, self.signer, HighestGenerations(), clock, seen or SeenChain()
        )

    async def act(self) -> None:
        """Do something of every kind, with a checkpoint in the middle."""
        chain = self.chain()
        operators = Operators(chain)
        await self._operators(operators)
        await self._connections(chain)
        await self._devices(DeviceRevocations(Acts(chain)))
        assert chain.log is not None
        await chain.write_checkpoint(chain.log)
        await note_export(self.database, chain.log.end.sequence)
        await self._calls()
        sessions = SessionStore(self.database)
        for _ in range(2):
            session = Session.begin(BOB, now())
            await sessions.begin(session)
            await sessions.end(of_session(session.id), now())
        await self._webhooks(chain.log.end)
        for name in ("rotated", "newest"):
            self.tokens[f"{name} before"] = await self._add(operators, name)
        await self.keep("late")
        self.tokens["rotated"] = await operators.rotate(
            OperatorName.parse("rotated"), lifetime=None, actor="root"
        )
        await operators.remove(OperatorName.parse("newest"), actor="root")
        await self._add(operators, "last")

    async def _calls(self) -> None:
        """Have somebody let in, and somebody logged out."""
        uses = LastUses(self.database, now)
        uses.note("kept")
        await uses.look()
        logouts = ProviderLogouts(ISSUER, self.chain())
        await logouts.note(ProviderLogout(Person(ISSUER, "1"), None, now().timestamp()), now())

    async def _webhooks(self, end: Place) -> None:
        position = WebhookPosition("pager", end.sequence, end.hash, now())
        await put_position(self.database, "pager", sign_position(position, self.signer))
        assert await write_claim(self.database, LeaseClaim(uuid4(), None))

    async def _add(self, operators: Operators, name: str) -> OperatorToken:
        return await operators.add(
            OperatorName.parse(name), Role.ADMIN, lifetime=None, actor="root"
        )

    async def _operators(self, operators: Operators) -> None:
        for name in ("kept", "removed"):
            self.tokens[name] = await self._add(operators, name)
        await self.keep("early")
        await operators.remove(OperatorName.parse("removed"), actor="root")

    async def _connections(self, chain: AuditChain) -> None:
        acts, reader = Acts(chain), ConnectionReader(chain, History(chain))
        connections = Connections(acts, reader, self.sealer, now, second_approver=False)
        edits = ConnectionEdits(acts, reader, self.sealer, now, second_approver=False)
        for name in ("approved", "revoked", "drafted", "discarded", "edited"):
            request = ConnectionRequest(
                RegistryHost.parse(f"{name}.example"),
                UsernameAndToken("robot") if name == "approved" else Anonymous(),
                secret=Secret("token") if name == "approved" else None,
            )
            view = await connections.connect(request, CHECK, actor=ALICE)
            self.names[name] = UUID(str(view["id"]))
            if name in {"approved", "revoked", "edited"}:
                await connections.approve(
                    self.names[name], str(view["fingerprint"]), end=ApprovalEnd(), actor=BOB
                )
        await self.keep("approved")
        await connections.revoke(self.names["revoked"], reason="moved", actor=BOB)
        await edits.discard(self.names["discarded"], actor=ALICE)
        edit = {"repositories": ["team/app"], "description": "described"}
        for name in ("edited", "drafted"):
            planned = await edits.plan(self.names[name], edit)
            await edits.redraft(planned, CHECK, actor=ALICE)
        await connections.send_back(
            self.names["edited"], comment="too wide", seen_fingerprint=None, actor=BOB
        )

    async def _devices(self, devices: DeviceRevocations) -> None:
        for device in ("revoked", "lifted", "again"):
            await self._revoke(devices, device)
        await self._revoke(devices, None)
        for device in ("lifted", "again"):
            await devices.lift(self.names[f"device {device}"], actor=BOB)
        await self.keep("lifted")
        await self._revoke(devices, "again")

    async def _revoke(self, devices: DeviceRevocations, device: str | None) -> None:
        target = RevocationTarget(device=device, serial=None if device else "ab12")
        revoked = await devices.revoke(RevocationRequest(target, "stolen"), actor=BOB)
        self.names[f"device {device}"] = UUID(str(revoked.view["id"]))

    async def keep(self, name: str) -> None:
        """Keep every present row, as somebody would who wants to put it back later."""
        for table in TABLES:
            await self.owner.execute(f"CREATE TABLE kept_{name}_{table} AS SELECT * FROM {table}")

    async def restore(self, name: str, *tables: str) -> None:
        """Put the kept rows back in place of those of now."""
        for table in tables or TABLES:
            await self.owner.execute(
                f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{name}_{table}"
            )

    async def believed(self, seen: SeenChain | None = None) -> Believed:
        """Return what a control plane that starts now believes; raise what refuses the log."""
        chain = self.chain(seen)
        everything = statements_within("")
        async with chain.reading(everything) as proofs:
            statements = statement_rows(proofs.rows(everything))
            logged = dict.fromkeys(subject for subject, _ in proofs.log.all_made())
            evidences = await proofs.evidences({**logged, **statements})
        found: Believed = {
            subject: believe(evidence, chain.signer).statement
            for subject, evidence in evidences.items()
        }
        reader = ConnectionReader(chain, History(chain))
        page = await reader.list(ConnectionFilter(), after=None, limit=PAGE)
        for view in page.items:
            found[f"view {view['id']}"] = view["status"], view["fingerprint"], view["draft"]
        page = await DeviceRevocationReader(chain).list(limit=PAGE)
        for view in page.items:
            found[f"list {view['device']}/{view['serial']}"] = view["revoked_by"]
        for name, token in self.tokens.items():
            found[f"token of {name}"] = await _role(chain, token)
        return found


async def _role(chain: AuditChain, token: OperatorToken) -> str | None:
    try:
        return (await Authenticator(chain).authenticate(token)).role.value
    except NotAuthenticatedError:
        return None
