"""The checkpoint of the audit log: what it says up to one entry, signed. Pure.

A start reads it, and then the entries after it. It counts only if its signature holds, and if the
entry that it names is in the chain; otherwise the start reads the whole log. An older one that
somebody puts back only makes a start slower.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import orjson
from attrs import field, frozen

from control_plane.proof.session_endings import ENDINGS_KEPT
from control_plane.proof.signed_log import Made, NewestActs, Place, SignedLog
from control_plane.proof.signer import Signer, Verifier
from shared.outside_bytes import Party, reads_bytes_of
from shared.statement import AuditCheckpoint, StatementRefusedError, StoredStatement

# Some 300 bytes a connection and 150 a device: half a million subjects. With more, no checkpoint is
# written, and a start reads the whole log.
MAX_HEADS_BYTES: Final = 128 * 1024 * 1024
# What older versions did not note: drafts that were sent back, and what ended sessions.
_NOTED_LATER: Final = frozenset({"sent_back", "session_endings"})


class OlderCheckpointError(StatementRefusedError):
    """A version made it that did not note all that this one asks of it: the log alone says that."""

    def __init__(self, end: Place) -> None:
        """Hold which entry it names."""
        super().__init__("an older version made it, so the whole log is read")
        self.end = end


@frozen
class StoredCheckpoint:
    """A checkpoint as it lies in the database."""

    stored: StoredStatement
    heads: bytes = field(repr=False)


def checkpoint_of(log: SignedLog, at: datetime, signer: Signer) -> StoredCheckpoint | None:
    """Return the checkpoint of a log; None for an empty log, or for one that is too large."""
    heads = _heads_of(log, at)
    if not log.end.sequence or len(heads) > MAX_HEADS_BYTES:
        return None
    statement = AuditCheckpoint(
        generation=log.end.sequence,
        entry=log.end.hash,
        heads_sha256=hashlib.sha256(heads).hexdigest(),
        heads_bytes=len(heads),
        made_at=at,
    )
    return StoredCheckpoint(signer.sign(statement), heads)


@reads_bytes_of(Party.DATABASE)
def log_at(checkpoint: StoredCheckpoint, verifier: Verifier) -> SignedLog:
    """Return the log up to the checkpoint's entry, or raise `StatementRefusedError`.

    `OlderCheckpointError` is one.
    """
    statement = verifier.verify_as(checkpoint.stored, AuditCheckpoint)
    if hashlib.sha256(checkpoint.heads).hexdigest() != statement.heads_sha256:
        raise StatementRefusedError("what is beside it is not what was signed")
    heads = orjson.loads(checkpoint.heads)
    end = Place(statement.generation, statement.entry)
    if not heads.keys() >= _NOTED_LATER:
        raise OlderCheckpointError(end)
    newest = NewestActs(
        {
            subject: Made(generation, Place(sequence, entry))
            for subject, generation, sequence, entry in heads["made"]
        },
        _places(heads["upon_revisions"]),
        _places(heads["sent_back"]),
        set(heads["restores"]),
        {what: datetime.fromisoformat(at) for what, at in heads["session_endings"].items()},
    )
    return SignedLog().followed_by(end, newest)


def _places(listed: Iterable[tuple[str, int, str]]) -> dict[str, Place]:
    return {subject: Place(sequence, entry) for subject, sequence, entry in listed}


def _listed(places: Iterable[tuple[str, Place]]) -> list[tuple[str, int, str]]:
    return [(subject, place.sequence, place.hash) for subject, place in places]


def _heads_of(log: SignedLog, at: datetime) -> bytes:
    made = (
        (subject, made.generation, made.place.sequence, made.place.hash)
        for subject, made in log.all_made()
    )
    return orjson.dumps(
        {
            "made": list(made),
            "upon_revisions": _listed(log.all_upon_revisions()),
            "sent_back": _listed(log.all_sent_back()),
            "session_endings": {
                what: began_by.isoformat()
                for what, began_by in log.all_session_endings()
                if began_by >= at - ENDINGS_KEPT
            },
            "restores": sorted(log.restores),
        }
    )
