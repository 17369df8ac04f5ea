"""A device that pulls a blob as containerd does: again and again, from the byte reached.

    pull = await RetryingDevice(device).pull(path, digest)
    assert pull.content == content
    pull.seen       # {"206": 1, "200": 1, "reset": 1}: what it was answered, and how that ended

It fails the test if an answer that ended cleanly was wrong: the wrong length, the wrong bytes.
"""

import asyncio
import hashlib
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

from tests.support.device_stream import READ_BYTES, DeviceStream, device_stream
from tests.support.facade_process import Device

PAUSE_SECONDS: Final = 0.1  # before the next attempt; containerd and kubelet wait longer
SILENCE_SECONDS: Final = 15.0  # after so long without a byte a device takes the link for dead
PULL_SECONDS: Final = 90.0
TRY_AGAIN: Final = frozenset({429, 500, 502, 503, 504})


@frozen
class Pull:
    """A blob as it came in the end, and what was seen on the way."""

    content: bytes = field(repr=False)
    seen: Counter[str]
    seconds: float

    def __str__(self) -> str:
        """Return what was seen, as the table says it."""
        return ", ".join(f"{count} x {name}" for name, count in sorted(self.seen.items()))


@define
class RetryingDevice:
    """One device, and the facades that it may ask: by default the one that it was made for."""

    _device: Device
    _ports: Sequence[int] = ()
    seen: Counter[str] = field(factory=Counter, init=False)
    received: bytearray = field(factory=bytearray, init=False, repr=False)

    async def pull(self, path: str, digest: str, seconds: float = PULL_SECONDS) -> Pull:
        """Return the blob; fail if a whole answer is wrong, or none comes in time."""
        started, attempt = time.monotonic(), 0
        async with asyncio.timeout(seconds):
            while not await self._attempt(path, attempt):
                attempt += 1
                await asyncio.sleep(PAUSE_SECONDS)
        assert f"sha256:{hashlib.sha256(self.received).hexdigest()}" == digest
        return Pull(bytes(self.received), self.seen, time.monotonic() - started)

    async def _attempt(self, path: str, attempt: int) -> bool:
        """Read on from the byte reached; tell whether that was the end."""
        ports = self._ports or (self._device.facade.port,)
        first = len(self.received)
        headers = {"Range": f"bytes={first}-"} if first else {}
        tls = self._device.tls()
        try:
            async with (
                asyncio.timeout(SILENCE_SECONDS) as silence,
                device_stream(
                    ports[attempt % len(ports)], tls, path, request_headers=headers
                ) as stream,
            ):
                self.seen[str(stream.status)] += 1
                if stream.status in TRY_AGAIN:
                    return False
                assert stream.status in {200, 206}, await stream.body()
                self._expect_position(stream, first)
                await self._read(stream, silence)
        except TimeoutError:
            self.seen["silence"] += 1
            return False
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            self.seen["cut" if len(self.received) > first else "refused"] += 1
            return False
        return True

    def _expect_position(self, stream: DeviceStream, first: int) -> None:
        if stream.status == 200:
            self.received.clear()
        else:
            assert stream.headers["content-range"].startswith(f"bytes {first}-")

    async def _read(self, stream: DeviceStream, silence: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        while stream.received < stream.length:
            self.received += await stream.take(READ_BYTES)
            silence.reschedule(loop.time() + SILENCE_SECONDS)
