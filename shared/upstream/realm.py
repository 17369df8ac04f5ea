"""Which token endpoints may be shown a connection's credential.

The registry names the realm, or whoever answers in its name (go-containerregistry#2193: an
attacker's realm got the password). It may get a credential only if it is https (http only with
`plain_http` and the registry's own host and port) and either on the registry's own host and port,
in that host's row of the built-in table, or in the connection's `auth_realms`.
"""

import re
from collections.abc import Sequence
from typing import Final, Self

from attrs import evolve, frozen
from yarl import URL

from shared.outside_bytes import Party, reads_bytes_of
from shared.registry_host import InvalidRegistryHostError, RegistryHost
from shared.upstream.errors import RealmNotAllowedError
from shared.upstream.hosts import builtin_realms, endpoint

MAX_REALM_CHARACTERS: Final = 2048  # a URL with a query of its own; real ones are under 200

_REALM: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!-~]*?)?(?P<query>\?[!-~]*)?",
    re.ASCII | re.IGNORECASE,
)
_FORBIDDEN: Final = frozenset('#\\"<>^`{|}')
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class InvalidRealmError(ValueError):
    """The text is not the URL of a token endpoint."""


@frozen
class Realm:
    """A token endpoint's URL; path and query are kept as they came."""

    scheme: str
    host: str  # lower case
    port: int  # the effective one
    path: str  # empty or with its leading slash
    query: str  # empty or with its leading question mark

    @classmethod
    @reads_bytes_of(Party.REGISTRY, Party.OPERATOR)
    def parse(cls, text: str) -> Self:
        """Return the realm; raise `InvalidRealmError` unless it is a plain http(s) URL.

        Refused: a user name, an IPv6 or encoded address, a fragment, anything but visible ASCII.
        """
        match = None if len(text) > MAX_REALM_CHARACTERS else _REALM.fullmatch(text)
        if match is None or not _FORBIDDEN.isdisjoint(text):
            raise InvalidRealmError(
                "a realm is an http(s) URL of visible ASCII without user name and fragment"
            )
        scheme, host = match["scheme"].lower(), match["host"].lower()
        port = int(match["port"] or _DEFAULT_PORTS[scheme])
        try:
            RegistryHost.parse(host)
        except InvalidRegistryHostError:
            raise InvalidRealmError(
                "the realm's host is not a plain name or IPv4 address"
            ) from None
        if not 0 < port < 65536:  # noqa: PLR2004 - the range of a port
            raise InvalidRealmError("the realm's port is not one")
        return cls(scheme, host, port, match["path"] or "", match["query"] or "")

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, lower-case host, effective port."""
        return self.scheme, self.host, self.port

    @property
    def url(self) -> URL:
        """The URL to ask, verbatim."""
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return URL(f"{self.scheme}://{self.host}{port}{self.path}{self.query}", encoded=True)

    @property
    def entry(self) -> str | None:
        """The entry of `auth_realms` that allows it, as the admin API takes it; None if none does.

        No entry allows plain HTTP. Each allows every query.
        """
        if self.scheme != "https":
            return None
        return str(evolve(self, query="").url)

    def covers(self, other: "Realm") -> bool:
        """Tell whether this entry of a list allows the other: same origin, and path if it has one.

        The query is not compared: it differs per request at some registries, and the credential
        goes to the same endpoint whatever it says.
        """
        return self.origin == other.origin and self.path in ("", "/", other.path)


def realm_allowed(
    realm: Realm, *, host: RegistryHost, plain_http: bool, auth_realms: Sequence[str]
) -> bool:
    """Tell whether the realm may be shown the credential of a connection to `host`."""
    own = endpoint(host, plain_http=plain_http)
    is_own = (realm.host, realm.port) == (own.raw_host, own.port)
    if realm.scheme != "https":
        return plain_http and is_own
    listed = (*builtin_realms(host), *auth_realms)
    return is_own or any(_covers(entry, realm) for entry in listed)


def require_realm(
    realm: str, *, host: RegistryHost, plain_http: bool, auth_realms: Sequence[str]
) -> Realm:
    """Return the parsed realm of a challenge, or raise `RealmNotAllowedError`."""
    try:
        parsed = Realm.parse(realm)
    except InvalidRealmError:
        raise RealmNotAllowedError(_printable(realm)) from None
    if not realm_allowed(parsed, host=host, plain_http=plain_http, auth_realms=auth_realms):
        raise RealmNotAllowedError(realm, entry=parsed.entry)
    return parsed


def _covers(entry: str, realm: Realm) -> bool:
    try:
        return Realm.parse(entry).covers(realm)
    except InvalidRealmError:
        return False  # an entry that is no realm allows nothing, and breaks nothing


def _printable(realm: str) -> str:
    """Return what an operator may be shown of a hostile realm: bounded, visible ASCII."""
    visible = "".join(character if " " < character <= "~" else "?" for character in realm)
    return visible[:MAX_REALM_CHARACTERS]
