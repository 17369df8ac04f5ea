"""What a connector asks for: the body of `POST /v1/connections` and of a check, parsed once."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from attrs import field, frozen

from control_plane.connection_fields import (
    parse_ca_certificate,
    parse_description,
    parse_fleet,
    parse_network,
    parse_prefix,
    parse_provider,
    parse_realm,
    parse_secret,
    parse_username,
)
from control_plane.field_reader import FieldReader
from shared.canonical_json import Network
from shared.connection import Anonymous, ConnectionDocument, UsernameAndToken
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.repository_pattern import RepositoryPattern
from shared.secret import Secret
from shared.upstream.hosts import registry_host_from_people

MAX_REPOSITORIES: Final = 256
MAX_FLEETS: Final = 256
MAX_NETWORKS: Final = 64
MAX_REALMS: Final = 16

# What the providers of later versions are asked for; known, so that one clear error names the
# provider and not a dozen unknown fields.
_LATER_FIELDS: Final = ("service_account_key", "role_arn", "external_id")


@frozen
class ConnectionRequest:
    """A connection as it is wished for."""

    host: RegistryHost
    credential: Anonymous | UsernameAndToken
    repository_prefix: RepositoryName | None = None
    repositories: tuple[RepositoryPattern, ...] = ()
    fleets: tuple[str, ...] = ()
    plain_http: bool = False
    allowed_networks: tuple[Network, ...] = ()
    ca_certificate: str | None = None
    auth_realms: tuple[str, ...] = ()
    description: str = ""
    secret: Secret | None = field(default=None, repr=False)

    def document(self, *, connected_by: str, connected_at: datetime) -> ConnectionDocument:
        """Return the document, its secret not yet sealed."""
        return ConnectionDocument(
            host=self.host,
            credential=self.credential,
            connected_by=connected_by,
            connected_at=connected_at,
            repository_prefix=self.repository_prefix,
            auth_realms=self.auth_realms,
            repositories=self.repositories,
            fleets=self.fleets,
            plain_http=self.plain_http,
            allowed_networks=self.allowed_networks,
            ca_certificate=self.ca_certificate,
        )


def parse_connection_request(body: Mapping[str, object]) -> ConnectionRequest:
    """Return the request, or raise `InvalidRequestError` with every wrong field."""
    fields = FieldReader(body)
    host = fields.text("host", registry_host_from_people, required=True)
    provider = fields.text("provider", parse_provider, required=True)
    username, secret = _credential(fields)
    if provider is None:
        for name in _LATER_FIELDS:
            fields.has(name)
    prefix = None
    if body.get("repository_prefix") != "":
        prefix = fields.text("repository_prefix", parse_prefix)
    fields.has("repository_prefix")
    repositories = fields.texts("repositories", RepositoryPattern.parse, at_most=MAX_REPOSITORIES)
    fleets = fields.texts("fleets", parse_fleet, at_most=MAX_FLEETS)
    plain_http = fields.flag("plain_http")
    networks = fields.texts("allowed_networks", parse_network, at_most=MAX_NETWORKS)
    ca_certificate = fields.text("ca_certificate", parse_ca_certificate)
    if plain_http and ca_certificate:
        fields.wrong("/ca_certificate", "plain HTTP has no certificate to check")
    realms = fields.texts("auth_realms", parse_realm, at_most=MAX_REALMS)
    description = fields.text("description", parse_description) or ""
    fields.finish()
    if host is None:
        raise AssertionError("a missing host is an error")
    return ConnectionRequest(
        host=host,
        credential=UsernameAndToken(username) if username else Anonymous(),
        repository_prefix=prefix,
        repositories=repositories,
        fleets=fleets,
        plain_http=plain_http,
        allowed_networks=networks,
        ca_certificate=ca_certificate,
        auth_realms=realms,
        description=description,
        secret=secret,
    )


def _credential(fields: FieldReader) -> tuple[str | None, Secret | None]:
    """Return user name and token: both, or neither for an anonymous connection."""
    username = fields.text("username", parse_username)
    secret = fields.text("token", parse_secret)
    if fields.has("username") and not fields.has("token"):
        fields.wrong("/token", "a user name needs its token; give both, or neither (anonymous)")
    if fields.has("token") and not fields.has("username"):
        fields.wrong("/username", "a token needs its user name; give both, or neither (anonymous)")
    return username, secret
