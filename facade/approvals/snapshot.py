"""What the verified statements say now: the approved connections and the revoked devices.

Pure. Rows come from Postgres or from the state folder, and neither is trusted: only the newest
verified statement of a subject serves. If a row does not verify, is older than what was seen, or is
gone without a statement, its subject is withdrawn (a device counts as revoked), and no other. What
was verified once stays remembered, so nothing older comes back.
"""

import hashlib
from collections.abc import Container, Iterable, Mapping
from enum import Enum
from typing import Final

from attrs import define, evolve, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from facade.approvals.connection_census import ConnectionCensus
from facade.approvals.connection_index import ConnectionIndex
from facade.approvals.refused_rows import RefusedRows, WhyRefused
from facade.values.device_identity import DeviceIdentity
from shared.approved_connection import ApprovedConnection, approved_connection
from shared.oci import RepositoryName
from shared.outside_bytes import Party, reads_bytes_of
from shared.registry_host import RegistryHost
from shared.statement import (
    MAX_GENERATION,
    ConnectionApproval,
    ConnectionRevocation,
    DeviceLifting,
    DeviceRevocation,
    Statement,
    StatementRefusedError,
    StoredStatement,
    verify,
)

TOO_FAR_AHEAD: Final = "of a time more than a year ahead of this clock"
FACADE_STATEMENTS: Final = (
    ConnectionApproval | ConnectionRevocation | DeviceRevocation | DeviceLifting
)


@frozen
class StatementRow:
    """A row of the facade's view. `subject` is only a claim, which is checked."""

    subject: str
    stored: StoredStatement


@frozen
class RememberedStatement:
    """The newest statement that was verified for a subject, and whether it is served."""

    stored: StoredStatement
    generation: int
    withdrawn: bool = False
    verified: bool = True  # false if the state folder's bytes do not verify (any more)


class RowOutcome(Enum):
    """What a row or an absence did."""

    UNCHANGED = "unchanged"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    VANISHED = "vanished"


@frozen
class Change:
    """What happened to a subject, and why. The caller stores and logs it."""

    subject: str
    outcome: RowOutcome
    reason: str = ""
    statement_type: str = ""
    generation: int | None = None
    is_strangers: bool = False  # nothing of the subject was ever believed, so nothing depends on it


@frozen
class VerifiedRow:
    """A row whose signature, type and parts were verified. Making one takes about 0.2 ms."""

    row: StatementRow
    statement: Statement
    connection: ApprovedConnection | None
    identity: bytes = b""  # of the row's content


@frozen
class RefusedRow:
    """A row that is not believed."""

    row: StatementRow
    reason: str
    why: WhyRefused
    identity: bytes = b"not read"  # of the row's content
    revokes: bool = False  # a signed revocation nevertheless: nobody gains by it


@reads_bytes_of(Party.DATABASE, Party.FILE)
def verify_row(
    row: StatementRow,
    public_keys: Mapping[str, Ed25519PublicKey],
    highest_generation: int = MAX_GENERATION,
) -> VerifiedRow | RefusedRow:
    """Return the verified row, or why it is refused: a higher generation, too.

    Safe in a thread, and for one.
    """
    identity = _identity(row.stored)
    try:
        statement = verify(row.stored, public_keys)
        if not isinstance(statement, FACADE_STATEMENTS):
            reason = "a statement of this type is not for the facade"
            return RefusedRow(row, reason, WhyRefused.UNKNOWN_TYPE, identity)
        if statement.subject != row.subject:
            reason = "the statement is about another subject"
            return RefusedRow(row, reason, WhyRefused.OTHER_SUBJECT, identity)
        if statement.generation > highest_generation:
            revokes = isinstance(statement, DeviceRevocation)
            return RefusedRow(row, TOO_FAR_AHEAD, WhyRefused.AHEAD, identity, revokes)
        connection = (
            approved_connection(statement) if isinstance(statement, ConnectionApproval) else None
        )
    except StatementRefusedError as error:
        return RefusedRow(row, str(error), WhyRefused.of(error), identity)
    except Exception as error:  # noqa: BLE001 - of one row, and no other row's failure
        reason = f"it cannot be verified ({type(error).__name__})"
        return RefusedRow(row, reason, WhyRefused.MALFORMED, identity)
    return VerifiedRow(row, statement, connection, identity)


