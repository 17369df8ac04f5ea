"""Where an audit entry goes, and what a walk along the chain finds."""

import hashlib
from datetime import UTC, datetime

import attrs
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from control_plane.audit.log_reading import ChainReport, read_line
from control_plane.errors import AuditDamagedError
from control_plane.proof.checkpoint import (
    OlderCheckpointError,
    StoredCheckpoint,
    checkpoint_of,
    log_at,
)
from control_plane.proof.layers import Layers
from control_plane.proof.signed_log import (
    BEGINNING,
    LoggedAct,
    Made,
    NewestActs,
    Place,
    SignedLog,
    entry_hash,
)
from control_plane.proof.signer import Signer
from control_plane.proof.walk_back import EntryRow, WalkBack
from shared.statement import (
    AuditCheckpoint,
    AuditEntry,
    OperatorRemoval,
    StatementRefusedError,
    StoredStatement,
)

AT = datetime(2030, 1, 1, tzinfo=UTC)
SIGNER = Signer(Ed25519PrivateKey.generate())


def chain(length: int) -> list[StoredStatement]:
    """Return a whole chain, one statement about operator/x by each entry."""
    stored: list[StoredStatement] = []
    for place in range(1, length + 1):
        entry = AuditEntry(
            generation=place,
            previous=entry_hash(stored[-1]) if stored else "",
            at=AT,
            actor="root",
            action="operator.add",
            about="operator/x",
            about_generation=place,
        )
        stored.append(SIGNER.sign(entry))
    return stored


def report(entries: dict[int, StoredStatement], present: int | None) -> list[str]:
    """Return the faults of entries by place, and of the present statement's generation."""
    found = ChainReport()
    for place in sorted(entries):
        found.add(read_line(place, entries[place], SIGNER))
    found.compare({"operator/x": present})
    return found.faults


def test_a_whole_chain_has_no_fault() -> None:
    """Whatever its length."""
    for length in (1, 2, 5):
        entries = dict(enumerate(chain(length), start=1))
        assert report(entries, length) == []


def test_every_damage_is_a_fault() -> None:
    """Cut at the start, in the middle, at the end; swapped; renumbered."""
    one, two, three = chain(3)
    assert report({2: two, 3: three}, 3)
    assert report({1: one, 3: three}, 3)
    assert report({1: one, 2: two}, 3)
    assert report({1: two, 2: one, 3: three}, 3)
    assert report({1: one, 2: two, 4: three}, 3)
    assert report({1: one, 2: two, 3: three}, 2)
    assert report({1: one, 2: two, 3: three}, None)


def rows(entries: dict[int, StoredStatement | None]) -> list[EntryRow]:
    """Return the rows from the end of a chain."""
    return [EntryRow(place, entries[place]) for place in sorted(entries, reverse=True)]


def walked(
    entries: dict[int, StoredStatement | None], verifier: Signer = SIGNER
) -> list[LoggedAct]:
    """Return the acts from the end of a chain to its beginning, or raise."""
    walk = WalkBack(verifier, BEGINNING)
    acts = walk.take(rows(entries))
    walk.require_at(0)
    return acts


def test_a_chain_is_proven_from_its_end() -> None:
    """By one signature, and the hashes; in pieces or as a whole."""
    stored = dict[int, StoredStatement | None](enumerate(chain(5), start=1))
    acts = walked(stored)
    assert [act.place.sequence for act in acts] == [5, 4, 3, 2, 1]
    assert [act.about_generation for act in acts] == [5, 4, 3, 2, 1]
    newest = NewestActs()
    for act in acts:
        newest.add(act)
    assert newest.made == {"operator/x": Made(5, acts[0].place)}
    walk = WalkBack(SIGNER, BEGINNING)
    assert [*walk.take(rows(stored)[:2]), *walk.take(rows(stored)[2:])] == acts


def test_no_chain_goes_on_from_what_is_not_proven() -> None:
    """Deleted, swapped, repeated, renumbered, changed; of another key, another type, no form."""
    one, two, three = chain(3)
    other = Signer(Ed25519PrivateKey.generate())
    removal = SIGNER.sign(OperatorRemoval(name="x", removed_by="root", removed_at=AT, generation=3))
    changed = attrs.evolve(two, payload=two.payload.replace(b"root", b"toor"))
    retyped = attrs.evolve(two, type="operator/1")
    damaged: list[dict[int, StoredStatement | None]] = [
        {2: two, 3: three},
        {1: one, 3: three},
        {1: two, 2: one, 3: three},
        {1: one, 2: one, 3: three},
        {1: one, 2: two, 4: three},
        {1: one, 2: changed, 3: three},
        {1: one, 2: retyped, 3: three},
        {1: one, 2: None, 3: three},
        {1: one, 2: two, 3: None},
        {1: one, 2: two, 3: removal},
        {1: one, 2: two, 3: attrs.evolve(three, signature=b"")},
        {0: one, 1: two, 2: three},
    ]
    for entries in damaged:
        with pytest.raises(AuditDamagedError):
            walked(entries)
    with pytest.raises(AuditDamagedError, match="another statement key"):
        walked({1: one}, other)


