"""How an installation's certificates say who a device is: a kind of name, or a profile for each CA.

The facade reads certificates by this form. The control plane knows it too, so that nobody revokes
an id that no certificate of this form can bear.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, Protocol

from attrs import frozen
from cryptography import x509

from shared.certificate_fields import texts_of
from shared.device_id import (
    DNS_NAME,
    MAX_DEVICE_ID_CHARACTERS,
    SEGMENT,
    SUBJECT_FIELD,
    TRUST_DOMAIN,
)
from shared.identity_profile import IdentityProfile

MAX_SHOWN_PROFILES: Final = 4  # in a sentence for people
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


class IdentityForm(Protocol):
    """The form of an installation's identities: which devices and fleets there can be."""

    def says_device(self, device: str) -> bool:
        """Tell whether a certificate of this form can say this of its device."""

    def says_fleet(self, fleet: str) -> bool:
        """Tell whether a device of this form can be of this fleet."""


@frozen
class KindForm:
    """All certificates are read by one kind of name."""

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


@frozen
class ProfilesForm:
    """The certificates of each CA are read by a profile of their own."""

    profiles: tuple[IdentityProfile, ...]

    def says_device(self, device: str) -> bool:
        """Tell whether a certificate of a profile can say this of its device."""
        name, slash, value = device.partition("/")
        is_named = any(slash and each.name == name and each.says_value(value) for each in self)
        return is_named or (len(self.profiles) == 1 and self.profiles[0].says_value(device))

    def says_fleet(self, fleet: str) -> bool:
        """Tell whether a device of a profile can be of this fleet."""
        return any(each.says_fleet(fleet) for each in self)

    def ids_in(self, certificate: x509.Certificate) -> tuple[str, ...]:
        """Return the ids that it may have, of the CA of whichever profile it is.

        Raises one of `MALFORMED` for a certificate that cannot be read.
        """
        is_alone = len(self.profiles) == 1
        return tuple(
            text if is_alone else f"{profile.name}/{text}"
            for profile in self
            for text in texts_of(certificate, profile.device_field)
            if profile.says_value(text)
        )

    def __iter__(self) -> Iterator[IdentityProfile]:
        """Go through the profiles."""
        return iter(self.profiles)

    def __str__(self) -> str:
        """Return what ids look like: of the first profiles."""
        forms = [f"{each.name}/{each.patterns[each.device_field].text}" for each in self]
        more = len(forms) - MAX_SHOWN_PROFILES
        shown = " or ".join(forms[:MAX_SHOWN_PROFILES])
        return f"{shown}, or of {more} more profiles" if more > 0 else shown


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
