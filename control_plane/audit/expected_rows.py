"""What every column of the database must hold, according to the signed log. Pure.

No decision rests on these columns, but lists find rows by them. So `audit verify` says where a
column differs from what the signed acts made of it. For three of them nothing is signed: when a
statement was stored, a description that was never edited, and the row that acts lock.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, Protocol

from attrs import AttrsInstance, asdict, define, evolve, field, frozen

from control_plane.proof.actions import DEVICE_LIFT, DEVICE_REVOKE, Action
from shared.statement import AuditEntry

_CONNECTION: Final = "connection/"
_MAKING_REVISIONS: Final = frozenset({Action.CONNECT, Action.DRAFT, Action.ROTATE})


class Columns(Protocol):
    """A row, whose columns have names."""

    def __getitem__(self, name: str, /) -> object:
        """Return a column."""


@frozen
class ConnectionColumns:
    """What the acts have made of a connection's row."""

    created_at: datetime
    revoked_at: datetime | None = None
    approved_revision: int | None = None
    draft_revision: int | None = None


@frozen
class RevisionColumns:
    """What the acts have made of a revision's row."""

    fingerprint: str | None
    made_by: str
    made_at: datetime
    audit_sequence: int


@frozen
class DeviceColumns:
    """What the acts have made of the row of a device revocation."""

    id: str
    revoked_at: datetime
    lifted_at: datetime | None = None


@define
class ExpectedRows:
    """The rows that the entries so far have made, from the first entry on."""

    connections: dict[str, ConnectionColumns] = field(factory=dict)  # by subject
    revisions: dict[tuple[str, int], RevisionColumns] = field(factory=dict)
    devices: dict[str, DeviceColumns] = field(factory=dict)
    descriptions: dict[str, str] = field(factory=dict)  # of connections, once they were edited
    _have_statements: set[str] = field(factory=set)

    def add(self, entry: AuditEntry) -> None:
        """Take in the next entry of the chain."""
        if entry.about.startswith(_CONNECTION):
            self._add_connection(entry)
        elif entry.action == DEVICE_REVOKE:
            named = entry.details.get("revocation", "")
            self.devices[entry.about] = DeviceColumns(named, entry.at)
        elif entry.action == DEVICE_LIFT and entry.about in self.devices:
            lifted = evolve(self.devices[entry.about], lifted_at=entry.at)
            self.devices[entry.about] = lifted
        if entry.about_generation is not None:
            self._have_statements.add(entry.about)

    def _add_connection(self, entry: AuditEntry) -> None:
        subject, number = entry.about, int(entry.details.get("revision", "0"))
        if "description" in entry.details:
            self.descriptions[subject] = entry.details["description"]
        if entry.action in _MAKING_REVISIONS:
            self.revisions[subject, number] = RevisionColumns(
                entry.details.get("fingerprint"), entry.actor, entry.at, entry.generation
            )
        if entry.action == Action.CONNECT:
            self.connections[subject] = ConnectionColumns(entry.at, draft_revision=number)
            return
        row = self.connections.get(subject)
        if row is None:
            return
        match entry.action:
            case Action.DRAFT:
                row = evolve(row, draft_revision=number)
            case Action.APPROVE | Action.ROTATE:
                row = evolve(row, approved_revision=number, draft_revision=None)
            case Action.DISCARD if subject in self._have_statements:
                row = evolve(row, draft_revision=None)
            case Action.DISCARD | Action.REVOKE:
                row = evolve(row, revoked_at=entry.at)
        self.connections[subject] = row


def differences(
    place: str, actual: Columns | None, expected: Mapping[str, object] | None
) -> Iterator[str]:
    """Yield what is wrong with a row; one that is missing, or that no act made, is one fault."""
    if expected is None:
        yield f"{place}: nothing signed says that this row was made"
    elif actual is None:
        yield f"{place}: its row has vanished"
    else:
        for name, value in expected.items():
            if actual[name] != value:
                yield f"{place}: the column {name} is not what the signed log says"


def columns_of(expected: AttrsInstance | None) -> dict[str, object] | None:
    """Return the expected columns by their names."""
    return None if expected is None else asdict(expected, recurse=False)
