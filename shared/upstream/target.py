"""Where a connection leads, and which hosts may be spoken to: all that a client needs."""

from typing import Self

from attrs import frozen
from yarl import URL

from shared.canonical_json import Network
from shared.connection import ConnectionTerms
from shared.registry_host import RegistryHost
from shared.upstream.egress import EgressRule
from shared.upstream.hosts import endpoint
from shared.upstream.realm import Realm, require_realm


@frozen
class UpstreamTarget:
    """A registry, and the network flags that an approver saw beside it."""

    host: RegistryHost
    plain_http: bool = False
    ca_certificate: str | None = None  # PEM of CAs or of the server's own; beside the system's
    allowed_networks: tuple[Network, ...] = ()
    auth_realms: tuple[str, ...] = ()
    allow_loopback: bool = False

    @classmethod
    def of_terms(cls, terms: ConnectionTerms, *, allow_loopback: bool) -> Self:
        """Return the target of a connection."""
        return cls(
            host=terms.host,
            plain_http=terms.plain_http,
            ca_certificate=terms.ca_certificate,
            allowed_networks=terms.allowed_networks,
            auth_realms=terms.auth_realms,
            allow_loopback=allow_loopback,
        )

    @property
    def endpoint(self) -> URL:
        """The registry's origin, such as `https://registry-1.docker.io`."""
        return endpoint(self.host, plain_http=self.plain_http)

    @property
    def egress_rule(self) -> EgressRule:
        """Which addresses and redirects may be spoken to."""
        return EgressRule(
            allowed_networks=self.allowed_networks,
            allow_loopback=self.allow_loopback,
            plain_http=self.plain_http,
        )

    def require_realm(self, realm: str) -> Realm:
        """Return the realm of a challenge; raise `RealmNotAllowedError` if it is not allowed."""
        return require_realm(
            realm, host=self.host, plain_http=self.plain_http, auth_realms=self.auth_realms
        )
