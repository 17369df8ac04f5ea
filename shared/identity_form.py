"""How an installation's certificates say who a device is: a kind of name, and a SPIFFE pattern.

The facade reads certificates by this form. The control plane knows it too, so that nobody revokes
an id that no certificate of this form can bear.
"""

import re
from enum import StrEnum
from typing import Final

from attrs import frozen

from shared.device_id import (
    DNS_NAME,
    MAX_DEVICE_ID_CHARACTERS,
    SEGMENT,
    SUBJECT_FIELD,
    TRUST_DOMAIN,
)

DEFAULT_URI_PATTERN: Final = "spiffe://{trust_domain}/fleet/{fleet}/device/{device}"

_PLACEHOLDERS: Final = {"trust_domain": TRUST_DOMAIN, "fleet": SEGMENT, "device": SEGMENT}
_URI_PATTERN: Final = re.compile(
    r"spiffe://(?:\{trust_domain\}|[a-z0-9._-]{1,255})"
    r"(?:/(?:\{fleet\}|\{device\}|(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+))+",
    re.ASCII,
)


class IdentityKind(StrEnum):
    """Which name of a certificate identifies a device."""

    SPIFFE = "spiffe"
    DNS = "dns"
    SUBJECT = "subject"


class InvalidUriPatternError(ValueError):
    """The pattern is no SPIFFE id with `{device}` and known placeholders as whole segments."""


@frozen
class IdentityForm:
    """The form of an installation's identities: which devices and fleets there can be."""

    kind: IdentityKind
    uri_pattern: str = DEFAULT_URI_PATTERN  # of SPIFFE ids alone

    def says_device(self, device: str) -> bool:
        """Tell whether a certificate of this form can say this of its device."""
        match self.kind:
            case IdentityKind.SPIFFE:
                pattern = compile_uri_pattern(self.uri_pattern)
                return len(device) <= MAX_DEVICE_ID_CHARACTERS and bool(pattern.fullmatch(device))
            case IdentityKind.DNS:
                return DNS_NAME.fullmatch(device) is not None
            case IdentityKind.SUBJECT:
                return SUBJECT_FIELD.fullmatch(device) is not None

    def says_fleet(self, fleet: str) -> bool:
        """Tell whether a device of this form can be of this fleet."""
        match self.kind:
            case IdentityKind.SPIFFE:
                has_fleet = "{fleet}" in self.uri_pattern
                return has_fleet and re.fullmatch(SEGMENT, fleet, re.ASCII) is not None
            case IdentityKind.DNS:
                return False
            case IdentityKind.SUBJECT:
                return SUBJECT_FIELD.fullmatch(fleet) is not None

    def __str__(self) -> str:
        """Return what a device's id looks like."""
        match self.kind:
            case IdentityKind.SPIFFE:
                return self.uri_pattern
            case IdentityKind.DNS:
                return "a lower-case host name, the DNS SAN"
            case IdentityKind.SUBJECT:
                return "the subject's CN: letters, digits, '.', '_' and '-'"


def compile_uri_pattern(pattern: str) -> re.Pattern[str]:
    """Return the expression of `spiffe://{trust_domain}/fleet/{fleet}/device/{device}` and such.

    A placeholder is a whole segment, so that no id can be read in two ways.
    """
    once_each = pattern.count("{device}") == 1 and pattern.count("{fleet}") <= 1
    if not (once_each and _URI_PATTERN.fullmatch(pattern)):
        raise InvalidUriPatternError(
            "a SPIFFE id with one segment {device}, at most one {fleet}, and a trust domain or "
            "{trust_domain}"
        )
    pieces = re.split(r"\{([a-z_]+)\}", pattern)  # texts, with the placeholders between them
    return re.compile(
        "".join(
            f"(?P<{piece}>{_PLACEHOLDERS[piece]})" if odd else re.escape(piece)
            for odd, piece in ((index % 2, piece) for index, piece in enumerate(pieces))
        ),
        re.ASCII,
    )
