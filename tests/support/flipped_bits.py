"""Bits that bad memory or a bad switch flips between PostgreSQL and its client."""

from typing import Final

from attrs import define, field, frozen

from tests.support.tcp_proxy import Filter

_HEADER_BYTES: Final = 5  # a message's kind and its length (PostgreSQL's protocol 3.0)


@frozen
class Flip:
    """Which bit of which messages."""

    kind: bytes  # of the message, one letter
    position: int  # behind the message's length
    bit: int


@define(eq=False)
class FlippedBits:
    """Makes the filters of a `TcpProxy`; each of its links has the next flip, in their order."""

    flips: tuple[Flip, ...]
    is_on: bool = False
    _links: int = field(default=0, init=False)

    def make_filter(self) -> Filter:
        """Return the filter of one link. Until it is on, it passes everything unchanged."""
        flip = self.flips[self._links % len(self.flips)]
        self._links += 1
        pending = bytearray()
        is_first = True

        def pass_on(chunk: bytes) -> bytes:
            nonlocal is_first
            pending.extend(chunk)
            passed = bytearray()
            if is_first:  # "N", alone: no TLS here (SSLRequest)
                is_first = False
                if pending == b"N":
                    passed += pending
                    pending.clear()
            while len(pending) > (end := int.from_bytes(pending[1:_HEADER_BYTES])) >= 4:
                message = pending[: end + 1]
                del pending[: end + 1]
                at = _HEADER_BYTES + flip.position
                if self.is_on and message[:1] == flip.kind and at < len(message):
                    message[at] ^= flip.bit
                passed += message
            return bytes(passed)

        return pass_on
