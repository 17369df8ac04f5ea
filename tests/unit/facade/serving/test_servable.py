"""What can be served, and what is said of the rest."""

import datetime as dt
from typing import Any

import pytest
from attrs import define, evolve, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from facade.approvals.snapshot import Snapshot
from facade.approvals.verified_row import StatementRow, verify_row
from facade.metrics.problems import FacadePart, Stops
from facade.registries.refused_credentials import RefusedCredentials
from facade.registries.secret_openings import SecretOpenings
from facade.serving.servable import Servable
from shared.approved_connection import ApprovedConnection
from shared.keys import key_id
from shared.statement import ConnectionApproval, Statement, sign
from tests.support.statement_writer import StatementWriter

SECOND = dt.timedelta(seconds=1)
WITH_SECRET: dict[str, Any] = {"username": "robot", "token": "canary"}


@define
class Scene:
    """A snapshot, the pens of its own control plane and of another, and the facade's keys."""

    writer: StatementWriter = field(factory=lambda: StatementWriter(""))
    other: StatementWriter = field(factory=lambda: StatementWriter(""))
    snapshot: Snapshot = field(factory=Snapshot)
    keys: dict[str, X25519PrivateKey] = field(factory=dict)
    openings: SecretOpenings = field(factory=SecretOpenings)
    refused: RefusedCredentials = field(factory=RefusedCredentials)
    stored: bool = False

    @property
    def servable(self) -> Servable:
        """What is asked."""
        return Servable(self.snapshot, self.keys, self.openings, self.refused, lambda: self.stored)

    def say(self, statement: Statement, *, by: StatementWriter | None = None) -> None:
        """Have the snapshot read a row."""
        public_key: Ed25519PublicKey = self.writer.statement_key.public_key()
        stored = sign(statement, (by or self.writer).statement_key)
        row = StatementRow(statement.subject, stored)
        self.snapshot.apply(verify_row(row, {key_id(public_key): public_key}))

    def approve(self, **fields: Any) -> ConnectionApproval:
        """Approve a connection."""
        approval = self.writer.approval("registry.example", **fields)
        self.say(approval)
        return approval

    def hold_key(self) -> None:
        """Have the facade hold the key that secrets are sealed to."""
        self.keys[key_id(self.writer.sealing_key.public_key())] = self.writer.sealing_key

    def note(self, approval: ConnectionApproval, *, opened: bool) -> None:
        """Note how opening its secret went."""
        self.openings.note(self.connection(approval), opened=opened)

    def connection(self, approval: ConnectionApproval) -> ApprovedConnection:
        """Return the connection as it serves now."""
        connection = self.snapshot.serving(approval.subject)
        assert connection is not None
        return connection

    def stops(self) -> dict[FacadePart, Stops]:
        """Return what each problem stops."""
        return {each.part: each.stops for each in self.servable.problems()}


@pytest.fixture
def scene() -> Scene:
    """Nothing is approved yet."""
    return Scene()


def test_nothing_approved_is_no_problem(scene: Scene) -> None:
    """Nor is what has expired, or was revoked."""
    assert scene.stops() == {}
    scene.approve(expires_in=-SECOND)
    scene.approve(expires_in=-SECOND, **WITH_SECRET)
    scene.say(scene.writer.revocation(scene.approve().connection_id))
    assert scene.stops() == {}
    census = scene.servable.census()
    assert (census.serving, census.ended, census.unusable) == (0, 2, 0)


@pytest.mark.parametrize("served", [0, 1])
def test_rows_that_are_not_believed_stop_all_where_nothing_else_serves(
    scene: Scene, served: int
) -> None:
    """One bad row among good ones takes no facade out of service."""
    scene.say(scene.other.approval("registry.example"), by=scene.other)
    for _ in range(served):
        scene.approve()
    assert scene.stops() == {FacadePart.STATEMENTS: Stops.SOME if served else Stops.ALL}


def test_rows_that_would_serve_nothing_stop_nothing_else(scene: Scene) -> None:
    """Revocations of connections and of devices: a facade with nothing to serve is well."""
    gone = scene.other.approval("registry.example").connection_id
    scene.say(scene.other.revocation(gone), by=scene.other)
    scene.say(scene.other.device_revocation("press-7"), by=scene.other)
    assert scene.stops() == {FacadePart.STATEMENTS: Stops.SOME}


def test_approvals_whose_rows_are_gone_are_not_nothing(scene: Scene) -> None:
    """What was revoked by a statement, or never approved, may be gone."""
    gone = scene.approve()
    scene.say(scene.writer.revocation(gone.connection_id))
    scene.snapshot.vanish(gone.subject)
    assert scene.stops() == {}
    lost = scene.approve()
    scene.snapshot.vanish(lost.subject)
    assert scene.stops() == {FacadePart.STATEMENTS: Stops.ALL}
    scene.approve()
    assert scene.stops() == {FacadePart.STATEMENTS: Stops.SOME}


