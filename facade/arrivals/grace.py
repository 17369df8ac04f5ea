"""How far a download goes on when nobody reads it any more. Pure.

A fleet asks for the same within minutes, and a device that was killed comes back. So a download
goes on for a while if two devices asked for it, or if one had waited for much of it. It goes no
further than somebody had asked for, and for one device alone no further than as much again as had
come: else whoever asks for one byte, or leaves early, would have gigabytes fetched.
"""

from typing import Final

from attrs import frozen

GRACE_SECONDS: Final = 60.0  # a fleet rolls out within minutes: the next device comes soon
GRACE_DEVICES: Final = 2
GRACE_BYTES: Final = 64 * 1024 * 1024  # had come for one device alone
GRACE_FACTOR: Final = 2  # of what had come for one device alone


@frozen
class Grace:
    """When, and how far."""

    seconds: float = GRACE_SECONDS
    least_bytes: int = GRACE_BYTES

    def end(self, devices: int, reached: int, wanted: float) -> float:
        """Return up to which byte a download goes on; one that is there already: not at all.

        `devices`: how many different ones asked for it. `wanted`: the byte up to which they did.
        """
        if devices >= GRACE_DEVICES:
            return wanted
        if reached >= self.least_bytes:
            return min(wanted, GRACE_FACTOR * reached)
        return 0
