"""The rows of the database that are not believed now, and why. Pure."""

import hashlib
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


class WhyRefused(StrEnum):
    """Why a row is not believed: a label of the metric."""

    UNKNOWN_KEY = "unknown_key"  # signed with a key that this facade does not have
    WRONG_SIGNATURE = "wrong_signature"  # somebody changed the row
    UNKNOWN_TYPE = "unknown_type"  # a type or version that this facade does not know
    MALFORMED = "malformed"  # signed, and parts of it are missing or do not agree
    OTHER_SUBJECT = "other_subject"  # somebody copied it from another row
    OLDER = "older"  # a newer statement was seen before
    CONTRADICTION = "contradiction"  # another statement of the same generation was seen before

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
    identity: bytes  # of the row's content; empty if it was not told of


@define
class RefusedRows:
    """Of each subject the row that was read last, if it is not believed."""

    _by_subject: dict[str, _Refused] = field(factory=dict, init=False)
    of_connections: Counter[WhyRefused] = field(factory=Counter, init=False)
    of_devices: Counter[WhyRefused] = field(factory=Counter, init=False)  # and of certificates
    would_serve: int = field(default=0, init=False)  # rows that might have served something

    def __contains__(self, subject: object) -> bool:
        """Tell whether the subject's row is not believed."""
        return subject in self._by_subject

    @property
    def lacks_key(self) -> bool:
        """Whether rows of connections may be right, and cannot be verified here."""
        return self.of_connections[WhyRefused.UNKNOWN_KEY] > 0

    def subjects(self) -> AbstractSet[str]:
        """Return the subjects whose rows are not believed."""
        return self._by_subject.keys()

    def is_news(self, subject: str, stored: StoredStatement, why: WhyRefused) -> bool:
        """Note a row of the database; tell whether this very one was not noted before."""
        known, identity = self._by_subject.get(subject), _identity(stored)
        if known is not None and known.identity == identity:
            return False
        self._put(subject, _Refused(why, _would_serve(subject, stored), identity))
        return True

    def note(self, subject: str, stored: StoredStatement, why: WhyRefused) -> None:
        """Note a row of the state folder, which will be news if the database has it too."""
        self._put(subject, _Refused(why, _would_serve(subject, stored), b""))

    def forget(self, subject: str) -> None:
        """Forget a subject whose row is believed, or gone."""
        known = self._by_subject.pop(subject, None)
        if known is not None:
            self._count(subject)[known.why] -= 1
            self.would_serve -= known.would_serve

    def _put(self, subject: str, refused: _Refused) -> None:
        self.forget(subject)
        self._by_subject[subject] = refused
        self._count(subject)[refused.why] += 1
        self.would_serve += refused.would_serve

    def _count(self, subject: str) -> Counter[WhyRefused]:
        return self.of_connections if subject.startswith(CONNECTION) else self.of_devices


def _would_serve(subject: str, stored: StoredStatement) -> bool:
    """Tell whether the row stands where an approval might, and does not claim to be its end."""
    return subject.startswith(CONNECTION) and stored.type != ConnectionRevocation.TYPE


def _identity(stored: StoredStatement) -> bytes:
    return hashlib.sha256(
        b"\0".join((stored.type.encode(), stored.key_id.encode(), stored.signature, stored.payload))
    ).digest()
