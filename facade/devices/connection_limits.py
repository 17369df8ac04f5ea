"""How many connections devices may have open, and for how long; how many handshakes they begin."""

from typing import Final

from attrs import frozen

MAX_AGE_SECONDS: Final = 3600.0  # then devices connect again, and spread over facades again
# containerd and podman pull three to six layers at once; several of them may run on one device.
DEFAULT_CONNECTIONS_PER_DEVICE: Final = 32
# A fair share of a machine's memory: at 250 KiB for each that stopped reading, 2.5 GiB.
MOST_CONNECTIONS_BY_DEFAULT: Final = 10_000
DESCRIPTORS_PER_CONNECTION: Final = 4  # socket, blob file, upstream, and one to spare
# A stalled socket takes some 20 KiB until its time is over. A good device is done within a second.
# More at once are no faster: 512 take 0.6 s of a core, for which everything else waits.
MOST_HANDSHAKES: Final = 512
MOST_FAREWELLS: Final = 256  # some KiB of the kernel's each; beyond, the oldest is closed at once
# What connections have to spare is a quarter of all descriptors; these leave half of it to the rest
# (listeners, the database, the index). Stalled handshakes must not use up what devices need.
DESCRIPTORS_PER_HANDSHAKE: Final = 8
DESCRIPTORS_PER_FAREWELL: Final = 16


@frozen
class ConnectionLimits:
    """How many connections may be open."""

    in_all: int = MOST_CONNECTIONS_BY_DEFAULT
    per_device: int = DEFAULT_CONNECTIONS_PER_DEVICE
    handshakes: int = MOST_HANDSHAKES
    farewells: int = MOST_FAREWELLS

    @classmethod
    def of_descriptors(cls, descriptors: int, in_all: int, per_device: int) -> "ConnectionLimits":
        """Return the limits; 0 in all: as many as the process's descriptors allow."""
        possible = max(1, descriptors // DESCRIPTORS_PER_CONNECTION)
        return cls(
            in_all or min(MOST_CONNECTIONS_BY_DEFAULT, possible),
            per_device,
            handshakes=max(1, min(MOST_HANDSHAKES, descriptors // DESCRIPTORS_PER_HANDSHAKE)),
            farewells=max(1, min(MOST_FAREWELLS, descriptors // DESCRIPTORS_PER_FAREWELL)),
        )
