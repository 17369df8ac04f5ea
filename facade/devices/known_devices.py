"""Who devices are that came lately, so that a certificate that comes again is not read again.

Devices come back with the certificate that they had: for each pull, and a whole site after a power
cut. What a chain says of its device depends on nothing but its bytes and how certificates are read
now. What changes is asked each time: whether OpenSSL verifies the chain, in the handshake, and
whether its device is accepted.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from attrs import define, field
from OpenSSL import SSL

from facade.devices.identification import CurrentIdentification
from facade.devices.presented_device import PresentedDevice, identify
from facade.devices.tls import chain_bytes
from facade.values.device_identity import Identification
from shared.bounded_map import BoundedMap

# Also of those that are not connected. A device takes some 2.5 KiB, and what it sends with its
# certificate, which may be any 100 KiB.
MAX_KNOWN_BYTES: Final = 32 * 1024 * 1024
MAX_KNOWN_BYTES_OF_ONE_DEVICE: Final = 128 * 1024
_ENTRY_BYTES: Final = 2048  # beside its chain


@define(eq=False)
class KnownDevices:
    """The devices of one process, by all that they are read from. For one event loop."""

    _identification: Identification
    _read_by: Identification | None = field(default=None, init=False)
    _known: BoundedMap[bytes, PresentedDevice] = field(
        factory=lambda: BoundedMap(
            MAX_KNOWN_BYTES, max_share=MAX_KNOWN_BYTES_OF_ONE_DEVICE, size_of=_size_of
        ),
        init=False,
    )

    def identify(self, tls: SSL.Connection) -> PresentedDevice:
        """Return who finished the handshake, or raise `RefusedConnectionError`."""
        self._forget_what_others_read()
        verified, brought = chain_bytes(tls)
        key = _digest_of(verified, brought)
        known = self._known.get(key)
        if known is None:
            known = identify(verified, brought, self._identification)
            self._known.set(key, known, owner=known.counts_as)
        return known

    def _forget_what_others_read(self) -> None:
        """Forget everybody once certificates are read in another way, by a changed file."""
        asked = self._identification
        now = asked.current if isinstance(asked, CurrentIdentification) else asked
        if now is not self._read_by:
            self._known.clear()
            self._read_by = now


def _size_of(_key: bytes, device: PresentedDevice) -> int:
    return _ENTRY_BYTES + sum(map(len, device.chain))


def _digest_of(verified: Sequence[bytes], brought: Sequence[bytes]) -> bytes:
    """Return what no two devices have in common, whatever they present."""
    lengths = (len(verified), *map(len, verified), *map(len, brought))
    form = b",".join(b"%d" % length for length in lengths)
    return hashlib.sha256(b"".join((form, b":", *verified, *brought))).digest()
