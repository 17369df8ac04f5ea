"""Many ranges in one request: six of sixty files, cold and warm; a thousand small ones."""

import hashlib
import urllib.request

from attrs import frozen

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.generators import Run
from tests.bench.load.jobs import ManyRangesJob
from tests.bench.measures.measure import GIB, Measuring, asked_of
from tests.bench.upstream import AUTHORIZATION, Upstream

FILES = 60
CHANGED = (3, 13, 14, 27, 40, 59)
SMALL_PARTS = 1000  # nearly as many as one request may have
SMALL_BYTES = 4096  # a chunk of a small file
TIMES = 20  # that the warm ones are asked for


@frozen
class _Wanted:
    """Ranges of a blob, and the hash of all their bytes."""

    blob: Content
    ranges: list[tuple[int, int]]
    sha256: str

    @classmethod
    def of(cls, upstream: Upstream, blob: Content, ranges: list[tuple[int, int]]) -> "_Wanted":
        """Ask the registry itself what the bytes are."""
        url = f"{upstream.registry.url}/v2/{blob.path}"
        asked = urllib.request.Request(url, headers={"Authorization": AUTHORIZATION})  # noqa: S310 - ours, on loopback
        hasher = hashlib.sha256()
        with urllib.request.urlopen(asked) as answer:  # noqa: S310 - as above
            content = answer.read()
        for first, last in ranges:
            hasher.update(content[first : last + 1])
        return cls(blob, ranges, hasher.hexdigest())

    @property
    def length(self) -> int:
        """Bytes of all ranges."""
        return sum(last - first + 1 for first, last in self.ranges)


def measure(measuring: Measuring) -> None:
    """Let one device ask every server for ranges of a new blob, and again once it has all of it."""
    upstream = measuring.scene.upstream
    for _ in range(measuring.options.rounds):
        blob = upstream.push_blob(measuring.options.size)
        file_bytes = blob.length // FILES
        files = [(each * file_bytes, (each + 1) * file_bytes - 1) for each in CHANGED]
        stride = blob.length // SMALL_PARTS
        small = [
            (at, at + min(SMALL_BYTES, stride // 2) - 1)
            for at in range(0, stride * SMALL_PARTS, stride)
        ]
        update = _Wanted.of(upstream, blob, files)
        chunks = _Wanted.of(upstream, blob, small)
        for contender in measuring.turn():
            _measure(measuring, contender, update, chunks)


def _measure(measuring: Measuring, contender: Contender, update: _Wanted, chunks: _Wanted) -> None:
    upstream = measuring.scene.upstream
    mark = upstream.mark()
    cold = _ask(measuring, contender, update, 1)
    bought = upstream.bytes_sent(update.blob, mark)
    measuring.pull_and_verify(contender, update.blob)
    warm = _ask(measuring, contender, update, TIMES)
    small = _ask(measuring, contender, chunks, TIMES)
    for key, value in (
        ("cold", _given(cold) / update.length),
        ("cold_time", cold.seconds),
        ("upstream", bought / update.blob.length),
        ("warm", _given(warm) / TIMES / update.length),
        ("rate", TIMES * update.length / GIB / warm.seconds),
        ("cpu", warm.server_cpu_seconds / (TIMES * update.length / GIB)),
        ("failures", cold.failures + warm.failures + small.failures),
        ("small", _given(small) / TIMES / chunks.length),
        ("small_cpu", small.server_cpu_seconds * 1000 / TIMES),
    ):
        measuring.observations.add(f"many_ranges.{key}", contender.name, value)


def _given(run: Run) -> float:
    """Return the bytes of all bodies."""
    return sum(mark for result in run.results for mark in result.marks)


def _ask(measuring: Measuring, contender: Contender, wanted: _Wanted, times: int) -> Run:
    scene = measuring.scene
    [device] = scene.devices.first(1)
    job = ManyRangesJob(
        scene.target(contender),
        device,
        asked_of(contender, wanted.blob),
        wanted.ranges,
        wanted.sha256,
        times,
    )
    return scene.generators.run(contender, [job])
