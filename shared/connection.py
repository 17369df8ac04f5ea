"""The connection document: everything an approver sees, and so everything that is approved.

- Its *fingerprint* is the SHA-256 of its stored bytes (JSON, keys sorted, defaults left out).
- Its *seal context* is the part that decides who is shown the secret. It is bound into the seal,
  so a change of it needs the secret again.
- Its *access key* is the hash of the seal context: what the right to read hangs on.
"""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, assert_never
from uuid import UUID

import attrs
from attrs import field, frozen

from shared.canonical_json import Network, from_json, register_union, to_json
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.repository_pattern import RepositoryPattern
from shared.statement_level import since

SEAL_CONTEXT: Final = b"registry-secret/1 "


class Provider(StrEnum):
    """How a connection gets the credentials that it shows to its registry."""

    STATIC = "static"
    GOOGLE_SERVICE_ACCOUNT = "google_service_account"
    AWS_ECR = "aws_ecr"


@frozen
class Anonymous:
    """A public registry, asked without a credential."""


@frozen
class UsernameAndToken:
    """A user name; its password or token is the sealed secret."""

    username: str


@frozen
class GoogleServiceAccount:
    """A Google service account; its key's JSON is the sealed secret."""

    client_email: str
    project_id: str


@frozen
class EcrRole:
    """A role in the customer's AWS account that the facade's own identity may assume."""

    role_arn: str
    account: str
    region: str
    external_id: str | None = None
    pull_through_cache: bool = False  # the role may import images from upstream registries


Credential = Anonymous | UsernameAndToken | GoogleServiceAccount | EcrRole
register_union(
    Credential,
    {
        Anonymous: "anonymous",
        UsernameAndToken: "username_and_token",
        GoogleServiceAccount: "google_service_account",
        EcrRole: "ecr_role",
    },
)


@frozen
class SealedSecretReference:
    """Which sealed bytes belong to a document, and which key opens them."""

    version: int  # counts up with every new secret of a connection, from 1
    key_id: str
    suite: str
    sha256: str  # of the sealed bytes, lower-case hexadecimal


@frozen
class ConnectionTerms:
    """The ten terms of a connection: what a connector asks for, and an approver approves."""

    host: RegistryHost
    credential: Credential
    repository_prefix: RepositoryName | None = field(default=None, kw_only=True)
    auth_realms: tuple[str, ...] = field(default=(), kw_only=True)
    repositories: tuple[RepositoryPattern, ...] = field(default=(), kw_only=True)
    fleets: tuple[str, ...] = field(default=(), kw_only=True)
    plain_http: bool = field(default=False, kw_only=True)
    allowed_networks: tuple[Network, ...] = field(default=(), kw_only=True)
    ca_certificate: str | None = field(default=None, kw_only=True)
    # Whether devices may list what refers to a digest: a list that no digest proves.
    referrers: bool = field(default=False, kw_only=True, metadata=since(3))

    @property
    def provider(self) -> Provider:
        """The provider that the credential belongs to."""
        match self.credential:
            case Anonymous() | UsernameAndToken():
                return Provider.STATIC
            case GoogleServiceAccount():
                return Provider.GOOGLE_SERVICE_ACCOUNT
            case EcrRole():
                return Provider.AWS_ECR
            case _ as unreachable:
                assert_never(unreachable)

    @property
    def needs_secret(self) -> bool:
        """Whether the credential is worth nothing without a sealed secret."""
        return isinstance(self.credential, UsernameAndToken | GoogleServiceAccount)

    @property
    def terms(self) -> dict[str, Any]:
        """The ten alone, by their names."""
        return {name: getattr(self, name) for name in attrs.fields_dict(ConnectionTerms)}


@frozen
class ConnectionDocument(ConnectionTerms):
    """What an approver sees. `secret` is absent where there is nothing to seal."""

    connected_by: str
    connected_at: datetime
    secret: SealedSecretReference | None = None

    def to_bytes(self) -> bytes:
        """Return the bytes that are stored, shown, hashed and signed."""
        return to_json(self)

    @classmethod
    def from_bytes(cls, document: bytes) -> "ConnectionDocument":
        """Return the document; raise `canonical_json.InvalidDocumentError`."""
        return from_json(document, cls)


@frozen
class SealContext:
    """What decides to whom the secret is shown."""

    connection_id: UUID
    host: RegistryHost
    credential: Credential
    auth_realms: tuple[str, ...]
    plain_http: bool
    ca_certificate: str | None
    allowed_networks: tuple[Network, ...]
    secret_version: int
    key_id: str

    def to_bytes(self) -> bytes:
        """Return the HPKE `info`."""
        return SEAL_CONTEXT + to_json(self)


def fingerprint(document: bytes) -> str:
    """Return `sha256:<hex>` of a document's stored bytes."""
    return f"sha256:{hashlib.sha256(document).hexdigest()}"


def seal_context(
    connection_id: UUID, document: ConnectionDocument, *, secret_version: int, key_id: str
) -> SealContext:
    """Return what a secret of this document is bound to, for this version and sealing key."""
    return SealContext(
        connection_id=connection_id,
        host=document.host,
        credential=document.credential,
        auth_realms=document.auth_realms,
        plain_http=document.plain_http,
        ca_certificate=document.ca_certificate,
        allowed_networks=document.allowed_networks,
        secret_version=secret_version,
        key_id=key_id,
    )


def access_key(connection_id: UUID, document: ConnectionDocument) -> str:
    """Return the hexadecimal SHA-256 of the document's seal context."""
    secret = document.secret
    context = seal_context(
        connection_id,
        document,
        secret_version=secret.version if secret else 0,
        key_id=secret.key_id if secret else "",
    )
    return hashlib.sha256(context.to_bytes()).hexdigest()
