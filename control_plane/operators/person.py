"""A human, as the provider of single sign-on knows them: the issuer and the subject there. Pure.

`oidc:<issuer URL>:<sub>`, both percent-encoded. OpenID Connect Core section 5.7: only issuer and
`sub` together are a person's identity. A name or an e-mail address may go to somebody else.
"""

import re
from typing import Final, Self
from urllib.parse import quote, unquote_to_bytes

from attrs import frozen

MAX_ISSUER_CHARACTERS: Final = 255
MAX_SUBJECT_CHARACTERS: Final = 255  # OpenID Connect Core section 2
SCHEME: Final = "oidc:"
MAX_PERSON_CHARACTERS: Final = 5 + 765 + 1 + 765  # each character as three, percent-encoded

_SAFE: Final = "[A-Za-z0-9._~-]|%[0-9A-F]{2}"
_PERSON: Final = re.compile(
    rf"oidc:(?P<issuer>(?:{_SAFE}){{1,765}}):(?P<subject>(?:{_SAFE}){{1,765}})", re.ASCII
)


class InvalidPersonError(ValueError):
    """The text is not a person's identity."""


@frozen
class Person:
    """Who somebody is at the provider."""

    issuer: str
    subject: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the person of `oidc:<issuer>:<sub>`; raise `InvalidPersonError`."""
        match = _PERSON.fullmatch(text)
        if match is None:
            raise InvalidPersonError(_EXPECTED)
        try:
            parts = [unquote_to_bytes(match[name]).decode() for name in ("issuer", "subject")]
        except UnicodeDecodeError:
            raise InvalidPersonError(_EXPECTED) from None
        person = cls(*parts)
        if not person.is_bounded or str(person) != text:
            raise InvalidPersonError(_EXPECTED)
        return person

    @property
    def is_bounded(self) -> bool:
        """Whether both parts are there, and no longer than they may be."""
        return (
            0 < len(self.issuer) <= MAX_ISSUER_CHARACTERS
            and 0 < len(self.subject) <= MAX_SUBJECT_CHARACTERS
        )

    def __str__(self) -> str:
        """Return the one form in which audit log and statements name the person."""
        return f"{SCHEME}{quote(self.issuer, safe='')}:{quote(self.subject, safe='')}"


_EXPECTED: Final = (
    "a person is oidc:<issuer URL>:<sub>, both percent-encoded, as the audit log and"
    " `control-plane login` show it"
)


def is_person(name: str) -> bool:
    """Tell whether an actor of the audit log is a person, and no operator with a token.

    No operator's name has a `:`.
    """
    return name.startswith(SCHEME)
