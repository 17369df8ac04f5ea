"""The grammars of a connection request's fields: text in, a value or a `ValueError` out.

The messages go to the caller, beside the field's name; they never quote the text.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from control_plane.reading.texts import require_printable, unprintable
from shared.canonical_json import Network
from shared.connection import Provider
from shared.ecr_host import is_external_id
from shared.oci import RepositoryName
from shared.pem import InvalidPemError, decoded, load_certificates
from shared.registry_host import MAX_PORT, InvalidRegistryHostError, RegistryHost
from shared.sealed_secret import MAX_SECRET_BYTES
from shared.secret import Secret
from shared.several_problems import require_none
from shared.upstream.realm import MAX_REALM_CHARACTERS, InvalidRealmError, Realm

_PRIVATE_KEY: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----", re.ASCII)
_NO_PRIVATE_KEY: Final = "this holds a private key; give the certificates alone"
MAX_USERNAME_CHARACTERS: Final = 256
MAX_FLEET_CHARACTERS: Final = 255
MAX_DESCRIPTION_CHARACTERS: Final = 1000
MAX_SECRET_LABEL_CHARACTERS: Final = 128  # a date, a commit, a vault's version
MAX_CA_CERTIFICATE_CHARACTERS: Final = 64 * 1024  # a bundle of some twenty authorities

_REALM_AUTHORITY: Final = re.compile(r"[/?#\\]")
_REALM_PORT: Final = re.compile(r":([0-9]{1,9})\Z", re.ASCII)
SET_NAME_PATTERN: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_SET_NAME: Final = re.compile(SET_NAME_PATTERN, re.ASCII)
_FINGERPRINT: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def parse_provider(text: str) -> Provider:
    """Return the provider; raise `ValueError` if it is unknown."""
    if text not in list(Provider):
        raise ValueError(f"expected one of {', '.join(Provider)}")
    return Provider(text)


def parse_prefix(text: str) -> RepositoryName | None:
    """Return the prefix; an empty text is none."""
    return RepositoryName.parse(text) if text else None


def parse_username(text: str) -> str:
    """Return a user name that HTTP Basic can carry (RFC 7617 section 2)."""
    problems = [*unprintable(text, MAX_USERNAME_CHARACTERS, least=1)]
    if ":" in text:
        problems.append("a user name has no colon")
    require_none(problems)
    return text


def parse_secret(text: str) -> Secret:
    """Return a password or token; the error quotes nothing of it."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = 0
    problems = []
    if not 0 < size <= MAX_SECRET_BYTES:
        problems.append(f"expected 1 to {MAX_SECRET_BYTES} bytes of text")
    if any(letter < " " or letter == "\x7f" for letter in text):  # RFC 7617 section 2
        problems.append("a token has no control characters; is there a line break at its end?")
    require_none(problems)
    return Secret(text)


def parse_external_id(text: str) -> str:
    """Return an external id that STS takes."""
    if not is_external_id(text):
        raise ValueError("expected 2 to 1224 of A-Z, a-z, 0-9 and + = , . @ : / _ -")
    return text


def parse_fleet(text: str) -> str:
    """Return a fleet's name, verbatim as in certificates."""
    return require_printable(text, MAX_FLEET_CHARACTERS)


def parse_network(text: str) -> Network:
    """Return a network such as `10.0.0.0/8`."""
    try:
        return ip_network(text)
    except ValueError:  # quotes the text
        raise ValueError("expected a network such as 10.0.0.0/8, without host bits") from None


def parse_realm(text: str) -> str:
    """Return the URL of a token endpoint that may be shown the credential."""
    problems = [*_realm_problems(text)]
    try:
        Realm.parse(text)
    except InvalidRealmError as error:
        problems = problems or [str(error)]
    require_none(problems)
    return text


def _realm_problems(text: str) -> Iterator[str]:
    """Yield what is wrong with each part; `Realm` finds what else is wrong."""
    scheme, separator, rest = text.partition("://")
    authority = _REALM_AUTHORITY.split(rest, maxsplit=1)[0]
    port = _REALM_PORT.search(authority)
    if len(text) > MAX_REALM_CHARACTERS:
        yield f"a realm has at most {MAX_REALM_CHARACTERS} characters"
    if scheme.lower() == "http":
        yield "a realm is https; with plain_http the registry's own host needs no entry"
    elif not separator or scheme.lower() != "https":
        yield "a realm is an https:// URL"
    if not all("!" <= character <= "~" for character in text):
        yield "a realm is written in visible ASCII, without spaces"
    if "@" in authority:
        yield "a realm has no user name in it"
    try:
        name = authority.rpartition("@")[2].lower()
        RegistryHost.parse(_REALM_PORT.sub("", name))
    except InvalidRegistryHostError:
        yield "the realm's host is not a plain name or IPv4 address"
    if "#" in rest:
        yield "a realm has no fragment"
    if port and not 0 < int(port[1]) <= MAX_PORT:
        yield f"behind the realm's colon stands a port from 1 to {MAX_PORT}"


def parse_ca_certificate(text: str) -> str:
    """Return the PEM of the certificates alone; a private key beside them is refused."""
    problems = []
    if len(text) > MAX_CA_CERTIFICATE_CHARACTERS:
        problems.append(f"expected at most {MAX_CA_CERTIFICATE_CHARACTERS} characters")
    if _PRIVATE_KEY.search(text):
        problems.append(_NO_PRIVATE_KEY)
    require_none(problems)
    return _certificates(text)


def certificates_alone(file: bytes) -> str:
    """Return the PEM of a file's certificates, without what people write between them."""
    text = decoded(file)
    if _PRIVATE_KEY.search(text):
        raise ValueError(_NO_PRIVATE_KEY)
    return _certificates(text)


def _certificates(text: str) -> str:
    try:
        certificates = load_certificates(text)
    except InvalidPemError as error:
        raise ValueError(f"expected certificates in PEM: {error}") from None
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def parse_description(text: str) -> str:
    """Return a text for people."""
    return require_printable(text, MAX_DESCRIPTION_CHARACTERS, may_be_empty=True)


def parse_set_name(text: str) -> str | None:
    """Return the name of a set of files; an empty text is none."""
    if text and not _SET_NAME.fullmatch(text):
        raise ValueError("expected up to 63 of A-Z, a-z, 0-9 and . _ -; not . _ - at the beginning")
    return text or None


def parse_secret_label(text: str) -> str:
    """Return what an operator calls a secret; only whether two are alike is ever asked."""
    return require_printable(text, MAX_SECRET_LABEL_CHARACTERS)


def parse_fingerprint(text: str) -> str:
    """Return `sha256:<64 hexadecimal digits>`."""
    if not _FINGERPRINT.fullmatch(text):
        raise ValueError("expected sha256:<64 hex digits>, as it stands in the connection's view")
    return text
