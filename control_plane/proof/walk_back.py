"""The chain of audit entries, walked from its end to its beginning. Pure.

In this direction only proven bytes are parsed: the last entry is signed, and each one bears the
hash of the one before it. So one signature is verified, however long the chain is. An older entry
may be signed with a key that is not believed any more. Its bytes are proven all the same, but what
it says is believed only if its own signature is (`belief`).
"""

from collections.abc import Sequence
from typing import Final

import orjson
from attrs import define, field, frozen

from control_plane.errors import AuditDamagedError
from control_plane.proof.session_endings import endings_in
from control_plane.proof.signed_log import LoggedAct, Place, entry_hash, logged_act, require_entry
from control_plane.proof.signer import Verifier
from shared.outside_bytes import Party, reads_bytes_of
from shared.statement import AuditEntry, StatementRefusedError, StoredStatement

SEE_VERIFY: Final = "see `control-plane audit verify`"
FIRST: Final = 1  # the place of the first entry


@frozen
class EntryRow:
    """A row of the log; `stored` is None if it does not have the form of an entry."""

    sequence: int
    stored: StoredStatement | None


@define
class WalkBack:
    """Proves entry after entry. The place that is `trusted` was proven before."""

    _verifier: Verifier
    _trusted: Place
    _above: LoggedAct | None = field(default=None, init=False)

    @reads_bytes_of(Party.DATABASE)
    def take(self, rows: Sequence[EntryRow]) -> list[LoggedAct]:
        """Return the acts of the next rows downwards, or raise `AuditDamagedError`."""
        return [self._take(row) for row in rows]

    def require_at(self, sequence: int) -> None:
        """Raise `AuditDamagedError` unless the walk has come down to this place."""
        if self._above is not None and self._above.place.sequence > max(sequence, FIRST):
            raise _missing(self._above.place.sequence - 1)

    def _take(self, row: EntryRow) -> LoggedAct:
        self._above = act = self._newest(row) if self._above is None else self._next(row)
        if (act.place.sequence == FIRST) != (act.previous == ""):
            raise _missing(act.place.sequence - 1)
        return act

    def _newest(self, row: EntryRow) -> LoggedAct:
        try:
            stored = _require_form(row)
            place = Place(row.sequence, entry_hash(stored))
            if place == self._trusted:
                return _parsed(place, stored)
            entry = require_entry(row.sequence, stored, self._verifier)
        except StatementRefusedError as error:
            raise AuditDamagedError(
                f"the newest audit entry is not believed ({error}): this is another statement key"
                f" than the one that signed it, or the database was changed; {SEE_VERIFY}"
            ) from None
        return logged_act(entry, place.hash)

    def _next(self, row: EntryRow) -> LoggedAct:
        above = self._above
        if above is None or row.sequence != above.place.sequence - 1:
            raise _missing(row.sequence if above is None else above.place.sequence - 1)
        try:
            stored = _require_form(row)
            place = Place(row.sequence, entry_hash(stored))
            if place.hash != above.previous:
                raise _missing(row.sequence)
            return _parsed(place, stored)
        except StatementRefusedError:
            raise _missing(row.sequence) from None


def _require_form(row: EntryRow) -> StoredStatement:
    if row.stored is None:
        raise StatementRefusedError("it has not the form of an entry")
    return row.stored


def _parsed(place: Place, stored: StoredStatement) -> LoggedAct:
    """Return what decides, of proven bytes; some 4 us, a tenth of reading the whole entry."""
    message = "it belongs in another place of the log"
    if stored.type != AuditEntry.TYPE:
        raise StatementRefusedError(message)
    fields = orjson.loads(stored.payload)
    if fields["generation"] != place.sequence:
        raise StatementRefusedError(message)
    return LoggedAct(
        place,
        fields["previous"],
        fields["action"],
        fields["about"],
        fields.get("about_generation"),
        endings_in(fields),
    )


def _missing(sequence: int) -> AuditDamagedError:
    return AuditDamagedError(
        f"the audit log is not whole: entry {sequence} is missing, or is another than the one that"
        f" the next entry follows; {SEE_VERIFY}"
    )
