"""What an approver reads of a revision, line by line, in the order of reading. Pure.

A document is compared in the form that is hashed and signed: its canonical JSON, flattened to its
leaves (`credential.username`, `secret.version`). Beside them stand the revision's labels, which are
signed in the audit log. Each leaf belongs to one line. A leaf that no line knows has one of its
own, with its JSON as it is: nothing that is approved is ever left out.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

import orjson
from attrs import frozen

from control_plane.connections.revision import RevisionLabels
from control_plane.review.certificates import certificate_lines
from shared.canonical_json import format_time
from shared.connection import (
    Anonymous,
    ConnectionDocument,
    Credential,
    EcrRole,
    GoogleServiceAccount,
    UsernameAndToken,
)

ALL: Final = "all"
TRANSPORT: Final[Mapping[bool, str]] = {False: "TLS", True: "none: plain HTTP"}  # by plain_http
IMPORTS: Final[Mapping[bool, str]] = {False: "off", True: "on: the role may make repositories"}
REFERRERS: Final[Mapping[bool, str]] = {
    False: "not listed",
    True: "listed by digest: signatures, SBOMs, attestations",
}
OWN_REALM_ALONE: Final = "the registry's own alone"
PUBLIC_ALONE: Final = "public addresses alone"

Texts = tuple[str, ...]
Leaves = Mapping[str, Any]


class Section(StrEnum):
    """What a group of lines is about."""

    REGISTRY = "registry"
    LOGIN = "login"
    NETWORK = "network"
    SCOPE = "scope"
    MADE = "made"

    @property
    def heading(self) -> str:
        """The group's heading for people."""
        return "Revision" if self is Section.MADE else self.value.capitalize()


@frozen
class ReviewedTerms:
    """All that one approval approves: the document, and what its maker called it."""

    document: ConnectionDocument
    labels: RevisionLabels


@frozen
class DocumentLine:
    """A line: its name in the API, its label for people, and the leaves that it shows."""

    name: str
    label: str
    section: Section
    leaves: Texts
    read: Callable[[ReviewedTerms], Texts | None]  # None: they have no such line


def leaves_of(terms: ReviewedTerms) -> dict[str, Any]:
    """Return every value by its path; a default is left out, as it is in the canonical JSON."""
    document = dict(_flattened(orjson.loads(terms.document.to_bytes()), ""))
    return document | terms.labels.details()


def lines_of(*reviewed: ReviewedTerms) -> Iterator[DocumentLine]:
    """Yield every line, and one for each leaf of these terms that none of them knows."""
    yield from LINES
    known = {leaf for line in LINES for leaf in line.leaves}
    found = dict.fromkeys(leaf for terms in reviewed for leaf in leaves_of(terms))
    for leaf in found:
        if leaf not in known:
            yield _unknown_line(leaf)


