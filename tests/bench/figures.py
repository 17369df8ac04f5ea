"""What is measured, in which unit, and the bar that it is held against."""

from enum import Enum

from attrs import frozen

FACADE, NGINX, DISTRIBUTION = "facade", "nginx", "distribution"
NGINX_SLICE = "nginx-slice"  # the same nginx, with its `slice` module
RIVALS = (NGINX, DISTRIBUTION, NGINX_SLICE)


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
    is_met_by_one: bool = False  # of its bars: if not, each of them is to be met


def at_most(limit: float, rival: str | None = None) -> Bar:
    """Return the bar of what is better if it is less."""
    return Bar(Side.AT_MOST, limit, rival)


def at_least(limit: float, rival: str | None = None) -> Bar:
    """Return the bar of what is better if it is more."""
    return Bar(Side.AT_LEAST, limit, rival)


@frozen
class ParallelCase:
    """How one device pulls in ranges. `is_open`: as containerd does, and not as HTTP means it."""

    workers: int
    is_open: bool

    @property
    def key(self) -> str:
        """What stands for it in the key of a figure."""
        return f"{'open' if self.is_open else 'closed'}_{self.workers}"

    def figures(self) -> tuple[Figure, ...]:
        """Return what is measured of it."""
        kind = "open ranges" if self.is_open else "ranges"
        title = f"{self.workers} x {kind}" if self.workers > 1 else f"one by one, {kind}"
        key, is_judged = f"parallel.{self.key}", self.workers > 1
        return (
            Figure(
                f"{key}.time",
                f"{title}, cold: time / the link's",
                "",
                (at_most(1.1),) if is_judged else (),
                is_compared=False,
            ),
            Figure(
                f"{key}.upstream",
                f"{title}, cold: upstream bytes / blob",
                "",
                (at_most(1.02),),
                is_compared=False,
            ),
            Figure(
                f"{key}.silence",
                f"{title}, cold: longest without a byte",
                "s",
                (at_most(1.0),) if is_judged else (),
                is_compared=False,
            ),
            Figure(f"{key}.failures", f"{title}: failed", "", (at_most(0),), is_compared=False),
            Figure(f"{key}.rate", f"{title}, warm", "GiB/s"),
            Figure(f"{key}.cpu", f"{title}, warm: server CPU", "s/GiB"),
        )


# Workers of `parallel`: closed ranges, as the issue on ranges asks, and as containerd is set.
CLOSED_WORKERS, OPEN_WORKERS = (1, 4, 16), (4, 16, 30)
WORKERS = (1, 4, 16, 30)
PARALLEL = (
    *(ParallelCase(workers, is_open=False) for workers in CLOSED_WORKERS),
    *(ParallelCase(workers, is_open=True) for workers in OPEN_WORKERS),
)
FLEETS = (24, 1000, 5000)  # devices of `storm`; the smallest shows that the measure works


def storm_figures(devices: int) -> tuple[Figure, ...]:
    """Return what is measured where so many devices come at once."""
    key, title = f"storm.{devices}", f"storm of {devices:,}"
    return (
        Figure(f"{key}.time", f"{title}: time to the last", "s", (at_most(1.2, NGINX),)),
        Figure(f"{key}.p99", f"{title}: p99", "s"),
        Figure(f"{key}.cpu", f"{title}: server CPU of each", "ms"),
        Figure(f"{key}.busy", f"{title}: server busy", "cores", is_compared=False),
        Figure(f"{key}.generator", f"{title}: generators' CPU", "ms", is_compared=False),
        Figure(f"{key}.failures", f"{title}: failed", "", (at_most(0),), is_compared=False),
    )


FIRST_BYTE_MIB = (1, 8, 64)  # sizes of cold blobs


