"""Where an audit entry goes, and what a walk along the chain finds."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.acts import ChainEnd, entry_hash, next_place
from control_plane.audit import ChainReport, read_line
from control_plane.errors import AuditDamagedError
from control_plane.signer import Signer
from shared.statement import AuditEntry, OperatorRemoval, StoredStatement

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


def test_the_next_entry_follows_the_newest() -> None:
    """The first one follows nothing."""
    one, two = chain(2)
    assert next_place(None, SIGNER, 0) == ChainEnd(1, "")
    assert next_place((2, two), SIGNER, 2) == ChainEnd(3, entry_hash(two))
    assert next_place((1, one), SIGNER, 0) == ChainEnd(2, entry_hash(one))


def test_nothing_follows_what_is_not_believed() -> None:
    """Another key, another place, another type, an end that was cut off."""
    one, two = chain(2)
    other = Signer(Ed25519PrivateKey.generate())
    removal = SIGNER.sign(OperatorRemoval(name="x", removed_by="root", removed_at=AT, generation=2))
    for newest, signer, highest_seen in (
        ((2, two), other, 0),
        ((3, two), SIGNER, 0),
        ((2, removal), SIGNER, 0),
        ((1, one), SIGNER, 2),
        (None, SIGNER, 2),
    ):
        with pytest.raises(AuditDamagedError):
            next_place(newest, signer, highest_seen)