def test_a_key_that_is_missing_stops_what_needs_it(scene: Scene) -> None:
    """Anonymous connections and roles need none."""
    scene.approve(**WITH_SECRET)
    assert scene.stops() == {FacadePart.SEALING_KEY: Stops.ALL}
    scene.approve()
    assert scene.stops() == {FacadePart.SEALING_KEY: Stops.SOME}
    scene.hold_key()
    assert scene.stops() == {}


def test_the_key_is_named_by_its_id_and_nothing_secret_is(scene: Scene) -> None:
    """Whoever reads that looks for the file with this key."""
    for _ in range(5):
        scene.writer.sealing_key = X25519PrivateKey.generate()
        scene.approve(**WITH_SECRET)
    (problem,) = scene.servable.problems()
    missing = key_id(scene.writer.sealing_key.public_key())
    assert missing in problem.kind
    assert "5 of 5" in problem.words
    assert "and 2 more" in problem.words
    assert "canary" not in repr(problem)


def test_what_is_stored_is_served_without_any_key(scene: Scene) -> None:
    """But not for a connection that nobody approves now."""
    scene.stored = True
    scene.approve(expires_in=-SECOND, **WITH_SECRET)
    scene.say(scene.other.approval("registry.example"), by=scene.other)
    assert scene.stops() == {FacadePart.STATEMENTS: Stops.ALL}
    scene.approve(**WITH_SECRET)
    assert scene.stops() == {FacadePart.STATEMENTS: Stops.SOME, FacadePart.SEALING_KEY: Stops.SOME}


def test_a_secret_that_was_opened_serves_without_its_key_and_is_counted(scene: Scene) -> None:
    """A restart would stop it. So does another secret of the same connection."""
    approval = scene.approve(**WITH_SECRET)
    scene.hold_key()
    scene.note(approval, opened=True)
    assert scene.stops() == {}
    scene.keys.clear()
    (problem,) = scene.servable.problems()
    assert (problem.part, problem.stops) == (FacadePart.SEALING_KEY, Stops.SOME)
    assert "1 of 1 connections' secrets cannot be used" in problem.words
    assert "serve until this facade restarts" in problem.words
    assert scene.servable.census().unusable == 1
    again = {"connection_id": approval.connection_id, "secret_version": 2}
    scene.approve(**WITH_SECRET, **again)
    assert scene.stops() == {FacadePart.SEALING_KEY: Stops.ALL}
    (problem,) = scene.servable.problems()
    assert "restarts" not in problem.words


def test_a_secret_that_did_not_open_counts_as_long_as_it_serves(scene: Scene) -> None:
    """It is another one after a rotation, or after it opened."""
    scene.hold_key()
    approval = scene.approve(**WITH_SECRET)
    scene.note(approval, opened=False)
    assert scene.stops() == {FacadePart.SEALING_KEY: Stops.ALL}
    assert scene.servable.census().unusable == 1
    scene.note(approval, opened=True)
    assert scene.stops() == {}
    scene.note(approval, opened=False)
    ended = scene.writer.approval(
        "registry.example",
        connection_id=approval.connection_id,
        expires_in=-SECOND,
        **WITH_SECRET,
    )
    scene.say(evolve(approval, generation=ended.generation, expires_at=ended.expires_at))
    assert scene.stops() == {}
    again = {"connection_id": approval.connection_id, "secret_version": 2}
    scene.approve(**WITH_SECRET, **again)
    assert scene.stops() == {}


def test_a_failure_is_not_counted_twice_where_its_key_went_too(scene: Scene) -> None:
    """One connection is one connection."""
    scene.hold_key()
    scene.note(scene.approve(**WITH_SECRET), opened=False)
    scene.keys.clear()
    assert scene.servable.census().unusable == 1


def test_approvals_that_are_about_to_end_are_counted_and_the_first_is_timed(scene: Scene) -> None:
    """Neither those that have ended, nor those that never do."""
    assert scene.servable.census().next_end is None
    for days in (-1, 6, 8, None):
        scene.approve(expires_in=None if days is None else dt.timedelta(days=days))
    census = scene.servable.census()
    assert census.ending_soon == 1
    assert census.next_end is not None
    left = census.next_end - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=5) < left <= dt.timedelta(days=6)


def test_a_credential_counts_as_refused_while_it_serves_and_is_not_accepted(scene: Scene) -> None:
    """Another secret is another credential; an answer to the earlier one says nothing of it."""
    first, second = scene.approve(**WITH_SECRET), scene.approve(**WITH_SECRET)
    for approval in (first, first, second):
        scene.refused.note(scene.connection(approval), refused=True)
    assert scene.servable.refused_credentials().total() == 2
    scene.refused.note(scene.connection(second), refused=False)
    assert scene.servable.refused_credentials().total() == 1
    earlier = scene.connection(first)
    again = {"connection_id": first.connection_id, "secret_version": 2}
    renewed = scene.approve(**WITH_SECRET, **again)
    assert scene.servable.refused_credentials().total() == 0
    scene.refused.note(scene.connection(renewed), refused=True)
    scene.refused.note(earlier, refused=False)
    assert scene.servable.refused_credentials().total() == 1
