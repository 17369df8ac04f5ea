"""Who a device with this certificate would be, and what it might pull: asked as at a handshake.

A handshake proves besides that the device holds the certificate's key. Nothing else is different:
the same chain is built by the same OpenSSL, with the same CAs, CRLs, identities and approvals.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import frozen
from cryptography import x509
from OpenSSL import SSL, crypto

from facade.approvals.snapshot import Snapshot
from facade.devices.chain_verifier import ChainVerifier, may_issue_clients
from facade.devices.device_tls import BelievedCertificates
from facade.devices.presented_device import PresentedDevice, name_of, presented
from facade.devices.tls import NO_CLIENT, RefusedConnectionError
from facade.devices.trust_store import believe
from facade.errors import CommandError
from facade.values.device_identity import DeviceIdentity, Identification
from shared.approved_connection import ApprovedConnection
from shared.log_fields import bounded_text
from shared.malformed_x509 import MALFORMED
from shared.pem import InvalidPemError, load_certificates

MAX_LISTED: Final = 1000  # connections; a screen holds fewer


class UnusableCertificateError(CommandError):
    """The file holds no certificate that can be read; the message says why."""


class NotLetInError(CommandError):
    """No handshake with this certificate is accepted; the message says why."""


@frozen
class Identified:
    """The answer. `identity` None: nobody, and `problem` says why."""

    certificate: x509.Certificate
    identity: DeviceIdentity | None
    problem: str | None
    connections: tuple[ApprovedConnection, ...] = ()

    @property
    def is_let_in(self) -> bool:
        """Whether it is a device that is served."""
        return self.problem is None

    def view(self) -> dict[str, Any]:
        """Return what `identify --json` prints."""
        device, listed = self.identity, self.connections[:MAX_LISTED]
        return {
            "outcome": "let_in" if self.is_let_in else "refused",
            "problem": self.problem,
            "device": device and device.id,
            "fleet": device and device.fleet,
            "also_revoked_as": list(device.other_names) if device else [],
            "serial": f"{self.certificate.serial_number:x}",
            "subject": bounded_text(name_of(self.certificate, "subject")),
            "issuer": bounded_text(name_of(self.certificate, "issuer")),
            "not_after": self.certificate.not_valid_after_utc.isoformat(),
            "connections": [_connection_view(each) for each in listed],
            "connections_left_out": len(self.connections) - len(listed),
        }


def read_chain(content: bytes) -> list[x509.Certificate]:
    """Return a certificate and the CAs behind it; raise `UnusableCertificateError`."""
    try:
        return load_certificates(content)
    except InvalidPemError as error:
        raise UnusableCertificateError(str(error)) from None


def let_in(
    chain: Sequence[x509.Certificate], believed: BelievedCertificates, rule: Identification
) -> PresentedDevice:
    """Return who presents this chain; raise `NotLetInError` if a handshake would fail."""
    leaf, *brought = chain
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    believe(context, believed.device_cas, believed.crls)
    try:
        verified = ChainVerifier(context, rule).verified(leaf, brought)
        if not rule.takes_usage(leaf, verified[1:]) or not all(
            map(may_issue_clients, verified[1:])
        ):
            raise NotLetInError(NO_CLIENT.words)
        device = presented(leaf, verified, rule, brought)
    except crypto.X509StoreContextError as error:
        raise NotLetInError(f"its chain is not accepted: {bounded_text(str(error))}") from None
    except RefusedConnectionError as error:
        raise NotLetInError(str(error)) from None
    except MALFORMED:
        raise NotLetInError("a certificate of its chain does not parse") from None
    if problem := believed.trust.refusal(device, datetime.now(UTC)):
        raise NotLetInError(problem)
    return device


def identified(
    certificate: x509.Certificate, device: PresentedDevice, snapshot: Snapshot
) -> Identified:
    """Return who it is, and the approved connections that serve its fleet."""
    if device.identity is None:
        return Identified(certificate, None, device.problem)
    if snapshot.revoked.includes(device.identity, device.issuer):
        return Identified(certificate, device.identity, "the device is revoked")
    now, fleet = datetime.now(UTC), device.identity.fleet
    return Identified(
        certificate,
        device.identity,
        None,
        tuple(
            sorted(
                (each for each in snapshot.connections.all() if _serves(each, fleet, now)),
                key=lambda each: (str(each.document.host), str(each.document.repository_prefix)),
            )
        ),
    )


def connection_words(connection: ApprovedConnection) -> str:
    """Return a line about what may be pulled through a connection."""
    document = connection.document
    place = "/".join(str(part) for part in (document.host, document.repository_prefix) if part)
    patterns = ", ".join(str(each) for each in document.repositories)
    return f"{place}: {patterns or 'every repository'}"


def _serves(connection: ApprovedConnection, fleet: str | None, now: datetime) -> bool:
    fleets, ends = connection.document.fleets, connection.expires_at
    return (not fleets or fleet in fleets) and (ends is None or now < ends)


def _connection_view(connection: ApprovedConnection) -> dict[str, Any]:
    document, ends = connection.document, connection.expires_at
    prefix = document.repository_prefix
    return {
        "host": str(document.host),
        "repository_prefix": str(prefix) if prefix else "",
        "repositories": [str(each) for each in document.repositories],
        "expires_at": ends and ends.isoformat(),
    }
