"""What a load generator is told to do, and what it tells; both cross the process border as JSON."""

from pathlib import Path
from typing import Any, TypeVar

import cattrs
import orjson
from attrs import field, frozen

T = TypeVar("T")


@frozen
class Identity:
    """A device's certificate and key, PEM files."""

    certificate: str
    key: str


@frozen
class Target:
    """A server on loopback. Without `ca` it is asked over plain HTTP."""

    port: int
    ca: str | None = None
    headers: dict[str, str] = field(factory=dict, repr=False)


@frozen
class Asked:
    """One thing to ask for, and the only right answer to it."""

    path: str
    length: int
    sha256: str  # hexadecimal


@frozen
class StreamsJob:
    """All devices pull the same blob at once. What the first one receives is hashed."""

    target: Target
    devices: list[Identity]
    blob: Asked
    is_hashed: bool = False


@frozen
class RequestsJob:
    """Each device asks for the same again and again on one connection, for some seconds."""

    target: Target
    devices: list[Identity]
    asked: Asked
    seconds: float


@frozen
class SessionsJob:
    """Devices connect, pull everything in order, and close, over and over for some seconds."""

    target: Target
    devices: list[Identity]  # as many at a time
    contents: list[Asked]
    seconds: float


@frozen
class RangesJob:
    """One device pulls a blob in ranges, so many workers at a time, each on its own connection.

    With `is_open` a worker asks for everything from a place on, reads its range, and closes.
    Marks: for each worker, the longest time in which it waited for a byte.
    """

    target: Target
    device: Identity
    blob: Asked
    range_bytes: int
    workers: int
    is_open: bool


@frozen
class HerdRangesJob:
    """All devices pull the same blob at once, each in ranges, so many workers at a time.

    Each worker has its own connection, and goes on with the next range that none of its device has
    begun. Marks: for each device, the seconds until it had its last byte.
    """

    target: Target
    devices: list[Identity]
    blob: Asked
    range_bytes: int
    workers: int


@frozen
class ManyRangesJob:
    """One device asks so many times for the same ranges of a blob, in one request each.

    `ranges`: first and last byte of each; `sha256`: of their bytes. Marks: bytes of each body.
    """

    target: Target
    device: Identity
    blob: Asked
    ranges: list[tuple[int, int]]
    sha256: str
    times: int


@frozen
class StormJob:
    """All devices connect at the same moment, ask for the same, and leave.

    A device that fails begins again. Marks: for each device, the seconds until it had its answer.
    """

    target: Target
    devices: list[Identity]
    asked: Asked


@frozen
class StoppedJob:
    """Each device asks for a blob, reads the head of the answer, and then nothing."""

    target: Target
    devices: list[Identity]
    blob: Asked


@frozen
class FirstByteJob:
    """One device, or over plain HTTP nobody, asks for one blob after the other.

    Marks: for each blob, the seconds from the request to the body's first byte.
    """

    target: Target
    device: Identity | None
    blobs: list[Asked]


@frozen
class FirstBytesJob:
    """One device, or over plain HTTP nobody, asks for several ranges of a blob at once.

    `ranges`: first and last byte of each. Marks: for each, the seconds from the request to the
    body's first byte.
    """

    target: Target
    device: Identity | None
    blob: Asked
    ranges: list[tuple[int, int]]


Job = (
    StreamsJob
    | RequestsJob
    | SessionsJob
    | RangesJob
    | HerdRangesJob
    | ManyRangesJob
    | StormJob
    | StoppedJob
    | FirstByteJob
    | FirstBytesJob
)


@frozen
class Result:
    """What happened between `began` and `ended`, in seconds of the machine's monotonic clock."""

    began: float
    ended: float
    count: int  # of answers, each of the right length
    marks: list[float]  # what the kind of job says: seconds, or bytes
    cpu_seconds: float = 0.0  # of the generator
    failures: int = 0  # attempts that did not give the right answer, where a job goes on after one


def read(path: Path, kind: type[T]) -> T:
    """Return the value kept in a file."""
    return cattrs.structure(orjson.loads(path.read_bytes()), kind)


def write(path: Path, value: Any) -> None:
    """Keep a value in a file, which appears whole."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(orjson.dumps(cattrs.unstructure(value)))
    unfinished.rename(path)
