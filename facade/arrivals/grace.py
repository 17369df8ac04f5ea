"""How far a download goes on when nobody reads it any more. Pure.

A fleet asks for the same within minutes, and a device that was killed comes back. So a download
goes on for a while if two devices asked for it, or if one had waited for much of it. It goes no
further than somebody had asked for, and for a single device no further than twice what had come.
Otherwise a device that asks for one byte, or leaves early, would make the facade fetch gigabytes.
"""

from typing import Final

from attrs import frozen

GRACE_SECONDS: Final = 60.0  # a fleet rolls out within minutes, so the next device comes soon
GRACE_DEVICES: Final = 2
GRACE_BYTES: Final = 64 * 1024 * 1024  # had come for one device alone
GRACE_FACTOR: Final = 2  # of what had come for one device alone


@frozen
class Grace:
    """For how long a download goes on, and how far."""

    seconds: float = GRACE_SECONDS
    least_bytes: int = GRACE_BYTES

    def end(self, devices: int, reached: int, wanted: float) -> float:
        """Return the byte up to which a download goes on. It ends at once if that has come already.

        `devices`: how many different ones asked for it. `wanted`: the byte up to which they did.
        """
        if devices >= GRACE_DEVICES:
            return wanted
        if reached >= self.least_bytes:
            return min(wanted, GRACE_FACTOR * reached)
        return 0
