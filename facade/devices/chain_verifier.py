"""Whether a connected device would be let in again: the handshake's question, asked once more.

A CA's certificate can be replaced by one of the same name and key that allows less: another SPIFFE
trust domain, name constraints, no CAs below it. `DeviceTrust` does not see that of an open
connection, so the chain that the device presented is verified again.
"""

from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto

from facade.devices.presented_device import PresentedDevice
from facade.values.device_identity import Identification, UnidentifiedDeviceError
from shared.malformed_x509 import MALFORMED

_REFUSED: Final = (crypto.X509StoreContextError, crypto.Error, UnidentifiedDeviceError, *MALFORMED)


@frozen
class ChainVerifier:
    """Verifies against the CAs and CRLs of a context for handshakes, and reads who it is."""

    _context: SSL.Context
    _rule: Identification

    def accepts(self, device: PresentedDevice) -> bool:
        """Tell whether the device would be let in, and be who it is. For a thread: some 0.2 ms."""
        try:
            leaf, *brought = (x509.load_der_x509_certificate(each) for each in device.chain)
            authorities = self.verified(leaf, brought)[1:]
            if self._rule.identify(leaf, authorities) != device.identity:
                return False
        except _REFUSED:
            return False
        return all(map(may_issue_clients, authorities))

    def verified(
        self, leaf: x509.Certificate, brought: list[x509.Certificate]
    ) -> list[x509.Certificate]:
        """Return the chain up to an anchor; raise `X509StoreContextError` if there is none."""
        store = self._context.get_cert_store()
        if store is None:
            raise AssertionError("there is one from the beginning")
        asked = crypto.X509StoreContext(
            store,
            crypto.X509.from_cryptography(leaf),
            [crypto.X509.from_cryptography(each) for each in brought],
        )
        return [each.to_cryptography() for each in asked.get_verified_chain()]


def may_issue_clients(authority: x509.Certificate) -> bool:
    """Tell whether the CA's extended key usage, if there is one, allows clients.

    In a handshake OpenSSL checks this itself, because it knows the purpose there.
    """
    try:
        usage = authority.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except MALFORMED:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage
