"""An identity profile: how the certificates of some CAs say who a device is, field by field.

A profile names fields of a certificate and a pattern for each:

    fields:
      common_name: "{device}"
      organizational_unit: "{fleet}"
      other_names: {1.3.6.1.4.1.311.20.2.3: "{any}@devices.example.com"}
      extensions: {1.3.6.1.4.1.99999.1.2: example-org}

A pattern is a text with placeholders: `{device}`, `{fleet}`, and `{any}` for a part that says
nothing here. Each placeholder is letters, digits, `.`, `_` and `-`, and in a DNS name of one label.
Between two of them stands something else, so that no text can be read in two ways. The value of a
device is the whole text of the field that holds `{device}`, verbatim.

Pure. The facade reads certificates by it, and the control plane knows by it which ids there can be.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from attrs import field, frozen
from cryptography import x509

from shared.device_id import (
    ATTRIBUTE,
    DNS_NAME,
    MAX_DEVICE_ID_CHARACTERS,
    OTHER_URI,
    SEGMENT,
    SPIFFE_ID,
)
from shared.safe_message import SafeMessage

MAX_PATTERN_CHARACTERS: Final = 512

_PLACEHOLDER: Final = re.compile(r"\{(device|fleet|any)\}")
_WORD: Final = r"(?!\.{1,2}(?:[^A-Za-z0-9._-]|\Z))[A-Za-z0-9._-]+"
_LABEL: Final = r"[a-z0-9-]{1,63}"
_FIXED: Final = re.compile(r"spiffe://[^/]+/|(?!spiffe:)[^:]+:")  # of a URI
# Of a field that does not name the device, such as flightctl's `flightctl.io/device-management`. A
# device's name has no slash there, because an id is `profile/value`.
_STATEMENT: Final = re.compile(
    r"(?=.{1,256}\Z)[A-Za-z0-9._:@+=,/-]+(?: [A-Za-z0-9._:@+=,/-]+)*", re.ASCII
)
# A field that is a device's name as a whole may be a MAC address, such as `00:1a:2b:3c:4d:5e`.
_WHOLE: Final = r"(?!\.{1,2}\Z)[A-Za-z0-9._:-]{1,256}"


class InvalidProfileError(SafeMessage, ValueError):
    """A part of a profile cannot be used; the message says why and quotes nothing of it."""


class FieldKind(StrEnum):
    """Which field of a certificate, as a profile's file names it."""

    URI = "uri"
    DNS = "dns"
    COMMON_NAME = "common_name"
    ORGANIZATIONAL_UNIT = "organizational_unit"
    ORGANIZATION = "organization"
    SERIAL_NUMBER = "serial_number"  # the subject's attribute (X.520), not the certificate's own
    OTHER_NAME = "other_name"  # an otherName SAN of one type
    EXTENSION = "extension"


# A file has these below an OID: what they are is told by it.
NAMED_BY_OID: Final = {"other_names": FieldKind.OTHER_NAME, "extensions": FieldKind.EXTENSION}

_FIELD_WORDS: Final = {
    FieldKind.URI: "URI SAN",
    FieldKind.DNS: "DNS SAN",
    FieldKind.COMMON_NAME: "CN",
    FieldKind.ORGANIZATIONAL_UNIT: "OU",
    FieldKind.ORGANIZATION: "O",
    FieldKind.SERIAL_NUMBER: "serialNumber attribute",
    FieldKind.OTHER_NAME: "otherName SAN",
    FieldKind.EXTENSION: "extension",
}


class KeyType(StrEnum):
    """What a device's public key may be."""

    P_256 = "p-256"
    P_384 = "p-384"
    P_521 = "p-521"
    ED25519 = "ed25519"
    ED448 = "ed448"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"


@frozen
class CertificateField:
    """A field that stands once in a certificate."""

    kind: FieldKind
    oid: str = ""  # of an otherName or an extension, dotted

    def __str__(self) -> str:
        """Return what people call it."""
        return f"{_FIELD_WORDS[self.kind]} {self.oid}".rstrip()