@define
class Snapshot:
    """The state of one facade process. For one event loop."""

    _remembered: dict[str, RememberedStatement] = field(factory=dict, init=False)
    _by_subject: dict[str, ApprovedConnection] = field(factory=dict, init=False)
    _index: ConnectionIndex = field(factory=ConnectionIndex, init=False)
    _access_keys: set[str] = field(factory=set, init=False)  # a connection's own: it names it
    _revoked: set[str] = field(factory=set, init=False)
    census: ConnectionCensus = field(factory=ConnectionCensus, init=False)  # of the connections
    refused_rows: RefusedRows = field(factory=RefusedRows, init=False)  # as they were read last
    _vanished: set[str] = field(factory=set, init=False)  # approved connections without a row
    _unsought: set[str] = field(factory=set, init=False)  # restored as withdrawn, and not read yet

    def connections_of(self, host: RegistryHost) -> tuple[ApprovedConnection, ...]:
        """Return all approved connections of a host, longest prefix first."""
        return self._index.of_host(host)

    def connections_covering(
        self, host: RegistryHost, repository: RepositoryName
    ) -> tuple[ApprovedConnection, ...]:
        """Return those of a host whose prefix covers the repository, longest prefix first."""
        return self._index.covering(host, repository)

    def connections(self) -> tuple[ApprovedConnection, ...]:
        """Return all approved connections."""
        return tuple(self._by_subject.values())

    def serving(self, subject: str) -> ApprovedConnection | None:
        """Return the connection that a subject serves now."""
        return self._by_subject.get(subject)

    def access_keys(self) -> frozenset[str]:
        """Return the access keys of all connections that are served now."""
        return frozenset(self._access_keys)

    def is_revoked(self, device: DeviceIdentity, issuer: str) -> bool:
        """Tell whether the device, or its certificate, is revoked. The issuer is RFC 4514."""
        return bool(self._revoked) and not self._revoked.isdisjoint(
            (
                *(f"device/{name}" for name in device.names),
                f"certificate/{device.serial}/",
                f"certificate/{device.serial}/{issuer}",
            )
        )

    @property
    def vanished_connections(self) -> int:
        """How many approved connections have left the database without a statement."""
        return len(self._vanished)

    def differs(self, subject: str, signature: bytes | None) -> bool:
        """Tell whether a row with this signature differs from the one that is served."""
        known = self._remembered.get(subject)
        return known is None or known.withdrawn or known.stored.signature != signature

    def knows(self, subject: str) -> bool:
        """Tell whether a subject is remembered, or its row is refused."""
        return subject in self._remembered or subject in self.refused_rows

    def subjects(self) -> list[str]:
        """Return every subject that is remembered, or whose row is refused.

        This includes tombstones and what is withdrawn.
        """
        return [*self._remembered, *(self.refused_rows.subjects() - self._remembered.keys())]

    def absent(self, subjects: Iterable[str], present: Container[str]) -> list[str]:
        """Return the subjects that should have a row, but are not among those present."""
        return [subject for subject in subjects if subject not in present and self._stands(subject)]

    def remembered(self, subject: str) -> RememberedStatement | None:
        """Return what is remembered of a subject."""
        return self._remembered.get(subject)

    def apply(self, candidate: VerifiedRow | RefusedRow) -> Change:
        """Take in one row of the database."""
        self._note_present(candidate.row.subject)
        if isinstance(candidate, RefusedRow):
            if candidate.revokes:
                self._revoked.add(candidate.row.subject)  # its generation is not remembered
            return self._refuse(candidate, candidate.reason, candidate.why)
        row, statement = candidate.row, candidate.statement
        known = self._remembered.get(row.subject)
        if known is not None and statement.generation < known.generation:
            reason = "older than a statement that was seen before"
            return self._refuse(candidate, reason, WhyRefused.OLDER)
        if known is not None and statement.generation == known.generation:
            if known.verified and known.stored.payload != row.stored.payload:
                reason = "another statement of a generation that was seen before"
                return self._refuse(candidate, reason, WhyRefused.CONTRADICTION)
            if not known.withdrawn:
                return Change(row.subject, RowOutcome.UNCHANGED)
        self.refused_rows.forget(row.subject)
        self._remembered[row.subject] = RememberedStatement(row.stored, statement.generation)
        self._serve(row.subject, statement, candidate.connection)
        return Change(
            row.subject,
            RowOutcome.ACCEPTED,
            statement_type=statement.TYPE,
            generation=statement.generation,
        )

    def restore(
        self, candidate: VerifiedRow | RefusedRow, generation: int, *, withdrawn: bool
    ) -> None:
        """Take in what the state folder remembers, including the generation of a refused row."""
        subject = candidate.row.subject
        verified = isinstance(candidate, VerifiedRow)
        self._remembered[subject] = RememberedStatement(
            candidate.row.stored, generation, verified=verified
        )
        if isinstance(candidate, VerifiedRow):
            self._serve(subject, candidate.statement, candidate.connection)
        else:
            self.refused_rows.note(subject, candidate.row.stored, candidate.why)
        if withdrawn or not verified:
            self._withdraw(subject)
            self._unsought.add(subject)

    def vanish(self, subject: str) -> Change:
        """Withdraw a subject whose row is gone. Only a statement can end or change it for good."""
        known = self._remembered.get(subject)
        self.refused_rows.forget(subject)
        self._unsought.discard(subject)
        if known is not None and known.stored.type == ConnectionApproval.TYPE:
            self._vanished.add(subject)
        if known is None or known.withdrawn:
            return Change(subject, RowOutcome.UNCHANGED)
        self._withdraw(subject)
        reason = "its row is gone without a statement"
        return Change(subject, RowOutcome.VANISHED, reason, generation=known.generation)

    def _stands(self, subject: str) -> bool:
        if subject in self.refused_rows or subject in self._unsought:
            return True
        known = self._remembered.get(subject)
        return known is not None and not known.withdrawn

    def _note_present(self, subject: str) -> None:
        """Note that a subject has a row, whatever is in it."""
        self._vanished.discard(subject)
        self._unsought.discard(subject)

    def _refuse(self, candidate: VerifiedRow | RefusedRow, reason: str, why: WhyRefused) -> Change:
        row, is_stranger = candidate.row, candidate.row.subject not in self._remembered
        if not self.refused_rows.is_news(
            row.subject, row.stored, why, candidate.identity, is_stranger=is_stranger
        ):
            return Change(row.subject, RowOutcome.UNCHANGED)
        self._withdraw(row.subject)
        return Change(row.subject, RowOutcome.REFUSED, reason, is_strangers=is_stranger)

    def _withdraw(self, subject: str) -> None:
        known = self._remembered.get(subject)
        if known is not None:
            self._remembered[subject] = evolve(known, withdrawn=True)
            if not subject.startswith("connection/"):
                self._revoked.add(subject)
        self._replace_connection(subject, None)

    def _serve(
        self, subject: str, statement: Statement, connection: ApprovedConnection | None
    ) -> None:
        self._replace_connection(subject, connection)
        if isinstance(statement, DeviceRevocation):
            self._revoked.add(subject)
        elif isinstance(statement, DeviceLifting):
            self._revoked.discard(subject)

    def _replace_connection(self, subject: str, connection: ApprovedConnection | None) -> None:
        previous = self._by_subject.pop(subject, None)
        if previous is not None:
            self._index.remove(previous)
            self.census.remove(previous)
            self._access_keys.discard(previous.access_key)
        if connection is not None:
            self._by_subject[subject] = connection
            self._access_keys.add(connection.access_key)
            self._index.add(connection)
            self.census.add(connection)


def _identity(stored: StoredStatement) -> bytes:
    return hashlib.sha256(
        b"\0".join((stored.type.encode(), stored.key_id.encode(), stored.signature, stored.payload))
    ).digest()