def test_what_an_older_key_signed_is_in_the_chain_that_a_newer_key_went_on_with() -> None:
    """A stolen key is taken away: what it signed is believed no longer, and the log goes on."""
    one, two, three = chain(3)
    renewed = Signer(Ed25519PrivateKey.generate())
    entry = SIGNER.verify_as(three, AuditEntry)
    assert len(walked({1: one, 2: two, 3: renewed.sign(entry)}, renewed)) == 3


def test_what_was_proven_before_needs_no_signature() -> None:
    """The end that is known already is known by its hash."""
    one, two = chain(2)
    unsigned = attrs.evolve(two, signature=b"")
    walk = WalkBack(SIGNER, Place(2, entry_hash(two)))
    assert len(walk.take(rows({1: one, 2: unsigned}))) == 2
    with pytest.raises(AuditDamagedError):
        WalkBack(SIGNER, Place(3, entry_hash(two))).take(rows({1: one, 2: unsigned}))


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers()), max_size=40), st.integers(1, 9)
)
def test_layers_are_as_one_mapping(changes: list[tuple[str, int]], at_once: int) -> None:
    """Whatever the order of growth; a mapping that was taken stays as it was."""
    layers, plain = Layers[int](), dict[str, int]()
    for start in range(0, len(changes), at_once):
        before, kept = layers, dict(layers.items())
        some = dict(changes[start : start + at_once])
        layers = layers.under(some)
        plain |= some
        assert dict(before.items()) == kept
    assert dict(layers.items()) == plain
    assert {key: layers.get(key) for key in "abcdef"} == {key: plain.get(key) for key in "abcdef"}


def test_a_checkpoint_says_what_the_log_says() -> None:
    """And is worth nothing where a byte of it, or its key, is another."""
    stored = dict[int, StoredStatement | None](enumerate(chain(4), start=1))
    newest = NewestActs(restores={"aa"})
    for act in walked(stored):
        newest.add(act)
    log = SignedLog().followed_by(walked(stored)[0].place, newest)
    checkpoint = checkpoint_of(log, AT, SIGNER)
    assert checkpoint is not None
    again = log_at(checkpoint, SIGNER)
    assert (again.end, again.restores, dict(again.all_made())) == (
        log.end,
        frozenset({"aa"}),
        dict(log.all_made()),
    )
    for changed in (
        attrs.evolve(checkpoint, heads=checkpoint.heads + b" "),
        attrs.evolve(checkpoint, stored=attrs.evolve(checkpoint.stored, signature=b"")),
        attrs.evolve(checkpoint, stored=chain(4)[3]),
    ):
        with pytest.raises(StatementRefusedError):
            log_at(changed, SIGNER)
    assert checkpoint_of(SignedLog(), AT, SIGNER) is None


def test_a_checkpoint_knows_what_is_sent_back() -> None:
    """Unless the draft was acted upon since; one that does not know it is not believed."""
    subjects = {name: f"connection/{name}" for name in ("back", "edited", "before")}
    upon = dict(zip(subjects.values(), (1, 4, 2), strict=True))
    back = dict(zip(subjects.values(), (2, 3, 1), strict=True))
    newest = NewestActs(
        upon_revisions={name: Place(at, "aa") for name, at in upon.items()},
        sent_back={name: Place(at, "bb") for name, at in back.items()},
    )
    log = SignedLog().followed_by(Place(4, "cc"), newest)
    checkpoint = checkpoint_of(log, AT, SIGNER)
    assert checkpoint is not None
    for each in (log, log_at(checkpoint, SIGNER)):
        assert dict(each.all_sent_back()) == {subjects["back"]: Place(2, "bb")}
        assert each.sent_back(subjects["back"]) == Place(2, "bb")
        assert each.sent_back(subjects["edited"]) is None
        assert each.sent_back(subjects["before"]) is None
    for noted_later in ("sent_back", "session_endings"):
        heads = orjson.loads(checkpoint.heads)
        del heads[noted_later]
        older = orjson.dumps(heads)
        statement = AuditCheckpoint(4, "cc", hashlib.sha256(older).hexdigest(), len(older), AT)
        with pytest.raises(OlderCheckpointError) as refused:
            log_at(StoredCheckpoint(SIGNER.sign(statement), older), SIGNER)
        assert refused.value.end == log.end


envelopes = st.builds(
    StoredStatement,
    st.sampled_from(["audit-entry/1", "audit-checkpoint/1", "operator/1", ""]) | st.text(),
    st.sampled_from(list(SIGNER.public_keys)) | st.text(),
    st.binary() | st.sampled_from([b"{}", b"[]", b"null", b'{"generation":1}']),
    st.binary(),
)
GENUINE = st.sampled_from(chain(3))


@given(
    st.lists(st.builds(EntryRow, st.integers(-2, 5), st.none() | envelopes | GENUINE), max_size=5)
)
def test_arbitrary_rows_are_a_chain_or_refused(some: list[EntryRow]) -> None:
    """Whatever stands in the log, the genuine entries among it."""
    walk = WalkBack(SIGNER, BEGINNING)
    try:
        acts = walk.take(some)
    except AuditDamagedError:
        return
    assert [act.place.sequence for act in acts] == [row.sequence for row in some]


@given(envelopes | GENUINE, st.binary())
def test_arbitrary_bytes_are_no_checkpoint(stored: StoredStatement, heads: bytes) -> None:
    """None of them was signed as one."""
    with pytest.raises(StatementRefusedError):
        log_at(StoredCheckpoint(stored, heads), SIGNER)
