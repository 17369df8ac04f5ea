"""The facade's own certificate: whether devices that verify it accept it now. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from attrs import field, frozen
from cryptography import x509

from facade.metrics.problems import Finding, Stops
from shared.pem import load_certificates
from shared.server_certificate import NO_NAMES, NOT_FOR_SERVERS, is_for_servers, names_a_host

# Certificates that a machine renews are renewed earlier, at a third of 90 days.
ENDS_SOON: Final = timedelta(days=7)
_RENEW: Final = "put a renewed one there, and its key into FACADE_TLS_KEY_FILE"


@frozen
class ServerCertificate:
    """The certificate of FACADE_TLS_CERT_FILE, and what is sent with it."""

    _leaf: x509.Certificate
    _others: tuple[x509.Certificate, ...] = field(repr=False)

    @classmethod
    def parse(cls, pem: bytes) -> "ServerCertificate":
        """Return what a PEM file holds that a TLS context was made of."""
        leaf, *others = load_certificates(pem)
        return cls(leaf, tuple(others))

    @property
    def ends(self) -> datetime:
        """When it expires."""
        return self._leaf.not_valid_after_utc

    def findings(self, now: datetime) -> Iterator[Finding]:
        """Yield why devices refuse it, or soon will."""
        if now >= self.ends:
            words = f"the certificate expired at {self.ends}, and devices refuse it: {_RENEW}"
            yield Finding(Stops.ALL, f"FACADE_TLS_CERT_FILE: {words}", "expired")
        elif now < self._leaf.not_valid_before_utc:
            words = f"the certificate is valid from {self._leaf.not_valid_before_utc} on alone"
            reason = f"{words}, and devices refuse it: is this machine's clock right?"
            yield Finding(Stops.ALL, f"FACADE_TLS_CERT_FILE: {reason}", "not valid yet")
        elif now >= self.ends - ENDS_SOON:
            words = f"the certificate expires at {self.ends}: {_RENEW}"
            yield Finding(Stops.NOTHING, f"FACADE_TLS_CERT_FILE: {words}", "expires soon")
        if not is_for_servers(self._leaf):
            words = f"{NOT_FOR_SERVERS}, and devices refuse it"
            yield Finding(Stops.ALL, f"FACADE_TLS_CERT_FILE: {words}", "not for servers")
        elif not names_a_host(self._leaf):
            yield Finding(Stops.NOTHING, f"FACADE_TLS_CERT_FILE: {NO_NAMES}", "no names")
        if any(
            not each.not_valid_before_utc <= now < each.not_valid_after_utc for each in self._others
        ):
            words = "a CA's certificate behind the first one has expired, or is not valid yet"
            reason = f"{words}: devices that have no other way to a root refuse it"
            yield Finding(Stops.SOME, f"FACADE_TLS_CERT_FILE: {reason}", "chain")
