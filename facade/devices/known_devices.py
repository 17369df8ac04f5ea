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

MAX_KNOWN_DEVICES: Final = 8192  # some 2 KiB each, also of those that are not connected


@define(eq=False)
class KnownDevices:
    """The devices of one process, by all that they are read from. For one event loop."""

    _identification: Identification
    _read_by: Identification | None = field(default=None, init=False)
    _known: BoundedMap[bytes, PresentedDevice] = field(
        factory=lambda: BoundedMap(MAX_KNOWN_DEVICES), init=False
    )

    def identify(self, tls: SSL.Connection) -> PresentedDevice:
        """Return who finished the handshake, or raise `RefusedConnectionError`."""
        self._forget_what_others_read()
        key = _digest_of(*chain_bytes(tls))
        known = self._known.get(key)
        if known is None:
            known = identify(tls, self._identification)
            self._known.set(key, known)
        return known

    def _forget_what_others_read(self) -> None:
        """Forget everybody once certificates are read in another way, by a changed file."""
        asked = self._identification
        now = asked.current if isinstance(asked, CurrentIdentification) else asked
        if now is not self._read_by:
            self._known.clear()
            self._read_by = now


def _digest_of(verified: Sequence[bytes], brought: Sequence[bytes]) -> bytes:
    """Return what no two devices have in common, whatever they present."""
    lengths = (len(verified), *map(len, verified), *map(len, brought))
    form = b",".join(b"%d" % length for length in lengths)
    return hashlib.sha256(b"".join((form, b":", *verified, *brought))).digest()