def first_byte_figures(mebibytes: int) -> tuple[Figure, ...]:
    """Return what is measured of cold blobs of a size."""
    key, title = f"first_byte.{mebibytes}", f"cold first byte of {mebibytes} MiB"
    return (
        Figure(
            f"{key}.added",
            f"{title}: over upstream's own",
            "ms",
            (at_most(1.5, NGINX), at_most(3.0)),
            is_met_by_one=True,
        ),
        Figure(f"{key}.p99", f"{title}: p99", "ms"),
    )


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
    Figure("herd.ranges_upstream", "herd in ranges: upstream bytes / blob", "", (at_most(1.02),)),
    Figure(
        "herd.ranges_slower",
        "herd in ranges: time to the last / of whole reads",
        "",
        (at_most(1.1),),
        is_compared=False,
    ),
    Figure("herd.ranges_time", "herd in ranges: time to the last device", "s"),
    Figure("herd.ranges_cpu", "herd in ranges: server CPU", "s"),
    Figure("herd.ranges_generator", "herd in ranges: generators' CPU", "s", is_compared=False),
    Figure(
        "manifests.rate",
        "manifests: requests",
        "1/s",
        (at_least(0.5, NGINX), at_least(8.0, DISTRIBUTION)),
    ),
    Figure("manifests.cpu", "manifests: server CPU", "ms"),
    Figure("manifests.busy", "manifests: server busy", "cores", is_compared=False),
    Figure("manifests.generator", "manifests: generators' CPU", "ms", is_compared=False),
    Figure("sessions.rate", "sessions", "1/s", (at_least(1.0, NGINX), at_least(1.5, DISTRIBUTION))),
    Figure("sessions.cpu", "sessions: server CPU", "ms"),
    Figure("sessions.busy", "sessions: server busy", "cores", is_compared=False),
    Figure("sessions.generator", "sessions: generators' CPU", "ms", is_compared=False),
    *(figure for devices in FLEETS for figure in storm_figures(devices)),
    *(figure for size in FIRST_BYTE_MIB for figure in first_byte_figures(size)),
    Figure(
        "cold.cpu",
        "cold blob: server CPU",
        "s/GiB",
        (at_most(1.2, NGINX), at_most(2.0)),
        is_met_by_one=True,
    ),
    Figure("cold.stored_cpu", "cold blob: server CPU, with what follows the answer", "s/GiB"),
    Figure("cold.time", "cold blob: time", "s"),
    Figure("cold.upstream", "cold blob: upstream bytes / blob", "", (at_most(1.0),)),
    *(figure for case in PARALLEL for figure in case.figures()),
    Figure(
        "far_ranges.two",
        "two bytes of a cold blob: first byte / upstream's own",
        "",
        (at_most(1.5),),
        is_compared=False,
    ),
    Figure(
        "far_ranges.five",
        "five far ranges at once: last first byte / upstream's own",
        "",
        (at_most(1.5),),
        is_compared=False,
    ),
    Figure(
        "segments.gain",
        "segments: rate / one connection's",
        "",
        (at_least(3.5),),
        is_compared=False,
    ),
    Figure("segments.time", "segments: time", "s"),
    Figure("segments.upstream", "segments: upstream bytes / blob", "", (at_most(1.0),)),
    Figure(
        "many_ranges.cold",
        "6 of 60 files, cold: bytes to the device / of them",
        "",
        (at_most(1.1),),
        is_compared=False,
    ),
    Figure("many_ranges.cold_time", "6 of 60 files, cold: time", "s"),
    Figure("many_ranges.upstream", "6 of 60 files, cold: upstream bytes / blob", ""),
    Figure(
        "many_ranges.warm",
        "6 of 60 files, warm: bytes to the device / of them",
        "",
        (at_most(1.1),),
        is_compared=False,
    ),
    Figure("many_ranges.rate", "6 of 60 files, warm", "GiB/s"),
    Figure("many_ranges.cpu", "6 of 60 files, warm: server CPU for their bytes", "s/GiB"),
    Figure("many_ranges.failures", "many ranges: failed", "", (at_most(0),), is_compared=False),
    Figure("many_ranges.small", "1,000 ranges of 4 KiB: bytes to the device / of them", ""),
    Figure("many_ranges.small_cpu", "1,000 ranges of 4 KiB: server CPU", "ms"),
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
