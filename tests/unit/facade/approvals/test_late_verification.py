"""A snapshot that verifies what it remembers late, beside one that verified it at its start.

Whatever is asked of both is answered alike, at every moment and in whatever order.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from facade.approvals.claims import claim_of
from facade.approvals.refused_rows import WhyRefused
from facade.approvals.remembered_statements import RememberedStatement
from facade.approvals.remembering import Remembering
from facade.approvals.row_change import RowOutcome
from facade.approvals.snapshot import MAX_VERIFIED_FOR_A_PULL, Snapshot
from facade.approvals.state_file import StateFile
from facade.approvals.statement_feed import StatementFeed
from facade.approvals.unverified_rows import UnverifiedRow
from facade.approvals.verified_row import RefusedRow, StatementRow, VerifiedRow, verify_row
from facade.values.device_identity import DeviceIdentity
from shared.keys import key_id
from shared.oci import RepositoryName
from shared.postgres.database_url import read_database_url
from shared.registry_host import RegistryHost
from shared.statement import ConnectionApproval, Statement, StoredStatement
from tests.support.statement_writer import StatementWriter

WRITER, STRANGER = StatementWriter(""), StatementWriter("")
KEYS = {key_id(WRITER.statement_key.public_key()): WRITER.statement_key.public_key()}
HOST = RegistryHost.parse("a.example")
PREFIXES = [None, "team", "team/models"]
REPOSITORIES = [RepositoryName.parse(each) for each in ("other", "team/app", "team/models/app")]
DEVICE = "press-7"
NOW = datetime(2026, 11, 30, tzinfo=UTC)
HOW = ["genuine", "signature", "document", "place", "key"]


def verified(row: StatementRow) -> VerifiedRow | RefusedRow:
    """Return the row as a facade verifies it."""
    return verify_row(row, KEYS)


def approval(number: int, generation: int, by: str = "bob") -> ConnectionApproval:
    """Return one of a few approvals. Two may claim one place."""
    prefix = PREFIXES[number % len(PREFIXES)]
    scope = None if prefix is None else RepositoryName.parse(prefix)
    made = WRITER.approval(str(HOST), connection_id=SUBJECT_IDS[number], repository_prefix=scope)
    return attrs.evolve(made, generation=generation, approved_by=by)


def tampered(row: StatementRow, how: str) -> StatementRow:
    """Return a row that may not be believed, unless it is genuine."""
    stored = row.stored
    changed: dict[str, StoredStatement] = {
        "genuine": stored,
        "signature": attrs.evolve(stored, signature=bytes(64)),
        "document": attrs.evolve(stored, payload=stored.payload.replace(b"bob", b"eve")),
        "place": attrs.evolve(stored, payload=stored.payload.replace(b"a.example", b"b.example")),
        "key": attrs.evolve(stored, key_id="0" * 16),
    }
    return StatementRow(row.subject, changed[how])


def restore(snapshot: Snapshot, row: StatementRow, generation: int, *, withdrawn: bool) -> None:
    """Restore a row to be verified later, if it may be."""
    claim = claim_of(row, KEYS)
    if claim is None:
        snapshot.restore(verified(row), generation, withdrawn=withdrawn)
    else:
        later = UnverifiedRow(row, claim, verified)
        snapshot.restore_unverified(later, generation, withdrawn=withdrawn)


SUBJECT_IDS = [WRITER.approval("x.example").connection_id for _ in range(5)]
DEVICE_SUBJECT = f"device/{DEVICE}"
SUBJECTS = [*(f"connection/{each}" for each in SUBJECT_IDS), DEVICE_SUBJECT]
subjects = st.sampled_from(SUBJECTS)


def statement(subject: str, generation: int, *, grants: bool, by: str = "bob") -> Statement:
    """Return what the control plane says of a subject: that it may, or that it may not."""
    if subject == DEVICE_SUBJECT:
        revocation = WRITER.device_revocation(DEVICE)
        said = WRITER.device_lifting(revocation) if grants else revocation
        return attrs.evolve(said, generation=generation)
    number = SUBJECTS.index(subject)
    if grants:
        return approval(number, generation, by)
    return attrs.evolve(WRITER.revocation(SUBJECT_IDS[number]), generation=generation)


class LateMachine(RuleBasedStateMachine):
    """Two facades that restart on one state folder, and go on with one database."""

    @initialize(
        on_disk=st.dictionaries(
            subjects, st.tuples(st.booleans(), st.sampled_from(HOW), st.booleans())
        )
    )
    def restart(self, on_disk: dict[str, tuple[bool, str, bool]]) -> None:
        """Restore what is on disk: whether it grants, what was done to it, whether withdrawn."""
        self.early, self.late = Snapshot(), Snapshot()
        self.generation = 7
        self.rows: dict[str, list[StatementRow]] = {subject: [] for subject in SUBJECTS}
        for subject, (grants, how, withdrawn) in on_disk.items():
            said = statement(subject, self.generation, grants=grants)
            genuine = StatementRow(subject, WRITER.sign(said))
            self.rows[subject].append(genuine)
            row = tampered(genuine, how)
            self.early.restore(verified(row), self.generation, withdrawn=withdrawn)
            restore(self.late, row, self.generation, withdrawn=withdrawn)

    @rule(subject=subjects, grants=st.booleans(), newer=st.integers(-1, 1))
    def read(self, subject: str, *, grants: bool, newer: int) -> None:
        """Read a row of the database: older, newer, or another one of the same generation."""
        said = statement(subject, self.generation + newer, grants=grants, by="carol")
        self._apply(StatementRow(subject, WRITER.sign(said)))
        self.generation += newer == 1

    @rule(subject=subjects, how=st.sampled_from(HOW))
    def read_again(self, subject: str, how: str) -> None:
        """Read the row that should be on disk, or what somebody made of it."""
        for row in self.rows[subject]:
            self._apply(tampered(row, how))

    @rule(subject=subjects)
    def vanish(self, subject: str) -> None:
        """Find that a row is gone. What was not believed anyhow is not told of by the early one."""
        outcomes = {each.vanish(subject).outcome for each in (self.early, self.late)}
        assert RowOutcome.ACCEPTED not in outcomes

    @rule(repository=st.sampled_from(REPOSITORIES))
    def ask(self, repository: RepositoryName) -> None:
        """Have a device ask: the same connection serves."""
        early, late = (
            each.connections_covering(HOST, repository) for each in (self.early, self.late)
        )
        assert early is not None
        assert late is not None
        assert early[:1] == late[:1]

    @rule(subject=subjects)
    def ask_for_a_subject(self, subject: str) -> None:
        """Ask what a subject serves."""
        assert self.early.serving(subject) == self.late.serving(subject)

    @rule(count=st.integers(1, 3))
    def verify_some(self, count: int) -> None:
        """Verify some in the background, while what was read meanwhile stays."""
        for unverified in self.late.some_unverified(count):
            self.late.settle(unverified.verified())

    @rule(subject=subjects)
    def verify_too_late(self, subject: str) -> None:
        """Have a row verified that was replaced meanwhile: nothing happens."""
        row = StatementRow(subject, WRITER.sign(statement(subject, 1, grants=True)))
        self.late.settle(verified(row))

    @invariant()
    def nothing_else_can_be_told_apart(self) -> None:
        """Devices are let in alike; and at the end everything is the same."""
        if not hasattr(self, "late"):
            return
        device = DeviceIdentity(DEVICE, None, "1", NOW)
        assert self.early.revoked.includes(device, "") == self.late.revoked.includes(device, "")
        assert sorted(self.early.remembered.subjects()) == sorted(self.late.remembered.subjects())
        if self.late.unverified:
            assert not self.late.is_settled
            return
        for subject in SUBJECTS:
            assert self.early.remembered.get(subject) == self.late.remembered.get(subject)
        assert set(self.early.connections.all()) == set(self.late.connections.all())
        assert self.early.census.serving(NOW) == self.late.census.serving(NOW)
        assert self.early.connections.access_keys() == self.late.connections.access_keys()

    def teardown(self) -> None:
        """Verify the rest: then nothing can be told apart, and refusals are told once."""
        if not hasattr(self, "late"):
            return
        while rows := self.late.some_unverified(2):
            for unverified in rows:
                self.late.settle(unverified.verified())
        self.nothing_else_can_be_told_apart()
        refused = [each.row.subject for each in self.late.take_late_refusals()]
        assert len(refused) == len(set(refused))
        assert self.late.take_late_refusals() == []

    def _apply(self, row: StatementRow) -> None:
        early, late = (each.apply(verified(row)) for each in (self.early, self.late))
        assert (early.outcome is RowOutcome.ACCEPTED) == (late.outcome is RowOutcome.ACCEPTED)


TestLate = LateMachine.TestCase
TestLate.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_the_census_counts_what_is_claimed_until_it_is_known() -> None:
    """So a missing sealing key is told of as soon as the facade is ready, and no number jumps."""
    snapshot, ends = Snapshot(), timedelta(days=1)
    genuine = WRITER.approval("a.example", username="robot", token="token", expires_in=ends)
    forged = WRITER.approval("b.example", username="robot", token="token")
    restore(snapshot, StatementRow(genuine.subject, WRITER.sign(genuine)), 7, withdrawn=False)
    row = tampered(StatementRow(forged.subject, WRITER.sign(forged)), "signature")
    restore(snapshot, row, 7, withdrawn=False)
    assert list(snapshot.census.serving(NOW).values()) == [2]
    for unverified in snapshot.some_unverified(9):
        snapshot.settle(unverified.verified())
    assert list(snapshot.census.serving(NOW).values()) == [1]
    assert snapshot.refused_rows.of_connections[WhyRefused.WRONG_SIGNATURE] == 1


def test_many_rows_that_claim_one_place_hold_nobody_up() -> None:
    """Somebody wrote in the state folder: each pull verifies a few, and gets an answer."""
    snapshot = Snapshot()
    for _ in range(3 * MAX_VERIFIED_FOR_A_PULL):
        forged = STRANGER.approval(str(HOST))
        stored = attrs.evolve(STRANGER.sign(forged), key_id=next(iter(KEYS)))
        restore(snapshot, StatementRow(forged.subject, stored), 1, withdrawn=False)
    genuine = WRITER.approval(str(HOST))
    restore(snapshot, StatementRow(genuine.subject, WRITER.sign(genuine)), 1, withdrawn=False)
    answers = [snapshot.connections_covering(HOST, REPOSITORIES[0]) for _ in range(4)]
    assert answers[:3] == [None, None, None]
    assert answers[3] is not None
    assert [each.id for each in answers[3]] == [genuine.connection_id]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("grants", [True, False], ids=["another approval", "a revocation"])
def test_of_two_rows_of_one_subject_the_last_holds(how: str, *, grants: bool) -> None:
    """Whoever writes in the state folder can take the key of its table away."""
    early, late = Snapshot(), Snapshot()
    first = WRITER.sign(approval(0, 7))
    last = WRITER.sign(statement(SUBJECTS[0], 8, grants=grants, by="carol"))
    for stored, done in ((first, "genuine"), (last, how), (last, how), (first, how)):
        row = tampered(StatementRow(SUBJECTS[0], stored), done)
        early.restore(verified(row), 7, withdrawn=False)
        restore(late, row, 7, withdrawn=False)
    answers = [each.connections_covering(HOST, REPOSITORIES[0]) for each in (early, late)]
    assert answers[0] == answers[1]
    for unverified in late.some_unverified(9):
        late.settle(unverified.verified())
    assert late.unverified == 0
    assert late.census.serving(NOW) == early.census.serving(NOW)


@pytest.fixture
def state_file(tmp_path: Path) -> Iterator[StateFile]:
    """An open state file."""
    file = StateFile.open(tmp_path / "state")
    yield file
    file.close()


def save(state_file: StateFile, said: Statement, **changed: Any) -> None:
    """Save a statement as a facade before this one remembered it, perhaps with other bytes."""
    stored = attrs.evolve(WRITER.sign(said), **changed)
    state_file.save([(said.subject, RememberedStatement(stored, said.generation))], None)


def feed_of(state_file: StateFile, snapshot: Snapshot) -> StatementFeed:
    """Return a feed whose database is away."""
    nowhere = read_database_url("postgresql://nobody@127.0.0.1:9/none")
    remembering = Remembering(state_file, snapshot)
    return StatementFeed(nowhere, KEYS, snapshot, remembering, 15.0, lambda _: None)


@pytest.mark.parametrize("is_used", [True, False], ids=["used first", "never used"])
async def test_a_tampered_row_serves_nobody(
    state_file: StateFile, capfd: pytest.CaptureFixture[str], *, is_used: bool
) -> None:
    """Whether a device asks for it before the background comes to it, or nobody ever does."""
    tampered_with = WRITER.approval(str(HOST), repository_prefix=RepositoryName.parse("team"))
    save(state_file, WRITER.approval(str(HOST)))
    save(state_file, tampered_with, signature=bytes(64))
    snapshot = Snapshot()
    feed = feed_of(state_file, snapshot)
    await feed.restore()
    assert snapshot.unverified == 2
    if is_used:
        covering = snapshot.connections_covering(HOST, RepositoryName.parse("team/app"))
        assert covering is not None
        assert [each.document.repository_prefix for each in covering] == [None]
    await feed.verify_rest()
    assert snapshot.unverified == 0
    assert snapshot.serving(tampered_with.subject) is None
    assert snapshot.refused_rows.of_connections == {WhyRefused.WRONG_SIGNATURE: 1}
    assert capfd.readouterr().err.count("remembered statement refused") == 1


async def test_a_revocation_holds_from_the_start_whoever_wrote_it(state_file: StateFile) -> None:
    """It is verified later, and only a lifting that verifies ends it."""
    revoked, lifted = WRITER.device_revocation("press-7"), WRITER.device_revocation("press-8")
    save(state_file, revoked, signature=bytes(64))
    save(state_file, WRITER.device_lifting(lifted))
    snapshot = Snapshot()
    feed = feed_of(state_file, snapshot)
    await feed.restore()
    seven, eight = (DeviceIdentity(f"press-{each}", None, "1", NOW) for each in (7, 8))
    devices = snapshot.revoked
    assert (devices.includes(seven, ""), devices.includes(eight, "")) == (True, False)
    await feed.verify_rest()
    assert (devices.includes(seven, ""), devices.includes(eight, "")) == (True, False)
