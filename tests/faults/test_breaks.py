"""An upstream that breaks at every byte: nobody notices, and nothing comes twice."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from deploy.dev.device_ca import IssuedCertificate
from facade.values.piece import PIECE_BYTES
from tests.faults.extent import extent
from tests.faults.report import FaultReport
from tests.faults.stored_files import require_right_files
from tests.support.device_stream import End
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import BreaksAt
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import outcome_of

SMALL: Final = 300
LARGE: Final = 600 * 1024
AT_ONCE: Final = 16  # pulls: each waits a moment before it resumes
NEAR: Final = extent((-1, 0, 1), range(-8, 9))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module's cache folder."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", params=["stored", "streamed"])
def facade_settings(request: pytest.FixtureRequest, cache: Path) -> Mapping[str, str]:
    """A facade that keeps what it fetches, and one that keeps nothing."""
    if request.param == "streamed":
        return {}
    return {"FACADE_CACHE_DIR": str(cache), "FACADE_CACHE_MAX_BYTES": "1GiB"}


def content_of(length: int, byte: int) -> bytes:
    """Return a content for each byte to break at."""
    return hashlib.shake_128(f"{length} {byte}".encode()).digest(length)


async def test_a_break_at_every_byte_of_a_small_blob_is_mended(
    facade: Facade,
    writer: StatementWriter,
    issued: IssuedCertificate,
    upstream: RegistrySimulator,
    cache: Path,
    fault_report: FaultReport,
) -> None:
    """And at every byte around the pieces of a larger one."""
    await connect(facade, writer, upstream)
    edges = [0, PIECE_BYTES, 2 * PIECE_BYTES, LARGE - PIECE_BYTES, LARGE]
    around = {edge + near for edge in edges for near in NEAR}
    breaks = [(SMALL, byte) for byte in range(0, SMALL, extent(10, 1))]
    breaks += [(LARGE, byte) for byte in sorted(around) if 0 <= byte < LARGE]
    turns, device = asyncio.Semaphore(AT_ONCE), facade.device(issued)

    async def pull(length: int, byte: int) -> None:
        async with turns:
            await _pull_breaking(device, upstream, content_of(length, byte), byte)

    await asyncio.gather(*(pull(length, byte) for length, byte in breaks))
    stored = require_right_files(cache)
    fault_report.row(
        f"upstream breaks once, at each of {len(breaks)} bytes",
        "whole answers, right",
        f"resumed from the byte reached; {stored} blobs stored",
    )


async def _pull_breaking(
    device: Device, upstream: RegistrySimulator, content: bytes, byte: int
) -> None:
    digest = upstream.blob(content, get=BreaksAt(byte))
    outcome = await outcome_of(device, pull_path(upstream, digest))
    assert (outcome.status, outcome.end, outcome.digest) == (200, End.WHOLE, digest), byte
    asked = [
        request.header("Range") or "bytes=0-"
        for request in upstream.pulls
        if request.path.endswith(digest) and request.header("Authorization")
    ]
    # A reset may overtake bytes that a busy facade has not read yet.
    resumed_at = int(asked[1].removeprefix("bytes=").partition("-")[0])
    assert len(asked) == 2, byte
    assert resumed_at <= byte
