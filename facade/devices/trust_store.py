"""What OpenSSL verifies devices' certificates with: the CAs, which of them are anchors, CRLs."""

import base64
import os
from collections.abc import Iterable
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from facade.devices.device_authorities import CertificateBundle

# What follows a certificate in a "TRUSTED CERTIFICATE" (X509_CERT_AUX, x_x509a.c): a list of what
# it is trusted for, here anyExtendedKeyUsage. This store verifies only devices, also outside
# handshakes (`ChainVerifier`), where OpenSSL is not told that they are clients.
_TRUSTED: Final = bytes.fromhex("3008 3006 0604 551d2500")


def believe(
    context: SSL.Context,
    device_cas: Iterable[x509.Certificate],
    crls: Iterable[x509.CertificateRevocationList] | None,
) -> None:
    """Make the context verify devices with these CAs, and, if there are CRLs, their own CA's."""
    store = cast(crypto.X509Store, context.get_cert_store())  # there is one from the beginning
    bundle = CertificateBundle.of(device_cas)
    lone = bundle.lone_anchors
    # First, because OpenSSL takes the first valid one of two certificates of a CA.
    if lone:
        _add_anchors(store, lone)
    for each in bundle.certificates:
        if each not in lone:
            store.add_cert(crypto.X509.from_cryptography(each))
    if crls is not None:
        for crl in crls:
            store.add_crl(crl)
        # Only the leaf's issuer: a CA is taken out of use by taking it out of the bundle.
        store.set_flags(crypto.X509StoreFlags.CRL_CHECK)


def _add_anchors(store: crypto.X509Store, certificates: Iterable[x509.Certificate]) -> None:
    """Let chains end at these certificates although they are not self-signed.

    The flag X509_V_FLAG_PARTIAL_CHAIN would end every chain at the first certificate of the bundle,
    and ignore a root that has expired or limits the path. OpenSSL's own setting is for a single
    certificate, but is only read from files. With it OpenSSL ignores the anchor's own times, which
    `DeviceTrust` checks.
    """
    file = os.memfd_create("device-cas")
    try:
        with open(file, "wb", closefd=False) as writer:
            writer.writelines(_trusted_pem(each) for each in certificates)
        store.load_locations(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


def _trusted_pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate with OpenSSL's setting that it is trusted."""
    der = certificate.public_bytes(Encoding.DER) + _TRUSTED
    body = base64.encodebytes(der)
    return b"-----BEGIN TRUSTED CERTIFICATE-----\n%b-----END TRUSTED CERTIFICATE-----\n" % body
