"""Hosts and their quirks: one table, and how people write a host.

A row says under which other names people know a registry, where its API really is, and which token
endpoints belong to it. A registry that is not here (ACR, Harbor, Artifactory, ECR, Artifact
Registry, any on premises) needs no row: its realm is on its own host, or in the connection's
`auth_realms`. What else differs between registries (how they answer HEAD, which fields a token's
answer has) depends on no name: `login` and `client` treat all hosts alike.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Final

from attrs import frozen
from yarl import URL

from shared.oci import RepositoryName
from shared.registry_host import (
    DEFAULT_TLS_PORT,
    MAX_PORT,
    InvalidRegistryHostError,
    RegistryHost,
)
from shared.several_problems import SeveralProblemsError

MAX_TYPED_HOST_CHARACTERS: Final = 2048  # a pasted URL; nobody types more
NEARLY: Final = 0.8  # of difflib's ratio: two letters changed places in a name of seven


@frozen
class HostRow:
    """What is special about one registry."""

    host: RegistryHost
    aliases: frozenset[str] = frozenset()
    endpoint: str | None = None  # the host that serves the API, if it is another one
    implicit_namespace: str | None = None  # what a one-part repository name lies in
    realms: frozenset[str] = frozenset()  # as `auth_realms` has them
    former_paths: frozenset[str] = frozenset()  # what people paste behind the host


def _rows(*rows: HostRow) -> dict[RegistryHost, HostRow]:
    return {row.host: row for row in rows}


HOSTS: Final = _rows(
    HostRow(
        RegistryHost("docker.io"),
        aliases=frozenset(
            {
                "www.docker.io",
                "index.docker.io",
                "registry.docker.io",
                "registry-1.docker.io",
                "registry.hub.docker.com",
                "hub.docker.com",
                "docker.com",
                "www.docker.com",
            }
        ),
        endpoint="registry-1.docker.io",
        implicit_namespace="library",
        realms=frozenset({"https://auth.docker.io/token"}),
        former_paths=frozenset({"/v1"}),  # docker's own config.json calls it index.docker.io/v1/
    ),
    HostRow(
        RegistryHost("ghcr.io"),
        aliases=frozenset({"www.ghcr.io"}),
        realms=frozenset({"https://ghcr.io/token"}),
    ),
    HostRow(
        RegistryHost("quay.io"),
        aliases=frozenset({"www.quay.io"}),
        realms=frozenset({"https://quay.io/v2/auth"}),
    ),
    HostRow(
        RegistryHost("public.ecr.aws"),
        aliases=frozenset({"gallery.ecr.aws"}),
        realms=frozenset({"https://public.ecr.aws/token/"}),
    ),
    HostRow(
        RegistryHost("registry.gitlab.com"),
        realms=frozenset({"https://gitlab.com/jwt/auth"}),
    ),
)

_ALIASES: Final = {alias: row for row in HOSTS.values() for alias in row.aliases}
_SCHEME: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://", re.IGNORECASE | re.ASCII)
_AUTHORITY: Final = re.compile(r"[^/?#\\]*")  # RFC 3986 section 3.2; `\` ends it for browsers
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_API_PATHS: Final = frozenset({"", "/v2"})


class UnusableHostError(SeveralProblemsError):
    """What was typed does not name a registry host; each problem says what to type instead."""


def registry_host_from_people(text: str) -> RegistryHost:
    """Return the canonical host of what a person typed or pasted.

    An `https://` URL is reduced to its host, and every name of a known registry becomes its
    canonical one. Raises `UnusableHostError`, with a sentence for everything that is wrong.
    """
    typed = text.strip()
    if not typed or len(typed) > MAX_TYPED_HOST_CHARACTERS:
        raise UnusableHostError("the host is missing or too long")
    scheme = _SCHEME.match(typed)
    rest = typed[scheme.end() :] if scheme else typed
    authority = _AUTHORITY.match(rest)[0]  # type: ignore[index]  # it matches the empty text too
    problems = [*_scheme_problems(scheme["scheme"].lower() if scheme else "")]
    is_plain = typed.isascii() and typed.isprintable() and " " not in typed
    if not is_plain:
        problems.append("a host is written in plain ASCII, without spaces")
    if not {"?", "#", "\\", "%"}.isdisjoint(rest):
        problems.append("a host has no query, fragment, backslash or percent-encoding")
    if "@" in authority:
        problems.append("a host has no user name in it; user name and token are given on their own")
    name, port = _name_and_port(authority.rpartition("@")[2].lower(), problems, is_plain=is_plain)
    host = _canonical(name, port) if name else None
    row = HOSTS.get(host) if host else None
    path = re.split(r"[?#\\]", rest[len(authority) :])[0]
    if path.rstrip("/") not in _API_PATHS | (row.former_paths if row else frozenset()):
        problems.append(
            "give the registry's host alone; a path belongs to the repository, not here:"
            " repository_prefix (--prefix) takes it"
        )
    if problems or host is None:
        raise UnusableHostError(*problems)
    return host


def registry_host_from_reference(text: str) -> RegistryHost:
    """Return the host of what a person typed; in a device's path, `host_port` is written.

    Raises `UnusableHostError`.
    """
    # No host that people know has `_`; in a path it stands for the port's colon.
    try:
        return registry_host_from_people(str(RegistryHost.parse_path_form(text)))
    except InvalidRegistryHostError:
        return registry_host_from_people(text)


def nearest_known_host(host: str) -> RegistryHost | None:
    """Return the known registry whose name is nearly this one; None if this one is known itself."""
    names = {str(known): known for known in HOSTS} | {
        alias: row.host for alias, row in _ALIASES.items()
    }
    if host in names:
        return None
    nearest = difflib.get_close_matches(host, names, n=1, cutoff=NEARLY)
    return names[nearest[0]] if nearest else None


def endpoint(host: RegistryHost, *, plain_http: bool) -> URL:
    """Return the origin that serves the host's API."""
    row = HOSTS.get(host)
    name = row.endpoint if row and row.endpoint else host.name
    return URL.build(scheme="http" if plain_http else "https", host=name, port=host.port)


