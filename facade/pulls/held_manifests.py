"""Large manifests that are held in memory while a device reads them, because no store has them.

A stored manifest is sent from the disk, piece by piece. Any other has to stay in memory until its
device has read it, and a device may take its time. Pure.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define, field

from facade.errors import PullError
from shared.oci import MAX_MANIFEST_BYTES

# Four of the longest. Nearly all manifests are a thousand times shorter, and are not counted.
MAX_HELD_BYTES: Final = 4 * MAX_MANIFEST_BYTES


class TooMuchHeldError(PullError):
    """The device reads as many large manifests as it may, and has not taken them yet."""


@define(eq=False)
class HeldManifests:
    """The bytes that are held for each device."""

    _max_bytes: int = MAX_HELD_BYTES  # of one device
    _held: dict[str, int] = field(factory=dict, init=False)  # of devices for which there are any

    @contextmanager
    def hold(self, device: str, count: int) -> Iterator[None]:
        """Count bytes as held for a device while the block runs; raise `TooMuchHeldError`."""
        held = self._held.get(device, 0) + count
        if held > self._max_bytes:
            raise TooMuchHeldError(f"{self._max_bytes} bytes of manifests wait for the device")
        self._held[device] = held
        try:
            yield
        finally:
            self._held[device] -= count
            if not self._held[device]:
                del self._held[device]
