"""A device at the gate: real statements, real trust and a real connection, without a socket."""

import datetime as dt
from typing import Any

from aiohttp import web
from attrs import define, field
from prometheus_client import CollectorRegistry

from deploy.dev.device_ca import CertificateAuthority
from facade.approvals.snapshot import Snapshot
from facade.approvals.verified_row import StatementRow, verify_row
from facade.devices.device_connection import DeviceConnection
from facade.devices.device_server import DeviceServer
from facade.devices.device_trust import DeviceTrust
from facade.devices.live_connections import LiveConnections
from facade.devices.presented_device import PresentedDevice
from facade.devices.pulls_under_way import PullsUnderWay
from facade.metrics.device_metrics import DeviceMetrics
from facade.pulls.gate import Gate
from facade.values.authority import Authority
from facade.values.device_identity import DeviceIdentity, IdentityRule
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection
from shared.identity_form import DEFAULT_URI_PATTERN, IdentityKind, compile_uri_pattern
from shared.keys import key_id
from shared.statement import ConnectionApproval, Statement
from tests.support.statement_writer import StatementWriter

HOST = "registry.example"
CA = CertificateAuthority.create("gate CA")
AUTHORITY = Authority.of(CA.certificate)
TRUST = DeviceTrust.build([CA.certificate], None)


@define
class Door:
    """A gate, and the pen of what it stands on; for a running loop."""

    writer: StatementWriter = field(factory=lambda: StatementWriter(""))
    snapshot: Snapshot = field(factory=Snapshot)
    stale: str | None = None
    live: LiveConnections = field(init=False)
    gate: Gate = field(init=False)
    _devices: DeviceServer = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Trust the CA."""
        self.live = LiveConnections(TRUST, DeviceMetrics.create(CollectorRegistry()))
        self.gate = Gate(self.snapshot, lambda: self.stale)
        rule = IdentityRule(IdentityKind.SPIFFE, compile_uri_pattern(DEFAULT_URI_PATTERN))
        self._devices = DeviceServer(_unasked, rule, self.live)

    @property
    def pulls(self) -> PullsUnderWay:
        """What the facade waits for while it drains."""
        return self._devices.pulls

    def say(self, statement: Statement) -> None:
        """Have the gate believe a statement from now on."""
        public_key = self.writer.statement_key.public_key()
        row = StatementRow(statement.subject, self.writer.sign(statement))
        self.snapshot.apply(verify_row(row, {key_id(public_key): public_key}))

    def approve(self, **scope: Any) -> ConnectionApproval:
        """Approve an anonymous connection of the host."""
        approval = self.writer.approval(HOST, **scope)
        self.say(approval)
        return approval

    def identify(self, connection: DeviceConnection) -> DeviceIdentity:
        """Ask the gate who asks, now."""
        return self.gate.identify_device(connection, dt.datetime.now(dt.UTC))

    def authorize(self, pull: Pull, device: DeviceIdentity) -> ApprovedConnection:
        """Ask the gate for the connection of a pull, now."""
        return self.gate.authorize(pull, device, dt.datetime.now(dt.UTC))

    def connection(
        self,
        name: str = "press-7",
        *,
        fleet: str | None = "line-a",
        serial: int = 0xABC,
        lasts: float = 3600.0,
        problem: str = "",
    ) -> DeviceConnection:
        """Return a connection of a device; of nobody, where there is a problem."""
        not_after = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=lasts)
        identity = None if problem else DeviceIdentity(name, fleet, f"{serial:x}", not_after)
        made = self._devices()
        made.device = PresentedDevice(
            identity, AUTHORITY.name, serial, not_after, AUTHORITY, AUTHORITY, problem
        )
        return made


async def _unasked(_request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError
