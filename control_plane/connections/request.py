"""What a connector asks for: the body of `POST /v1/connections` and of a check, parsed once."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from attrs import field, frozen

from control_plane.connections.credential_fields import (
    SECRET_FIELDS,
    credential_body,
    read_credential,
)
from control_plane.connections.fields import (
    parse_ca_certificate,
    parse_description,
    parse_fleet,
    parse_network,
    parse_prefix,
    parse_provider,
    parse_realm,
    parse_secret_label,
    parse_set_name,
)
from control_plane.connections.revision import RevisionLabels
from control_plane.reading.field_reader import FieldReader
from control_plane.reading.times import parse_time
from shared.connection import ConnectionDocument, ConnectionTerms, Credential, Provider
from shared.outside_bytes import Party, reads_bytes_of
from shared.repository_pattern import RepositoryPattern
from shared.secret import Secret
from shared.upstream.hosts import registry_host_from_people

MAX_REPOSITORIES: Final = 256
MAX_FLEETS: Final = 256
MAX_NETWORKS: Final = 64
MAX_REALMS: Final = 16


@frozen
class ConnectionRequest(ConnectionTerms):
    """The connection that is asked for. Without `secret` there is none, or it stays as it is.

    A description or a set's name of None stays as it is; an empty one is none. What the operator
    knows of the credential's end stays too, unless something is said of it.
    """

    description: str | None = None
    secret: Secret | None = field(default=None, repr=False)
    secret_label: str | None = None
    set_name: str | None = None
    credential_expires_at: datetime | None = None
    says_credential_end: bool = False

    def document(self, *, connected_by: str, connected_at: datetime) -> ConnectionDocument:
        """Return the document, without a sealed secret yet."""
        return ConnectionDocument(
            **self.terms, connected_by=connected_by, connected_at=connected_at
        )

    def labels(
        self, present: RevisionLabels | None = None, *, keeps_secret: bool = False
    ) -> RevisionLabels:
        """Return the labels of what is asked for; those of the present revision may stay."""
        present = present or RevisionLabels()
        kept = present if keeps_secret and self.secret is None else RevisionLabels()
        ends = self.credential_expires_at
        return RevisionLabels(
            set_name=present.set_name if self.set_name is None else self.set_name or None,
            secret_label=kept.secret_label if self.secret is None else self.secret_label,
            credential_expires_at=ends if self.says_credential_end else kept.credential_expires_at,
        )


@reads_bytes_of(Party.OPERATOR)
def parse_connection_request(body: Mapping[str, object]) -> ConnectionRequest:
    """Return the request, or raise `InvalidRequestError` with every wrong field."""
    return read_connection_request(FieldReader(body))


def read_connection_request(
    fields: FieldReader,
    kept: Credential | None = None,
    look_at: Callable[[ConnectionRequest], None] = lambda _: None,
) -> ConnectionRequest:
    """Return the request. An edit may leave out the secret; `kept` is then its credential.

    `look_at` may note what else is wrong in `fields`; fields that could not be read have their
    defaults by then.
    """
    host = fields.text("host", registry_host_from_people, required=True)
    provider = fields.text("provider", parse_provider, required=True)
    given = read_credential(fields, provider, host, kept)
    prefix = fields.text("repository_prefix", parse_prefix)
    repositories = fields.texts("repositories", RepositoryPattern.parse, at_most=MAX_REPOSITORIES)
    fleets = fields.texts("fleets", parse_fleet, at_most=MAX_FLEETS)
    plain_http = _plain_http(fields, provider)
    networks = fields.texts("allowed_networks", parse_network, at_most=MAX_NETWORKS)
    ca_certificate = fields.text("ca_certificate", parse_ca_certificate)
    if plain_http and ca_certificate:
        fields.wrong("/ca_certificate", "plain HTTP has no certificate to check")
    realms = fields.texts("auth_realms", parse_realm, at_most=MAX_REALMS)
    referrers = fields.flag("referrers")
    description = fields.text("description", parse_description)
    if fields.given("description") and description is None:
        description = ""
    set_name = fields.text("set_name", parse_set_name)
    if fields.given("set_name") and set_name is None:
        set_name = ""
    secret_label = _secret_label(fields, provider)
    credential_expires_at = fields.text("credential_expires_at", parse_time)
    if host is None or given is None:
        raise fields.refusal()
    request = ConnectionRequest(
        host=host,
        credential=given.credential,
        repository_prefix=prefix,
        repositories=repositories,
        fleets=fleets,
        plain_http=plain_http,
        allowed_networks=networks,
        ca_certificate=ca_certificate,
        auth_realms=realms,
        referrers=referrers,
        description=description,
        secret=given.secret,
        secret_label=secret_label,
        set_name=set_name,
        credential_expires_at=credential_expires_at,
        says_credential_end=fields.given("credential_expires_at"),
    )
    if request.credential_expires_at and not request.needs_secret:
        fields.wrong("/credential_expires_at", "there is no secret here that ends")
    look_at(request)
    fields.finish()
    return request


def request_body(terms: ConnectionTerms) -> dict[str, object]:
    """Return the body that asks for these terms, without a secret."""
    prefix = terms.repository_prefix
    return {
        "host": str(terms.host),
        "repository_prefix": str(prefix) if prefix else "",
        "provider": terms.provider.value,
        **scope_body(terms),
        **credential_body(terms.credential),
    }


def scope_body(terms: ConnectionTerms) -> dict[str, object]:
    """Return the terms that requests and views spell alike."""
    return {
        "repositories": [str(pattern) for pattern in terms.repositories],
        "fleets": list(terms.fleets),
        "auth_realms": list(terms.auth_realms),
        "plain_http": terms.plain_http,
        "allowed_networks": [str(network) for network in terms.allowed_networks],
        "ca_certificate": terms.ca_certificate,
        "referrers": terms.referrers,
    }


def _secret_label(fields: FieldReader, provider: Provider | None) -> str | None:
    """Return what the new secret is called."""
    label = fields.text("secret_label", parse_secret_label)
    secret_fields = SECRET_FIELDS.values() if provider is None else [SECRET_FIELDS.get(provider)]
    if label and not any(name and fields.has(name) for name in secret_fields):
        fields.wrong("/secret_label", "this names a new secret; give that in the same request")
    return label


def _plain_http(fields: FieldReader, provider: Provider | None) -> bool:
    plain_http = fields.flag("plain_http")
    if plain_http and provider not in (None, Provider.STATIC):
        fields.wrong("/plain_http", "the registries of this provider have TLS")
    return plain_http
