"""What the verified statements say now: the approved connections and the revoked devices.

Pure. Rows come from Postgres or from the state folder, and neither is trusted: only the newest
verified statement of a subject serves. If a row does not verify, is older than what was seen, or is
gone without a statement, its subject is withdrawn (a device counts as revoked), and no other. What
was verified once stays remembered, so nothing older comes back.

A row of the state folder may be verified after the start. Whatever is asked of its place or subject
before is answered only once it is verified. A device that it may revoke is revoked meanwhile.
"""

from collections.abc import Container, Iterable
from enum import Enum
from typing import Final

from attrs import define, evolve, field, frozen

from facade.approvals.claims import ClaimedPlace, ServingClaim
from facade.approvals.connection_census import ConnectionCensus, counted
from facade.approvals.connection_index import ConnectionIndex, covering_prefixes
from facade.approvals.refused_rows import RefusedRows, WhyRefused
from facade.approvals.unverified_rows import UnverifiedRow, UnverifiedRows
from facade.approvals.verified_row import RefusedRow, VerifiedRow
from facade.values.device_identity import DeviceIdentity
from shared.approved_connection import ApprovedConnection
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.statement import (
    ConnectionApproval,
    DeviceLifting,
    DeviceRevocation,
    Statement,
    StoredStatement,
)

# Verified on the loop, in about 2 ms. One row claims a place, unless somebody wrote in the folder.
MAX_VERIFIED_FOR_A_PULL: Final = 16


@frozen
class RememberedStatement:
    """The newest statement that was verified for a subject, and whether it is served."""

    stored: StoredStatement
    generation: int
    withdrawn: bool = False
    verified: bool = True  # false if the state folder's bytes do not verify, or were not yet


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
    # Restored as withdrawn, or withdrawn because what was restored does not verify; not read since.
    _unsought: set[str] = field(factory=set, init=False)
    _unverified: UnverifiedRows = field(factory=UnverifiedRows, init=False)
    _late_refusals: list[RefusedRow] = field(factory=list, init=False)

    def connections_of(self, host: RegistryHost) -> tuple[ApprovedConnection, ...]:
        """Return all connections of a host that are verified, longest prefix first."""
        return self._index.of_host(host)

    def connections_covering(
        self, host: RegistryHost, repository: RepositoryName
    ) -> tuple[ApprovedConnection, ...] | None:
        """Return those of a host whose prefix covers the repository, longest prefix first.

        Of rows that are not verified yet, it verifies those that might come first. None: there are
        too many; each call leaves fewer.
        """
        if self._unverified and not self._verify_first(host, repository):
            return None
        return self._index.covering(host, repository)

    def connections(self) -> tuple[ApprovedConnection, ...]:
        """Return all connections that are verified."""
        return tuple(self._by_subject.values())

    def serving(self, subject: str) -> ApprovedConnection | None:
        """Return the connection that a subject serves now."""
        self._verify_now(subject)
        return self._by_subject.get(subject)

    def access_keys(self) -> frozenset[str]:
        """Return the access keys of the connections that are verified; of all, once settled."""
        return frozenset(self._access_keys)

    @property
    def unverified(self) -> int:
        """How many remembered rows were not verified yet."""
        return len(self._unverified)

    @property
    def is_settled(self) -> bool:
        """Whether each remembered row was verified, and those that do not verify were sought."""
        return not self._unverified and not self._unsought

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
            self._verify_now(row.subject)
            known = self._remembered[row.subject]
            if known.verified and known.stored.payload != row.stored.payload:
                reason = "another statement of a generation that was seen before"
                return self._refuse(candidate, reason, WhyRefused.CONTRADICTION)
            if not known.withdrawn:
                return Change(row.subject, RowOutcome.UNCHANGED)
        self.refused_rows.forget(row.subject)
        self._forget_claim(row.subject)
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
        self._forget_claim(subject)  # in a file without its key, a subject may have several rows
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

    def restore_unverified(
        self, unverified: UnverifiedRow, generation: int, *, withdrawn: bool
    ) -> None:
        """Take in what the state folder remembers, to be verified before it is first served by."""
        subject, claim = unverified.row.subject, unverified.claim
        self._forget_claim(subject)
        self._replace_connection(subject, None)
        self._remembered[subject] = RememberedStatement(
            unverified.row.stored, generation, withdrawn=withdrawn, verified=False
        )
        self._unverified.add(unverified)
        if not subject.startswith("connection/"):
            self._revoked.add(subject)  # as if it were refused, too
        if withdrawn:
            self._unsought.add(subject)
        elif isinstance(claim, ServingClaim):
            self.census.add(claim.counted)

    def some_unverified(self, at_most: int) -> list[UnverifiedRow]:
        """Return some of the remembered rows that were not verified yet."""
        return self._unverified.some(at_most)

    def settle(self, candidate: VerifiedRow | RefusedRow) -> None:
        """Take in what verifying a remembered row gave, unless it was replaced meanwhile."""
        subject = candidate.row.subject
        waiting = self._unverified.of(subject)
        if waiting is None or waiting.row is not candidate.row:
            return
        self._forget_claim(subject)
        known = self._remembered[subject]
        if isinstance(candidate, VerifiedRow):
            self._remembered[subject] = evolve(known, verified=True)
            if not known.withdrawn:
                self._serve(subject, candidate.statement, candidate.connection)
            return
        self._late_refusals.append(candidate)
        if not known.withdrawn or subject in self._unsought:  # else the database was read since
            self.refused_rows.note(subject, known.stored, candidate.why)
            self._withdraw(subject)
            self._unsought.add(subject)

    def take_late_refusals(self) -> list[RefusedRow]:
        """Return the remembered rows that did not verify since the last call."""
        refused, self._late_refusals = self._late_refusals, []
        return refused

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

    def _verify_first(self, host: RegistryHost, repository: RepositoryName) -> bool:
        """Verify what might serve the repository first; tell whether that was possible."""
        left = MAX_VERIFIED_FOR_A_PULL
        for prefix in covering_prefixes(repository):
            for unverified in self._unverified.claiming(ClaimedPlace(str(host), prefix), left + 1):
                if not left:
                    return False
                left -= 1
                self.settle(unverified.verified())
            if self._index.serves(host, prefix):
                break
        return True

    def _verify_now(self, subject: str) -> None:
        if (unverified := self._unverified.of(subject)) is not None:
            self.settle(unverified.verified())

    def _forget_claim(self, subject: str) -> None:
        self._uncount_claim(subject)
        self._unverified.take(subject)

    def _uncount_claim(self, subject: str) -> None:
        """Count no longer what an unverified row claims that was not withdrawn so far."""
        unverified = self._unverified.of(subject)
        if unverified is None or self._remembered[subject].withdrawn:
            return
        if isinstance(unverified.claim, ServingClaim):
            self.census.remove(unverified.claim.counted)

    def _withdraw(self, subject: str) -> None:
        self._uncount_claim(subject)
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
            self.census.remove(counted(previous))
            self._access_keys.discard(previous.access_key)
        if connection is not None:
            self._by_subject[subject] = connection
            self._access_keys.add(connection.access_key)
            self._index.add(connection)
            self.census.add(counted(connection))
