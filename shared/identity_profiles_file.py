"""The file of identity profiles: YAML or JSON; a wrong one is refused as a whole, in words.

profiles:
  - name: line-a                     # a device's id is line-a/VALUE, unless it is the only profile
    authorities: |                   # its CAs in PEM: one of them must be in the verified chain
      -----BEGIN CERTIFICATE-----
      …
    fields:                          # each stands once in the certificate, and fits
      common_name: "{device}"
      organizational_unit: "{fleet}"
      other_names:                   # or `extensions`: each by its object identifier
        1.3.6.1.5.5.7.8.4: "{any}:{any}"
    fleet: presses                   # in place of {fleet}
    extended_key_usage: may_be_missing    # `required` without this line
    hardware_key: 2.23.133.11.1.1    # an extension, a policy or a key usage that the CA sets
    key_types: [p-256, p-384]        # without this line: all that are known
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

from attrs import define, field
from cryptography import x509

from shared.device_id import ATTRIBUTE, PROFILE_NAME
from shared.identity_profile import (
    NAMED_BY_OID,
    CertificateField,
    FieldKind,
    FieldPattern,
    IdentityProfile,
    InvalidProfileError,
    KeyType,
)
from shared.outside_bytes import Party, reads_bytes_of
from shared.pem import InvalidPemError, load_certificates
from shared.plain_yaml import PlainYamlError, read_plain_yaml
from shared.safe_message import SafeMessage

MAX_PROFILES_FILE_BYTES: Final = 1024 * 1024  # 64 profiles, each with a bundle of some ten CAs
MAX_PROFILES: Final = 64  # each that binds a device's CA is tried when it connects: 0.05 ms
MAX_AUTHORITIES: Final = 32  # of a profile
MAX_FIELDS: Final = 8  # of a profile; each of a certificate's fields that can be named, and more
MAX_DEPTH: Final = 5  # the extensions of a profile's fields are the fifth
MAX_NAMED_PROBLEMS: Final = 20  # enough to see what is wrong
MAX_OID_CHARACTERS: Final = 64

_PLAIN_FIELDS: Final = tuple(each for each in FieldKind if each not in NAMED_BY_OID.values())
_Value = TypeVar("_Value")


class ProfilesFileError(SafeMessage, ValueError):
    """The file holds no profiles that can be used; the message quotes nothing of it."""


class _Usage(StrEnum):
    REQUIRED = "required"
    MAY_BE_MISSING = "may_be_missing"


@reads_bytes_of(Party.FILE)
def parse_profiles(content: bytes) -> tuple[IdentityProfile, ...]:
    """Return the profiles of a file, at least one; raise `ProfilesFileError`."""
    try:
        document = read_plain_yaml(content, max_bytes=MAX_PROFILES_FILE_BYTES, max_depth=MAX_DEPTH)
    except PlainYamlError as error:
        raise ProfilesFileError(str(error)) from None
    if not isinstance(document, dict) or document.keys() != {"profiles"}:
        raise ProfilesFileError("expected `profiles:` and a list of them, and nothing else")
    items = document["profiles"]
    if not isinstance(items, list) or not 0 < len(items) <= MAX_PROFILES:
        raise ProfilesFileError(f"/profiles: expected a list of 1 to {MAX_PROFILES}")
    problems = list[str]()
    read = [_Reader(f"/profiles/{number}", problems) for number, _ in enumerate(items)]
    profiles = [reader.profile(item) for reader, item in zip(read, items, strict=True)]
    found = [profile for profile in profiles if profile is not None]
    if len({profile.name for profile in found}) < len(found):
        problems.append("/profiles: two of them have one name")
    if problems:
        raise ProfilesFileError("; ".join(problems[:MAX_NAMED_PROBLEMS]))
    return tuple(found)


@define(eq=False)
class _Reader:
    """Reads one profile, and notes what is wrong with it."""

    _place: str
    _problems: list[str]
    _taken: set[str] = field(factory=set, init=False)

    def profile(self, item: object) -> IdentityProfile | None:
        """Return the profile, or None after a problem."""
        if not isinstance(item, dict):
            self._wrong("", "expected a mapping")
            return None
        before = len(self._problems)
        name = self._field(item, "name", _name)
        authorities = self._field(item, "authorities", _authorities)
        patterns = self._field(item, "fields", self._patterns)
        fleet = self._optional(item, "fleet", _fleet)
        usage = self._optional(item, "extended_key_usage", lambda value: _Usage(_text(value)))
        hardware_key = self._optional(item, "hardware_key", _oid)
        key_types = self._optional(item, "key_types", _key_types)
        for _ in (key for key in item if key not in self._taken):
            self._wrong("", "it has a field that is not known")
        if patterns is not None:
            self._look_at_names(patterns, has_fleet=fleet is not None)
        if len(self._problems) > before or not (name and authorities and patterns):
            return None
        return IdentityProfile(
            name,
            authorities,
            patterns,
            fleet,
            may_lack_usage=usage is _Usage.MAY_BE_MISSING,
            hardware_key_oid=hardware_key,
            key_types=key_types or frozenset(KeyType),
        )

    def _field(
        self, item: Mapping[Any, object], name: str, parse: Callable[[object], _Value]
    ) -> _Value | None:
        if name not in item:
            self._wrong(f"/{name}", "it is missing")
            return None
        return self._optional(item, name, parse)

    def _optional(
        self, item: Mapping[Any, object], name: str, parse: Callable[[object], _Value]
    ) -> _Value | None:
        self._taken.add(name)
        if name not in item:
            return None
        try:
            return parse(item[name])
        except (InvalidPemError, InvalidProfileError) as error:
            self._wrong(f"/{name}", str(error))
        except ValueError:  # may quote the file
            self._wrong(f"/{name}", "it has another form")
        return None

    def _patterns(self, value: object) -> Mapping[CertificateField, FieldPattern]:
        named = list(_named_fields(value))
        if not 0 < len(named) <= MAX_FIELDS:
            raise InvalidProfileError(f"expected 1 to {MAX_FIELDS} fields")
        patterns = dict[CertificateField, FieldPattern]()
        for each, text in named:
            try:
                patterns[each] = FieldPattern.of(each.kind, _text(text))
            except InvalidProfileError as error:
                self._wrong(f"/fields/{each.kind}", str(error))
        return patterns

    def _look_at_names(
        self, patterns: Mapping[CertificateField, FieldPattern], *, has_fleet: bool
    ) -> None:
        said = [name for pattern in patterns.values() for name in pattern.placeholders]
        if said.count("device") != 1:
            self._wrong("/fields", "expected {device} once in all of them")
        if said.count("fleet") + has_fleet > 1:
            self._wrong("/fields", "expected {fleet} once in all of them, or `fleet:` beside them")

    def _wrong(self, place: str, words: str) -> None:
        self._problems.append(f"{self._place}{place}: {words}")


def _named_fields(value: object) -> Iterator[tuple[CertificateField, object]]:
    if not isinstance(value, dict):
        raise InvalidProfileError("expected a mapping of fields")
    for name, pattern in value.items():
        if name in NAMED_BY_OID:
            if not isinstance(pattern, dict):
                raise InvalidProfileError(f"expected a mapping of {name}")
            for oid, text in pattern.items():
                yield CertificateField(NAMED_BY_OID[name], _oid(oid)), text
        elif name in _PLAIN_FIELDS:
            yield CertificateField(FieldKind(name)), pattern
        else:
            known = ", ".join((*_PLAIN_FIELDS, *NAMED_BY_OID))
            raise InvalidProfileError(f"expected only {known}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidProfileError("expected a text, in quotes if need be")
    return value


def _name(value: object) -> str:
    if not PROFILE_NAME.fullmatch(_text(value)):
        raise InvalidProfileError("expected 1 to 32 lower-case letters, digits and inner '-'")
    return _text(value)


def _fleet(value: object) -> str:
    if not ATTRIBUTE.fullmatch(_text(value)):
        raise InvalidProfileError("expected letters, digits, single spaces and '._:@+=,-'")
    return _text(value)


def _authorities(value: object) -> tuple[x509.Certificate, ...]:
    found = load_certificates(_text(value))
    if len(found) > MAX_AUTHORITIES:
        raise InvalidProfileError(f"expected at most {MAX_AUTHORITIES} certificates")
    return tuple(found)


def _oid(value: object) -> str:
    text = _text(value)
    if len(text) > MAX_OID_CHARACTERS:
        raise InvalidProfileError("expected an object identifier such as 1.3.6.1.4.1.99999.1")
    try:
        return x509.ObjectIdentifier(text).dotted_string
    except ValueError:
        raise InvalidProfileError(
            "expected an object identifier such as 1.3.6.1.4.1.99999.1, in quotes"
        ) from None


def _key_types(value: object) -> frozenset[KeyType]:
    if not isinstance(value, list) or not value:
        raise InvalidProfileError("expected a list of key types")
    try:
        return frozenset(KeyType(_text(each)) for each in value)
    except ValueError:
        raise InvalidProfileError(f"expected of {', '.join(KeyType)}") from None