def upstream_repository(host: RegistryHost, repository: RepositoryName) -> RepositoryName:
    """Return the name as the registry itself has it (`busybox` -> `library/busybox`)."""
    row = HOSTS.get(host)
    if row and row.implicit_namespace and len(repository.components) == 1:
        return RepositoryName(f"{row.implicit_namespace}/{repository}")
    return repository


def builtin_realms(host: RegistryHost) -> frozenset[str]:
    """Return the token endpoints in the host's own row, in the form of `auth_realms`."""
    row = HOSTS.get(host)
    return row.realms if row else frozenset()


def _scheme_problems(scheme: str) -> Iterator[str]:
    if scheme == "http":
        yield "give the host without http://, and set plain_http (--plain-http) if it has no TLS"
    elif scheme not in ("", "https"):
        yield "give the host alone, or an https:// URL"


def _name_and_port(
    authority: str, problems: list[str], *, is_plain: bool
) -> tuple[str | None, str | None]:
    """Return name and port, or None in place of a wrong one; note what is wrong."""
    is_ipv6 = "[" in authority or authority.count(":") > 1
    if is_ipv6:
        problems.append("IPv6 addresses are not supported as a host; use a name or an IPv4 address")
        authority = authority.rpartition("]")[2] if "]" in authority else ""
    name, colon, port = authority.partition(":")
    if colon and (not _PORT.fullmatch(port) or int(port) > MAX_PORT):
        problems.append(f"behind the host's colon stands a port from 1 to {MAX_PORT}")
        colon = ""
    if is_ipv6:
        return None, None
    if is_plain and "%" not in name:  # said already
        try:
            RegistryHost.parse(name)
        except InvalidRegistryHostError as error:
            problems.append(str(error))
            return None, None
    return name, port if colon else None


def _canonical(name: str, port: str | None) -> RegistryHost:
    is_default = port in (None, str(DEFAULT_TLS_PORT))
    if is_default and name in _ALIASES:
        return _ALIASES[name].host
    return RegistryHost(name, None if is_default else int(port or 0))
