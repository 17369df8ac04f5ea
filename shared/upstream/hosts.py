"""Hosts and their quirks: one table, and how people write a host.

A row says under which other names people know a registry, where its API really is, and which
token endpoints belong to it. A registry that is not here (ACR, Harbor, Artifactory, ECR, Artifact
Registry, any on premises) needs nothing for its name's sake: its realm is on its own host, or in
the connection's `auth_realms`. What registries do otherwise (who answers HEAD how, which fields a
token's answer has) is met by whoever does it, for `login` and `client` treat all hosts alike.
"""

import re
from typing import Final

from attrs import frozen
from yarl import URL

from shared.oci import RepositoryName
from shared.registry_host import InvalidRegistryHostError, RegistryHost

MAX_TYPED_HOST_CHARACTERS: Final = 2048  # a pasted URL; nobody types more


@frozen
class HostRow:
    """What is special about one registry."""

    host: RegistryHost
    aliases: frozenset[str] = frozenset()
    endpoint: str | None = None  # the host that serves the API, where it is another one
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
_API_PATHS: Final = frozenset({"", "/v2"})


class UnusableHostError(ValueError):
    """What was typed does not name a registry host; the message says what to type instead."""


def registry_host_from_people(text: str) -> RegistryHost:
    """Return the canonical host of what a person typed or pasted.

    An `https://` URL is reduced to its host, and every name of a known registry becomes its
    canonical one. Raises `UnusableHostError`, a `ValueError` with a sentence for that person.
    """
    authority, path = _split(text.strip())
    name, port = _name_and_port(authority.lower())
    host = _canonical(name, port)
    row = HOSTS.get(host)
    former_paths = row.former_paths if row else frozenset()
    if path.rstrip("/") not in _API_PATHS | former_paths:
        message = "give the registry's host alone; a path belongs to the repository, not here"
        raise UnusableHostError(message)
    return host


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


def _split(text: str) -> tuple[str, str]:
    """Return authority and path of what was typed."""
    if not text or len(text) > MAX_TYPED_HOST_CHARACTERS:
        message = "the host is missing or too long"
        raise UnusableHostError(message)
    if not text.isascii() or not text.isprintable() or " " in text:
        message = "a host is written in plain ASCII, without spaces"
        raise UnusableHostError(message)
    scheme = _SCHEME.match(text)
    if scheme and scheme["scheme"].lower() == "http":
        message = "give the host without http://, and set plain_http if it has no TLS"
        raise UnusableHostError(message)
    if scheme and scheme["scheme"].lower() != "https":
        message = "give the host alone, or an https:// URL"
        raise UnusableHostError(message)
    rest = text[scheme.end() :] if scheme else text
    if not {"?", "#", "\\", "%"}.isdisjoint(rest):
        message = "a host has no query, fragment, backslash or percent-encoding"
        raise UnusableHostError(message)
    authority, slash, path = rest.partition("/")
    return authority, slash + path


def _name_and_port(authority: str) -> tuple[str, str | None]:
    if "@" in authority:
        message = "a host has no user name in it; user name and token are given on their own"
        raise UnusableHostError(message)
    if "[" in authority or authority.count(":") > 1:
        message = "IPv6 addresses are not supported as a host; use a name or an IPv4 address"
        raise UnusableHostError(message)
    name, colon, port = authority.partition(":")
    return name, port if colon else None


def _canonical(name: str, port: str | None) -> RegistryHost:
    if port in (None, "443"):
        row = _ALIASES.get(name)
        if row:
            return row.host
        port = None
    try:
        return RegistryHost.parse(name if port is None else f"{name}:{port}")
    except InvalidRegistryHostError as error:
        raise UnusableHostError(str(error)) from None