def _flattened(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield path, value
        return
    for name, inner in value.items():
        yield from _flattened(inner, f"{path}.{name}" if path else name)


def _unknown_line(leaf: str) -> DocumentLine:
    def read(terms: ReviewedTerms) -> Texts | None:
        leaves = leaves_of(terms)
        return (orjson.dumps(leaves[leaf]).decode(),) if leaf in leaves else None

    return DocumentLine(leaf, leaf, Section.MADE, (leaf,), read)


def _line(
    name: str,
    label: str,
    section: Section,
    read: Callable[[ConnectionDocument], Texts | None],
    leaves: Texts = (),
) -> DocumentLine:
    return DocumentLine(name, label, section, leaves or (name,), lambda terms: read(terms.document))


def _label(name: str, label: str, section: Section) -> DocumentLine:
    """Return the line of a label; who gave none has no such line."""

    def read(terms: ReviewedTerms) -> Texts | None:
        value = terms.labels.details().get(name)
        return None if value is None else (value,)

    return DocumentLine(name, label, section, (name,), read)


def _of_credential(kind: type[Credential], name: str, label: str, none: str = "") -> DocumentLine:
    """Return the line of a credential's own field; documents of another kind have no such line."""

    def read(document: ConnectionDocument) -> Texts | None:
        if not isinstance(document.credential, kind):
            return None
        value = getattr(document.credential, name)
        return (none if value is None else str(value),)

    return _line(name, label, Section.LOGIN, read, (f"credential.{name}",))


_LOGIN_KINDS: Final[Mapping[type[Credential], str]] = {
    Anonymous: "none (anonymous)",
    UsernameAndToken: "user name and token",
    GoogleServiceAccount: "Google service account",
    EcrRole: "role in an AWS account",
}


def _login_kind(document: ConnectionDocument) -> Texts:
    return (_LOGIN_KINDS[type(document.credential)],)


def _pull_through_cache(document: ConnectionDocument) -> Texts | None:
    if not isinstance(document.credential, EcrRole):
        return None
    return (IMPORTS[document.credential.pull_through_cache],)


def _secret(document: ConnectionDocument) -> Texts | None:
    return (f"version {document.secret.version}",) if document.secret else None


def _sealing(document: ConnectionDocument) -> Texts | None:
    secret = document.secret
    return (f"the key {secret.key_id}, by {secret.suite}",) if secret else None


LINES: Final = (
    _line("host", "Host", Section.REGISTRY, lambda document: (str(document.host),)),
    _line(
        "repository_prefix",
        "Prefix",
        Section.REGISTRY,
        lambda document: (str(document.repository_prefix or "none: the whole registry"),),
    ),
    _line("login", "Kind of login", Section.LOGIN, _login_kind, ("credential.kind",)),
    _of_credential(UsernameAndToken, "username", "User name"),
    _of_credential(GoogleServiceAccount, "client_email", "Service account"),
    _of_credential(GoogleServiceAccount, "project_id", "Project"),
    _of_credential(EcrRole, "role_arn", "Role"),
    _of_credential(EcrRole, "account", "AWS account"),
    _of_credential(EcrRole, "region", "Region"),
    _of_credential(EcrRole, "external_id", "External id", none="none"),
    _line(
        "pull_through_cache",
        "Pull through cache",
        Section.LOGIN,
        _pull_through_cache,
        ("credential.pull_through_cache",),
    ),
    _line("secret", "Secret", Section.LOGIN, _secret, ("secret.version", "secret.sha256")),
    _label("secret_label", "Secret's label", Section.LOGIN),
    _label("credential_expires_at", "Credential ends", Section.LOGIN),
    _line("sealing", "Sealed to", Section.LOGIN, _sealing, ("secret.key_id", "secret.suite")),
    _line(
        "plain_http",
        "Encryption",
        Section.NETWORK,
        lambda document: (TRANSPORT[document.plain_http],),
    ),
    _line(
        "ca_certificate",
        "Authorities",
        Section.NETWORK,
        lambda document: certificate_lines(document.ca_certificate),
    ),
    _line(
        "auth_realms",
        "Token endpoints",
        Section.NETWORK,
        lambda document: document.auth_realms or (OWN_REALM_ALONE,),
    ),
    _line(
        "allowed_networks",
        "Networks",
        Section.NETWORK,
        lambda document: tuple(map(str, document.allowed_networks)) or (PUBLIC_ALONE,),
    ),
    _line(
        "repositories",
        "Repositories",
        Section.SCOPE,
        lambda document: tuple(map(str, document.repositories)) or (ALL,),
    ),
    _line("fleets", "Fleets", Section.SCOPE, lambda document: document.fleets or (ALL,)),
    _line(
        "referrers",
        "Referrers",
        Section.SCOPE,
        lambda document: (REFERRERS[document.referrers],),
    ),
    _label("set_name", "Set of files", Section.MADE),
    _line("connected_by", "Made by", Section.MADE, lambda document: (document.connected_by,)),
    _line(
        "connected_at",
        "Made at",
        Section.MADE,
        lambda document: (format_time(document.connected_at),),
    ),
)
