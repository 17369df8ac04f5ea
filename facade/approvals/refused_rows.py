"""The rows of the database that are not believed now, and why. Pure.

For each subject that was ever believed, the row that was read last is known. Other subjects can be
invented by anybody who may write in the database: only `MAX_STRANGERS` of those are known, and the
rest is counted.
"""

from collections import Counter
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Final

from attrs import define, field, frozen

from shared.statement import (
    ConnectionRevocation,
    StatementRefusedError,
    StoredStatement,
    UnknownKeyError,
    UnknownTypeError,
    WrongSignatureError,
)

CONNECTION: Final = "connection/"  # what the subjects of connections begin with
MAX_STRANGERS: Final = 10_000  # subjects that were never believed; some 400 bytes each
MAX_STRANGERS_BYTES: Final = 4 * 1024 * 1024  # of their names


class WhyRefused(StrEnum):
    """Why a row is not believed: a label of the metric."""

    UNKNOWN_KEY = "unknown_key"  # signed with a key that this facade does not have
    WRONG_SIGNATURE = "wrong_signature"  # somebody changed the row
    UNKNOWN_TYPE = "unknown_type"  # a type or version that this facade does not know
    MALFORMED = "malformed"  # signed, and parts of it are missing or do not agree
    OTHER_SUBJECT = "other_subject"  # somebody copied it from another row
    OLDER = "older"  # a newer statement was seen earlier
    AHEAD = "ahead"  # of a time more than a year ahead of this clock
    CONTRADICTION = "contradiction"  # another statement of the same generation was seen earlier

    @classmethod
    def of(cls, error: StatementRefusedError) -> "WhyRefused":
        """Return why a statement did not verify."""
        match error:
            case UnknownKeyError():
                return cls.UNKNOWN_KEY
            case WrongSignatureError():
                return cls.WRONG_SIGNATURE
            case UnknownTypeError():
                return cls.UNKNOWN_TYPE
            case _:
                return cls.MALFORMED


@frozen
class _Refused:
    why: WhyRefused
    would_serve: bool
    identity: bytes  # of the row's content; empty if it was not told
    is_stranger: bool  # its subject was never believed


@define
class RefusedRows:
    """Of each subject the row that was read last, if it is not believed."""

    _by_subject: dict[str, _Refused] = field(factory=dict, init=False)
    of_connections: Counter[WhyRefused] = field(factory=Counter, init=False)
    of_devices: Counter[WhyRefused] = field(factory=Counter, init=False)  # and of certificates
    would_serve: int = field(default=0, init=False)  # rows that might have served something
    _strangers: int = field(default=0, init=False)
    _strangers_bytes: int = field(default=0, init=False)
    # How many more there are: as the last whole comparison found, and as this one has found so far.
    beyond: Counter[WhyRefused] = field(factory=Counter, init=False)
    _beyond_yet: Counter[WhyRefused] = field(factory=Counter, init=False)

    def __contains__(self, subject: object) -> bool:
        """Tell whether the subject's row is not believed."""
        return subject in self._by_subject

    @property
    def lacks_key(self) -> bool:
        """Whether rows of connections may be right, and cannot be verified here."""
        counts = (self.of_connections, self.beyond, self._beyond_yet)
        return any(each[WhyRefused.UNKNOWN_KEY] > 0 for each in counts)

    def begin_comparison(self) -> None:
        """Count again from zero what is beyond the bound, because every row is about to be read."""
        self._beyond_yet = Counter()

    def end_comparison(self, nameless: int) -> None:
        """Take what the comparison found beyond the bound, and how many rows have no subject."""
        self._beyond_yet[WhyRefused.MALFORMED] += nameless
        self.beyond = self._beyond_yet

    def subjects(self) -> AbstractSet[str]:
        """Return the subjects whose rows are not believed."""
        return self._by_subject.keys()

    def is_news(
        self,
        subject: str,
        stored: StoredStatement,
        why: WhyRefused,
        identity: bytes,
        *,
        is_stranger: bool,
    ) -> bool:
        """Note a row of the database; tell whether this very one was not noted before.

        A stranger for which there is no room is counted, and is no news.
        """
        known = self._by_subject.get(subject)
        if known is not None and known.identity == identity:
            return False
        if known is None and is_stranger and not self._has_room_for(subject):
            self._beyond_yet[why] += 1
            return False
        self._put(
            subject, _Refused(why, _would_serve(subject, stored), identity, is_stranger=is_stranger)
        )
        return True

    def note(self, subject: str, stored: StoredStatement, why: WhyRefused) -> None:
        """Note a row of the state folder. If the database has it, too, that will be news."""
        self._put(subject, _Refused(why, _would_serve(subject, stored), b"", is_stranger=False))

    def forget(self, subject: str) -> None:
        """Forget a subject whose row is believed, or gone."""
        known = self._by_subject.pop(subject, None)
        if known is not None:
            self._count(subject)[known.why] -= 1
            self.would_serve -= known.would_serve
            self._strangers -= known.is_stranger
            self._strangers_bytes -= known.is_stranger * len(subject.encode())

    def _has_room_for(self, subject: str) -> bool:
        size = self._strangers_bytes + len(subject.encode())
        return self._strangers < MAX_STRANGERS and size <= MAX_STRANGERS_BYTES

    def _put(self, subject: str, refused: _Refused) -> None:
        self.forget(subject)
        self._by_subject[subject] = refused
        self._count(subject)[refused.why] += 1
        self.would_serve += refused.would_serve
        self._strangers += refused.is_stranger
        self._strangers_bytes += refused.is_stranger * len(subject.encode())

    def _count(self, subject: str) -> Counter[WhyRefused]:
        return self.of_connections if subject.startswith(CONNECTION) else self.of_devices


def _would_serve(subject: str, stored: StoredStatement) -> bool:
    """Tell whether the row stands where an approval may stand, and does not claim to end one."""
    return subject.startswith(CONNECTION) and stored.type != ConnectionRevocation.TYPE