@frozen
class FieldPattern:
    """A pattern, and what it makes of a text."""

    text: str
    placeholders: tuple[str, ...]
    _expression: re.Pattern[str] = field(eq=False, repr=False)
    _grammars: tuple[re.Pattern[str], ...] = field(eq=False, repr=False)

    @classmethod
    def of(cls, kind: FieldKind, text: str) -> "FieldPattern":
        """Return the pattern of a field; raise `InvalidProfileError`."""
        if not 0 < len(text) <= MAX_PATTERN_CHARACTERS:
            raise InvalidProfileError(f"expected 1 to {MAX_PATTERN_CHARACTERS} characters")
        literals, placeholders = _PLACEHOLDER.split(text)[::2], _PLACEHOLDER.findall(text)
        grammars = _grammars(kind, text)
        if not _is_any_of(grammars, _PLACEHOLDER.sub("x", text)):
            raise InvalidProfileError(f"expected {_expected(kind)}")
        if kind is FieldKind.URI and not _FIXED.match(literals[0]):
            raise InvalidProfileError("no placeholder in the scheme, nor in a SPIFFE trust domain")
        between = "a-z0-9-" if kind is FieldKind.DNS else "A-Za-z0-9._-"
        if any(re.fullmatch(f"[{between}]*", each) for each in literals[1:-1]):
            raise InvalidProfileError("two placeholders stand so that a text could be read twice")
        for name in ("device", "fleet"):
            if placeholders.count(name) > 1:
                raise InvalidProfileError(f"{{{name}}} stands there more than once")
        return cls(text, tuple(placeholders), _compiled(kind, literals, placeholders), grammars)

    def read(self, value: str) -> Mapping[str, str] | None:
        """Return what a field's text says of `device` and `fleet`; None if it does not fit."""
        if len(value) > MAX_DEVICE_ID_CHARACTERS:
            return None
        match = self._expression.fullmatch(value)
        return match.groupdict() if match and _is_any_of(self._grammars, value) else None


@frozen
class IdentityProfile:
    """How the certificates of its CAs are read."""

    name: str
    authorities: tuple[x509.Certificate, ...] = field(repr=False)
    patterns: Mapping[CertificateField, FieldPattern]
    fleet: str | None = None  # of each of its devices, if no field says one
    may_lack_usage: bool = False  # the extended key usage may be missing (IEEE 802.1AR IDevIDs)
    hardware_key_oid: str | None = None  # by which its CA says that a key cannot leave its hardware
    key_types: frozenset[KeyType] = frozenset(KeyType)

    @property
    def device_field(self) -> CertificateField:
        """The field that names the device."""
        return next(each for each, pattern in self.patterns.items() if _names(pattern, "device"))

    @property
    def fleet_field(self) -> CertificateField | None:
        """The field that names the fleet, if one does."""
        found = (each for each, pattern in self.patterns.items() if _names(pattern, "fleet"))
        return next(found, None)

    def says_value(self, value: str) -> bool:
        """Tell whether a certificate of this profile can say this of its device."""
        return self.patterns[self.device_field].read(value) is not None

    def says_fleet(self, fleet: str) -> bool:
        """Tell whether a device of this profile can be of this fleet."""
        named = self.fleet_field
        if named is None:
            return fleet == self.fleet
        grammar = _LABEL if named.kind is FieldKind.DNS else SEGMENT
        return re.fullmatch(grammar, fleet, re.ASCII) is not None


def _names(pattern: FieldPattern, placeholder: str) -> bool:
    return placeholder in pattern.placeholders


def _is_any_of(grammars: tuple[re.Pattern[str], ...], text: str) -> bool:
    return any(grammar.fullmatch(text) for grammar in grammars)


def _grammars(kind: FieldKind, text: str) -> tuple[re.Pattern[str], ...]:
    """Return the grammars of a field's whole text, whatever its pattern says."""
    match kind:
        case FieldKind.URI:
            return (SPIFFE_ID if text.startswith("spiffe:") else OTHER_URI,)
        case FieldKind.DNS:
            return (DNS_NAME,)
        case _:
            return (ATTRIBUTE if "{device}" in text else _STATEMENT,)


def _expected(kind: FieldKind) -> str:
    match kind:
        case FieldKind.URI:
            return "a URI such as spiffe://example.com/fleet/{fleet}/device/{device}"
        case FieldKind.DNS:
            return "a lower-case host name such as {device}.{fleet}.example.com"
        case _:
            return "letters, digits, single spaces, '._:@+=,-', and '/' where no {device} is"


def _compiled(kind: FieldKind, literals: list[str], placeholders: list[str]) -> re.Pattern[str]:
    part = _LABEL if kind is FieldKind.DNS else _WORD
    if placeholders == ["device"] and literals == ["", ""] and kind is not FieldKind.DNS:
        part = _WHOLE
    pieces = [re.escape(literals[0])]
    for name, literal in zip(placeholders, literals[1:], strict=True):
        pieces += [part if name == "any" else f"(?P<{name}>{part})", re.escape(literal)]
    return re.compile("".join(pieces), re.ASCII)
