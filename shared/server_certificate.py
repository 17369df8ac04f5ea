"""Whether a certificate serves as a server's: what clients that verify it look for. Pure."""

from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from shared.malformed_x509 import MALFORMED

NOT_FOR_SERVERS: Final = "the certificate is not for servers (serverAuth)"
NO_NAMES: Final = (
    "the certificate names no host and no address (subjectAltName), and clients that verify it"
    " refuse it, whatever its common name is"
)

_FOR_SERVERS: Final = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


def is_for_servers(certificate: x509.Certificate) -> bool:
    """Tell whether its extended key usage allows servers, or is absent (RFC 5280 4.2.1.12)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except MALFORMED:
        return False
    return not _FOR_SERVERS.isdisjoint(usage)


def names_a_host(certificate: x509.Certificate) -> bool:
    """Tell whether clients find a host or an address in it (RFC 9525 section 6.3)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *MALFORMED):
        return False
    return any(isinstance(name, x509.DNSName | x509.IPAddress) for name in names)
