"""The snapshot against a simple model, whatever is written to the database in whatever order."""

from datetime import UTC, datetime
from uuid import UUID

import attrs
from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from facade.approvals.refused_rows import WhyRefused
from facade.approvals.remembered_statements import RememberedStatement
from facade.approvals.row_change import RowOutcome
from facade.approvals.snapshot import Snapshot
from facade.approvals.verified_row import (
    TOO_FAR_AHEAD,
    RefusedRow,
    StatementRow,
    VerifiedRow,
    verify_row,
)
from facade.values.device_identity import DeviceIdentity
from shared.connection import Anonymous, ConnectionDocument, fingerprint
from shared.keys import key_id
from shared.registry_host import RegistryHost
from shared.statement import (
    MAX_GENERATION,
    ConnectionApproval,
    ConnectionRevocation,
    DeviceLifting,
    DeviceRevocation,
    Operator,
    Statement,
    StoredStatement,
    sign,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEY, FOREIGN_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PUBLIC_KEYS = {key_id(KEY.public_key()): KEY.public_key()}
HOSTS = [RegistryHost.parse("a.example"), RegistryHost.parse("b.example")]
ISSUER = "CN=device CA"
CONNECTIONS = [UUID(int=number) for number in range(2)]
DEVICES = ["press-7"]
SERIAL = "abc"
SUBJECTS = [
    *(f"connection/{each}" for each in CONNECTIONS),
    *(f"device/{each}" for each in DEVICES),
    f"certificate/{SERIAL}/{ISSUER}",
]
subjects = st.sampled_from(SUBJECTS)


def statement_of(subject: str, generation: int, *, grants: bool, host: RegistryHost) -> Statement:
    """Return what the control plane says of a subject: that it may, or that it may not."""
    kind, _, name = subject.partition("/")
    if kind == "connection":
        if not grants:
            return ConnectionRevocation(UUID(name), "bob", NOW, generation)
        document = ConnectionDocument(host, Anonymous(), "alice", NOW).to_bytes()
        return ConnectionApproval(
            UUID(name), document.decode(), fingerprint(document), "bob", NOW, generation
        )
    about = {"device": name} if kind == "device" else {"serial": SERIAL, "issuer": ISSUER}
    statement = DeviceLifting if grants else DeviceRevocation
    return statement(UUID(int=0), "bob", NOW, generation, **about)


def evolve_author(statement: Statement) -> Statement:
    """Return the same statement of somebody else."""
    by = next(each.name for each in attrs.fields(type(statement)) if each.name.endswith("_by"))
    return attrs.evolve(statement, **{by: "mallory"})  # type: ignore[arg-type]  # one of a union


def tampered(row: StatementRow, how: str, generation: int) -> StatementRow:
    """Return a row that nobody may believe."""
    stored = row.stored
    flipped = bytes([stored.signature[0] ^ 1]) + stored.signature[1:]
    operator = Operator("eve", "admin", "0" * 64, "eve", NOW, generation)
    changed: dict[str, StoredStatement] = {
        "signature": attrs.evolve(stored, signature=flipped),
        "payload": attrs.evolve(stored, payload=stored.payload + b" "),
        "key": attrs.evolve(stored, key_id="0" * 16),
        "type": attrs.evolve(stored, type="connection-approval/2"),
        "foreign key": attrs.evolve(
            stored, signature=FOREIGN_KEY.sign(stored.payload), key_id=next(iter(PUBLIC_KEYS))
        ),
        "another statement": sign(operator, KEY),
    }
    return StatementRow(row.subject, changed[how])


@frozen
class Known:
    """What a facade must hold of a subject: its newest statement, and whether it lost it since."""

    row: StatementRow
    generation: int
    grants: bool
    withdrawn: bool = False


@define
class Model:
    """The promise: the newest genuine statement that was ever seen, or nothing."""

    genuine: dict[StatementRow, tuple[int, bool]]
    known: dict[str, Known]
    refused: set[str] = field(factory=set)  # subjects whose row is not believed, as it was read
    unsought: set[str] = field(factory=set)  # withdrawn before a restart, and not read since
    vanished: set[str] = field(factory=set)  # approvals whose row is gone

    def read(self, subject: str, row: StatementRow | None) -> bool:
        """Take in what the database has of a subject; tell whether it was news to be believed."""
        known = self.known.get(subject)
        generation, grants = self.genuine.get(row, (0, False)) if row else (0, False)
        contradicts = known is not None and generation == known.generation and row != known.row
        older = known is not None and generation < known.generation
        self.refused.discard(subject)
        self.unsought.discard(subject)
        self.vanished.discard(subject)
        if row is None and known is not None and known.grants and subject in SUBJECTS[:2]:
            self.vanished.add(subject)
        if row is not None and (generation == 0 or contradicts or older):
            self.refused.add(subject)
        if generation == 0 or contradicts or older:
            if known is not None:
                self.known[subject] = attrs.evolve(known, withdrawn=True)
            return False
        assert row is not None
        is_news = known is None or known.withdrawn or generation > known.generation
        self.known[subject] = Known(row, generation, grants)
        return is_news

    def serves(self, subject: str) -> bool:
        """Tell whether a connection serves."""
        known = self.known.get(subject)
        return known is not None and known.grants and not known.withdrawn

    def is_revoked(self, subject: str) -> bool:
        """Tell whether a device or certificate is revoked: also where its statement was lost."""
        known = self.known.get(subject)
        return known is not None and (known.withdrawn or not known.grants)


class SnapshotMachine(RuleBasedStateMachine):
    """A control plane, an attacker with the database, and a facade that restarts."""

    @initialize()
    def start(self) -> None:
        """Begin with nothing."""
        self.generation = 0
        self.database: dict[str, StatementRow] = {}
        self.genuine: dict[str, list[StatementRow]] = {subject: [] for subject in SUBJECTS}
        self.forged: dict[str, list[StatementRow]] = {subject: [] for subject in SUBJECTS}
        self.model = Model({}, {})
        self.snapshot = Snapshot()
        self.on_disk: dict[str, RememberedStatement] = {}

    @rule(subject=subjects, grants=st.booleans(), host=st.sampled_from(HOSTS), told=st.booleans())
    def say(self, subject: str, host: RegistryHost, *, grants: bool, told: bool) -> None:
        """Have the control plane sign and write a statement; the trigger may be silenced."""
        self.generation += 1
        statement = statement_of(subject, self.generation, grants=grants, host=host)
        row = StatementRow(subject, sign(statement, KEY))
        self.genuine[subject].append(row)
        self.model.genuine[row] = (self.generation, grants)
        self._write(row, told=told)

    @rule(
        subject=subjects,
        how=st.sampled_from(
            ["signature", "payload", "key", "type", "foreign key", "another statement"]
        ),
        told=st.booleans(),
    )
    def tamper(self, subject: str, how: str, *, told: bool) -> None:
        """Have the attacker change a genuine row."""
        if self.genuine[subject]:
            forged = tampered(self.genuine[subject][-1], how, self.generation + 1)
            self.forged[subject].append(forged)
            self._write(forged, told=told)

    @rule(subject=subjects, how=st.sampled_from(["signature", "payload"]))
    def flap(self, subject: str, how: str) -> None:
        """Have the attacker change a row, put it back, and change it in the same way again."""
        if self.genuine[subject]:
            forged = tampered(self.genuine[subject][-1], how, self.generation + 1)
            for row in (forged, self.genuine[subject][-1], forged):
                self._write(row, told=True)

    @rule(subject=subjects, grants=st.booleans(), told=st.booleans())
    def contradict(self, subject: str, *, grants: bool, told: bool) -> None:
        """Have a second control plane sign something else of the generation that was last."""
        if self.genuine[subject]:
            generation, _ = self.model.genuine[self.genuine[subject][-1]]
            statement = statement_of(subject, generation, grants=grants, host=HOSTS[0])
            row = StatementRow(subject, sign(evolve_author(statement), KEY))
            self.model.genuine[row] = (generation, grants)
            self.forged[subject].append(row)
            self._write(row, told=told)

    @rule(subject=subjects, other=subjects, told=st.booleans())
    def copy(self, subject: str, other: str, *, told: bool) -> None:
        """Have the attacker put one subject's row in the place of another's."""
        if other in self.database:
            self._write(StatementRow(subject, self.database[other].stored), told=told)

    @rule(subject=subjects, told=st.booleans())
    def delete(self, subject: str, *, told: bool) -> None:
        """Have the attacker delete a row."""
        self.database.pop(subject, None)
        if told:
            self._read(subject)

    @rule()
    def truncate(self) -> None:
        """Have the attacker delete all rows."""
        self.database.clear()

    @rule(subject=subjects, data=st.data(), told=st.booleans())
    def put_back(self, subject: str, data: st.DataObject, *, told: bool) -> None:
        """Have the attacker, or a restored backup, put back any row that was ever there."""
        ever = self.genuine[subject] + self.forged[subject]
        if ever:
            self._write(data.draw(st.sampled_from(ever)), told=told)

    @rule(subject=subjects)
    def notify(self, subject: str) -> None:
        """Have the facade read one subject, whether or not anything has changed."""
        self._read(subject)

    @rule()
    def poll(self) -> None:
        """Have the facade compare everything, by signatures, as its poll does."""
        signatures = {
            subject: known.row.stored.signature
            for subject, known in self.model.known.items()
            if not known.withdrawn
        }
        everything = {*self.model.known, *self.database}
        remembered = self.snapshot.remembered
        assert set(remembered.subjects()) == self.model.known.keys() | self.model.refused
        for subject, signature in signatures.items():
            assert not self.snapshot.remembered.differs(subject, signature)
        for subject in everything:
            assert self.snapshot.remembered.differs(subject, b"another signature")
        standing = signatures.keys() - self.database.keys()
        waiting = self.model.refused | self.model.unsought
        expected = standing | (waiting - self.database.keys())
        absent = remembered.absent(remembered.subjects(), self.database)
        assert set(absent) == expected
        changes = {subject: self.snapshot.vanish(subject) for subject in absent}
        vanished = {each for each in absent if changes[each].outcome is RowOutcome.VANISHED}
        assert vanished == standing
        for subject in expected:
            self.model.read(subject, None)
        for subject in standing:
            self._keep(subject)
        for subject, row in self.database.items():
            differs = signatures.get(subject) != row.stored.signature
            assert self.snapshot.remembered.differs(subject, row.stored.signature) == differs
            if differs:
                self._read(subject)

    @rule()
    def restart(self) -> None:
        """Have the facade forget everything but its state folder."""
        self.snapshot = Snapshot()
        self.model.refused.clear()  # until the database is read again
        self.model.vanished.clear()
        self.model.unsought = {
            subject for subject, remembered in self.on_disk.items() if remembered.withdrawn
        }
        for subject, remembered in self.on_disk.items():
            candidate = verify_row(StatementRow(subject, remembered.stored), PUBLIC_KEYS)
            assert isinstance(candidate, VerifiedRow)
            self.snapshot.restore(candidate, remembered.generation, withdrawn=remembered.withdrawn)

    @invariant()
    def the_facade_does_what_the_model_says(self) -> None:
        """Compare all that anybody can see of the snapshot."""
        if not hasattr(self, "model"):
            return
        serving = {subject for subject in SUBJECTS if self.model.serves(subject)} & set(
            SUBJECTS[: len(CONNECTIONS)]
        )
        assert {each for each in SUBJECTS if self.snapshot.serving(each)} == serving
        assert sum(self.snapshot.census.serving(NOW).values()) == len(serving)
        assert len(self.snapshot.connections.access_keys()) == len(serving)
        rows = self.snapshot.refused_rows
        assert set(rows.subjects()) == self.model.refused
        of_connections = {each for each in self.model.refused if each.startswith("connection/")}
        assert rows.of_connections.total() == len(of_connections)
        assert rows.of_devices.total() == len(self.model.refused - of_connections)
        assert 0 <= rows.would_serve <= len(of_connections)
        assert self.snapshot.remembered.vanished_connections == len(self.model.vanished)
        by_host = [each for host in HOSTS for each in self.snapshot.connections.of_host(host)]
        assert sorted(f"connection/{each.id}" for each in by_host) == sorted(serving)
        for host in HOSTS:
            served = self.snapshot.connections.of_host(host)
            assert {each.document.host for each in served} <= {host}
        for subject in serving:
            connection = self.snapshot.serving(subject)
            assert connection is not None
            assert connection.generation == self.model.known[subject].generation
        for device in DEVICES:
            identity = DeviceIdentity(device, None, "other serial", NOW)
            revoked = self.model.is_revoked(f"device/{device}")
            assert self.snapshot.revoked.includes(identity, ISSUER) == revoked
        certificate = DeviceIdentity("press-9", None, SERIAL, NOW)
        is_revoked = self.model.is_revoked(SUBJECTS[-1])
        assert self.snapshot.revoked.includes(certificate, ISSUER) == is_revoked
        assert not self.snapshot.revoked.includes(certificate, "CN=another CA")

    def _write(self, row: StatementRow, *, told: bool) -> None:
        self.database[row.subject] = row
        if told:
            self._read(row.subject)

    def _read(self, subject: str) -> None:
        row = self.database.get(subject)
        before = self.model.known.get(subject)
        is_news = self.model.read(subject, row)
        if row is None:
            change = self.snapshot.vanish(subject)
        else:
            change = self.snapshot.apply(verify_row(row, PUBLIC_KEYS))
        after = self.model.known.get(subject)
        assert (change.outcome is RowOutcome.ACCEPTED) == is_news
        if before != after:
            assert change.outcome is not RowOutcome.UNCHANGED
            self._keep(subject)

    def _keep(self, subject: str) -> None:
        remembered = self.snapshot.remembered.get(subject)
        assert remembered is not None
        self.on_disk[subject] = remembered


TestSnapshot = SnapshotMachine.TestCase
TestSnapshot.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_a_refusal_is_told_once_for_each_row() -> None:
    """A poll that repeats itself every few seconds would fill the log."""
    snapshot = Snapshot()
    statement = statement_of(SUBJECTS[0], 1, grants=True, host=HOSTS[0])
    genuine = StatementRow(SUBJECTS[0], sign(statement, KEY))
    refusals = [
        verify_row(tampered(genuine, how, 2), PUBLIC_KEYS) for how in ("signature", "payload")
    ]
    for refused in refusals:
        assert isinstance(refused, RefusedRow)
        assert snapshot.apply(refused).outcome is RowOutcome.REFUSED
        assert snapshot.apply(refused).outcome is RowOutcome.UNCHANGED
    assert snapshot.apply(verify_row(genuine, PUBLIC_KEYS)).outcome is RowOutcome.ACCEPTED
    assert snapshot.apply(refusals[-1]).outcome is RowOutcome.REFUSED
    assert snapshot.serving(SUBJECTS[0]) is None


def test_what_the_state_folder_has_is_verified_again() -> None:
    """Whoever writes in the state folder alone, or a disk that rots, is not believed.

    The generation that stands there is: what is older stays out, and the database's genuine
    statement of that generation serves again.
    """
    genuine = StatementRow(
        SUBJECTS[0], sign(statement_of(SUBJECTS[0], 1, grants=True, host=HOSTS[0]), KEY)
    )
    forged = verify_row(tampered(genuine, "payload", 2), PUBLIC_KEYS)
    snapshot = Snapshot()
    snapshot.restore(forged, 1, withdrawn=False)
    assert snapshot.serving(SUBJECTS[0]) is None
    assert snapshot.vanish(SUBJECTS[0]).outcome is RowOutcome.UNCHANGED
    assert snapshot.apply(verify_row(genuine, PUBLIC_KEYS)).outcome is RowOutcome.ACCEPTED
    assert snapshot.serving(SUBJECTS[0]) is not None


def test_a_revocation_that_the_state_folder_cannot_prove_holds() -> None:
    """After the statement key was changed, say: nobody is let in for it."""
    subject = f"device/{DEVICES[0]}"
    row = StatementRow(subject, sign(statement_of(subject, 1, grants=False, host=HOSTS[0]), KEY))
    unknown_key = verify_row(row, {})
    assert isinstance(unknown_key, RefusedRow)
    snapshot = Snapshot()
    snapshot.restore(unknown_key, 1, withdrawn=False)
    assert snapshot.revoked.includes(DeviceIdentity(DEVICES[0], None, "1", NOW), ISSUER)


def candidate(subject: str, generation: int, *, grants: bool) -> VerifiedRow | RefusedRow:
    """Return a row as it is at a time when 100 is the highest generation that is taken."""
    statement = statement_of(subject, generation, grants=grants, host=HOSTS[0])
    return verify_row(StatementRow(subject, sign(statement, KEY)), PUBLIC_KEYS, 100)


def test_a_generation_far_ahead_is_neither_taken_nor_remembered() -> None:
    """Otherwise nothing newer could ever be, such as an approval or the lifting of a revocation."""
    snapshot, subject = Snapshot(), SUBJECTS[0]
    assert snapshot.apply(candidate(subject, 5, grants=True)).outcome is RowOutcome.ACCEPTED
    refused = snapshot.apply(candidate(subject, MAX_GENERATION, grants=True))
    assert (refused.outcome, refused.reason) == (RowOutcome.REFUSED, TOO_FAR_AHEAD)
    assert snapshot.serving(subject) is None
    assert snapshot.refused_rows.of_connections[WhyRefused.AHEAD] == 1
    known = snapshot.remembered.get(subject)
    assert known is not None
    assert known.generation == 5
    assert snapshot.apply(candidate(subject, 4, grants=True)).outcome is RowOutcome.REFUSED
    assert snapshot.apply(candidate(subject, 100, grants=True)).outcome is RowOutcome.ACCEPTED
    assert snapshot.serving(subject) is not None


def test_a_revocation_far_ahead_revokes_and_is_not_remembered() -> None:
    """Whoever signed it wants the device gone; a lifting of today ends it."""
    snapshot, subject = Snapshot(), f"device/{DEVICES[0]}"
    device = DeviceIdentity(DEVICES[0], None, "1", NOW)
    assert snapshot.apply(candidate(subject, 101, grants=False)).outcome is RowOutcome.REFUSED
    assert snapshot.revoked.includes(device, ISSUER)
    assert snapshot.remembered.get(subject) is None
    assert snapshot.apply(candidate(subject, 7, grants=True)).outcome is RowOutcome.ACCEPTED
    assert not snapshot.revoked.includes(device, ISSUER)
    assert snapshot.apply(candidate(subject, 101, grants=True)).outcome is RowOutcome.REFUSED
    assert snapshot.revoked.includes(device, ISSUER)  # what is not believed lets nobody in
