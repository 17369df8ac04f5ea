"""What is measured, in which unit, and the bar that it is held against."""

from enum import Enum

from attrs import frozen

FACADE, NGINX, DISTRIBUTION = "facade", "nginx", "distribution"
RIVALS = (NGINX, DISTRIBUTION)


class Side(Enum):
    """On which side of its limit a figure is good."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


@frozen
class Bar:
    """A limit for the facade: of its ratio to a rival, or without one of the figure itself."""

    side: Side
    limit: float
    rival: str | None = None

    def is_met_by(self, value: float) -> bool:
        """Tell whether a value is on the good side. As it is printed: 1.004 is 1.00."""
        if self.side is Side.AT_MOST:
            return round(value, 2) <= self.limit
        return round(value, 2) >= self.limit


@frozen
class Figure:
    """One line of the table."""

    key: str  # `measure.figure`
    title: str
    unit: str
    bars: tuple[Bar, ...] = ()
    is_compared: bool = True  # whether a ratio to a rival says anything


def at_most(limit: float, rival: str | None = None) -> Bar:
    """Return the bar of what is better if it is less."""
    return Bar(Side.AT_MOST, limit, rival)


def at_least(limit: float, rival: str | None = None) -> Bar:
    """Return the bar of what is better if it is more."""
    return Bar(Side.AT_LEAST, limit, rival)


FIGURES = (
    Figure(
        "warm.cpu",
        "warm blob: server CPU",
        "s/GiB",
        (at_most(1.0, NGINX), at_most(0.6, DISTRIBUTION)),
    ),
    Figure("warm.rate", "warm blob: throughput", "GiB/s"),
    Figure("warm.busy", "warm blob: server busy", "cores", is_compared=False),
    Figure("warm.generator", "warm blob: generators' CPU", "s/GiB", is_compared=False),
    Figure("herd.upstream", "herd: upstream bytes / blob", "", (at_most(1.0),)),
    Figure(
        "herd.time",
        "herd: time to the last device",
        "s",
        (at_most(1.1, NGINX), at_most(0.5, DISTRIBUTION)),
    ),
    Figure("herd.first", "herd: time to the first device", "s"),
    Figure("herd.cpu", "herd: server CPU", "s"),
    Figure("herd.busy", "herd: server busy", "cores", is_compared=False),
    Figure("herd.generator", "herd: generators' CPU", "s", is_compared=False),
    Figure(
        "manifests.rate",
        "manifests: requests",
        "1/s",
        (at_least(0.25, NGINX), at_least(8.0, DISTRIBUTION)),
    ),
    Figure("manifests.cpu", "manifests: server CPU", "ms"),
    Figure("manifests.busy", "manifests: server busy", "cores", is_compared=False),
    Figure("manifests.generator", "manifests: generators' CPU", "ms", is_compared=False),
    Figure("sessions.rate", "sessions", "1/s", (at_least(1.5, DISTRIBUTION),)),
    Figure("sessions.cpu", "sessions: server CPU", "ms"),
    Figure("sessions.busy", "sessions: server busy", "cores", is_compared=False),
    Figure("sessions.generator", "sessions: generators' CPU", "ms", is_compared=False),
    Figure("first_byte.added", "cold first byte: over upstream's own", "ms", is_compared=False),
    Figure("memory.idle", "memory: no device", "MiB"),
    Figure("memory.hundred", "memory: 100 stopped devices", "MiB"),
    Figure("memory.thousand", "memory: 1,000 stopped devices", "MiB", (at_most(300.0),)),
    Figure("memory.device", "memory: each stopped device", "KiB", (at_most(250.0),)),
    Figure("processes.one", "one facade: warm blob", "GiB/s"),
    Figure("processes.two", "two facades: warm blob", "GiB/s"),
    Figure("processes.gain", "two facades / one: warm blob", ""),
    Figure("processes.one_manifests", "one facade: manifests", "1/s"),
    Figure("processes.two_manifests", "two facades: manifests", "1/s"),
    Figure("processes.gain_manifests", "two facades / one: manifests", ""),
)
