"""What the verified statements say now: the approved connections and the revoked devices.

Pure. Rows come from Postgres or from the state folder, and neither is trusted: only the newest
verified statement of a subject serves. If a row does not verify, is older than what was seen, or is
gone without a statement, its subject is withdrawn (a device counts as revoked), and no other. What
was verified once stays remembered, so nothing older comes back.

A row of the state folder may be verified after the start. Whatever is asked of its place or subject
before is answered only once it is verified. A device that it may revoke is revoked meanwhile.
"""

from typing import Final

from attrs import define, evolve, field

from facade.approvals.claims import ClaimedPlace, ServingClaim
from facade.approvals.connection_census import ConnectionCensus
from facade.approvals.connection_index import covering_prefixes
from facade.approvals.refused_rows import RefusedRows, WhyRefused
from facade.approvals.remembered_statements import RememberedStatement, RememberedStatements
from facade.approvals.revoked_devices import RevokedDevices
from facade.approvals.row_change import Change, RowOutcome
from facade.approvals.served_connections import ServedConnections
from facade.approvals.unverified_rows import UnverifiedRow, UnverifiedRows
from facade.approvals.verified_row import RefusedRow, VerifiedRow
from shared.approved_connection import ApprovedConnection
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.statement import (
    DeviceLifting,
    DeviceRevocation,
    Statement,
)

# Verified on the loop, in about 2 ms. One row claims a place, unless somebody wrote in the folder.
MAX_VERIFIED_FOR_A_PULL: Final = 16


@define
class Snapshot:
    """The state of one facade process. For one event loop."""

    census: ConnectionCensus = field(factory=ConnectionCensus, init=False)  # of the connections
    refused_rows: RefusedRows = field(factory=RefusedRows, init=False)  # as they were read last
    connections: ServedConnections = field(init=False)
    revoked: RevokedDevices = field(factory=RevokedDevices, init=False)
    remembered: RememberedStatements = field(init=False)
    _unverified: UnverifiedRows = field(factory=UnverifiedRows, init=False)
    _late_refusals: list[RefusedRow] = field(factory=list, init=False)

    @connections.default
    def _in_the_census(self) -> ServedConnections:
        return ServedConnections(self.census)

    @remembered.default
    def _beside_refused_rows(self) -> RememberedStatements:
        return RememberedStatements(self.refused_rows)

    def connections_covering(
        self, host: RegistryHost, repository: RepositoryName
    ) -> tuple[ApprovedConnection, ...] | None:
        """Return those of a host whose prefix covers the repository, longest prefix first.

        Of rows that are not verified yet, it verifies those that might come first. None: there are
        too many; each call leaves fewer.
        """
        if self._unverified and not self._verify_first(host, repository):
            return None
        return self.connections.covering(host, repository)

    def serving(self, subject: str) -> ApprovedConnection | None:
        """Return the connection that a subject serves now."""
        self._verify_now(subject)
        return self.connections.of(subject)

    @property
    def unverified(self) -> int:
        """How many remembered rows were not verified yet."""
        return len(self._unverified)

    @property
    def is_settled(self) -> bool:
        """Whether each remembered row was verified, and the others of their subjects were read."""
        return not self._unverified and self.remembered.all_read

    def apply(self, candidate: VerifiedRow | RefusedRow) -> Change:
        """Take in one row of the database."""
        self.remembered.note_present(candidate.row.subject)
        if isinstance(candidate, RefusedRow):
            if candidate.revokes:
                self.revoked.add(candidate.row.subject)  # its generation is not remembered
            return self._refuse(candidate, candidate.reason, candidate.why)
        row, statement = candidate.row, candidate.statement
        known = self.remembered.get(row.subject)
        if known is not None and statement.generation < known.generation:
            reason = "older than a statement that was seen before"
            return self._refuse(candidate, reason, WhyRefused.OLDER)
        if known is not None and statement.generation == known.generation:
            self._verify_now(row.subject)
            known = self.remembered[row.subject]
            if known.verified and known.stored.payload != row.stored.payload:
                reason = "another statement of a generation that was seen before"
                return self._refuse(candidate, reason, WhyRefused.CONTRADICTION)
            if not known.withdrawn:
                return Change(row.subject, RowOutcome.UNCHANGED)
        self.refused_rows.forget(row.subject)
        self._forget_claim(row.subject)
        self.remembered[row.subject] = RememberedStatement(row.stored, statement.generation)
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
        self.remembered[subject] = RememberedStatement(
            candidate.row.stored, generation, verified=verified
        )
        if isinstance(candidate, VerifiedRow):
            self._serve(subject, candidate.statement, candidate.connection)
        else:
            self.refused_rows.note(subject, candidate.row.stored, candidate.why)
        if withdrawn or not verified:
            self._withdraw(subject)
            self.remembered.read_again(subject)

    def restore_unverified(
        self, unverified: UnverifiedRow, generation: int, *, withdrawn: bool
    ) -> None:
        """Take in what the state folder remembers, to be verified before it is first served by."""
        subject, claim = unverified.row.subject, unverified.claim
        self._forget_claim(subject)
        self.connections.replace(subject, None)
        self.remembered[subject] = RememberedStatement(
            unverified.row.stored, generation, withdrawn=withdrawn, verified=False
        )
        self._unverified.add(unverified)
        if not subject.startswith("connection/"):
            self.revoked.add(subject)  # as if it were refused, too
        if withdrawn:
            self.remembered.read_again(subject)
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
        known = self.remembered[subject]
        if isinstance(candidate, VerifiedRow):
            self.remembered[subject] = evolve(known, verified=True)
            if not known.withdrawn:
                self._serve(subject, candidate.statement, candidate.connection)
            return
        self._late_refusals.append(candidate)
        # Otherwise the database was read since.
        if not known.withdrawn or self.remembered.is_to_be_read(subject):
            self.refused_rows.note(subject, known.stored, candidate.why)
            self._withdraw(subject)
            self.remembered.read_again(subject)

    def take_late_refusals(self) -> list[RefusedRow]:
        """Return the remembered rows that did not verify since the last call."""
        refused, self._late_refusals = self._late_refusals, []
        return refused

    def vanish(self, subject: str) -> Change:
        """Withdraw a subject whose row is gone. Only a statement can end or change it for good."""
        self.refused_rows.forget(subject)
        self.remembered.note_absent(subject)
        known = self.remembered.get(subject)
        if known is None or known.withdrawn:
            return Change(subject, RowOutcome.UNCHANGED)
        self._withdraw(subject)
        reason = "its row is gone without a statement"
        return Change(subject, RowOutcome.VANISHED, reason, generation=known.generation)

    def _refuse(self, candidate: VerifiedRow | RefusedRow, reason: str, why: WhyRefused) -> Change:
        row, is_stranger = candidate.row, candidate.row.subject not in self.remembered
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
            if self.connections.have_prefix(host, prefix):
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
        if unverified is None or self.remembered[subject].withdrawn:
            return
        if isinstance(unverified.claim, ServingClaim):
            self.census.remove(unverified.claim.counted)

    def _withdraw(self, subject: str) -> None:
        self._uncount_claim(subject)
        self.remembered.withdraw(subject)
        if subject in self.remembered and not subject.startswith("connection/"):
            self.revoked.add(subject)
        self.connections.replace(subject, None)

    def _serve(
        self, subject: str, statement: Statement, connection: ApprovedConnection | None
    ) -> None:
        self.connections.replace(subject, connection)
        if isinstance(statement, DeviceRevocation):
            self.revoked.add(subject)
        elif isinstance(statement, DeviceLifting):
            self.revoked.lift(subject)
