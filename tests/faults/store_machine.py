"""One facade with a store, as the tests of failing disks use it: what it pulls, keeps and asks."""

import asyncio
import random
from pathlib import Path
from typing import Final

from attrs import frozen

from facade.values.piece import PIECE_BYTES
from tests.support.device_stream import End
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import pull_path
from tests.support.kept_blob import kept_blob
from tests.support.simulators.behaviour import Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.system.facade.pulls import Outcome, outcome_of

PACE: Final = Slow(PIECE_BYTES, 0.005)

_random = random.Random(6)  # noqa: S311 - any bytes will do


@frozen
class Machine:
    """A facade, the device and the registry on its sides, and the folder of its store."""

    facade: Facade
    device: Device
    upstream: RegistrySimulator
    cache: Path

    def blob(self, length: int, pace: Slow = PACE) -> str:
        """Have upstream serve a new blob, slowly enough to be followed; return its digest."""
        return self.upstream.blob(_random.randbytes(length), get=pace)

    async def outcomes(self, digest: str, devices: int = 1) -> list[Outcome]:
        """Have devices pull a blob at once; return how it ended for each."""
        path = pull_path(self.upstream, digest)
        return await asyncio.gather(*(outcome_of(self.device, path) for _ in range(devices)))

    async def pull(self, digest: str, devices: int = 1) -> None:
        """Have devices pull a blob at once; each of them gets it whole and right."""
        outcomes = await self.outcomes(digest, devices)
        seen = {(each.status, each.end, each.digest) for each in outcomes}
        assert seen == {(200, End.WHOLE, digest)}

    async def is_kept(self, digest: str) -> None:
        """Return once a blob is stored, and its arrival is over."""
        await kept_blob(self.cache, digest)

    def asked(self, digest: str) -> int:
        """Return how often upstream was asked for a blob's bytes."""
        return sum(
            request.method == "GET" and request.header("Authorization") is not None
            for request in self.upstream.pulls
            if request.path.endswith(digest)
        )
