"""What a fleet asks all day, mixed: stored and new content, what is absent, what is refused.

    async with MixedTraffic.of(facade, registry) as traffic:
        await traffic.answers(20_000)

One answer after another, of devices that each have a certificate and keep a connection. New
content is random, and the registry forgets it once it was pulled, so that neither grows itself.
"""

import asyncio
import itertools
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Self

import aiohttp
from attrs import define, field

from shared.oci import Digest
from tests.support.facade_process import Facade, device_session
from tests.support.facade_states import pull_path
from tests.support.simulators.registry import RegistrySimulator

DEVICES: Final = 50
WARM: Final = 20  # blobs, and as many manifests
BLOB_BYTES: Final = 64 * 1024
MANIFEST_BYTES: Final = 2 * 1024
RANGE: Final = {"Range": "bytes=1000-40999"}
NOT_APPROVED: Final = "/v2/nobody.example/team/app/manifests/"


@define(eq=False)
class MixedTraffic:
    """Devices, and what they ask."""

    _facade: Facade
    _registry: RegistrySimulator
    _sessions: Iterator[aiohttp.ClientSession]
    _strangers: Iterator[ssl.SSLContext]
    _blobs: Iterator[str]
    _manifests: Iterator[str]
    _round: Iterator[Callable[[], Awaitable[None]]] = field(init=False)

    @_round.default
    def _one_round(self) -> Iterator[Callable[[], Awaitable[None]]]:
        return itertools.cycle(
            (
                *(self._warm_blob, self._warm_manifest, self._warm_range, self._head),
                *(self._warm_blob, self._warm_manifest, self._cold_blob, self._refused),
                *(self._warm_blob, self._warm_manifest, self._new_connection, self._absent),
                *(self._warm_blob, self._warm_manifest, self._cold_manifest, self._refused),
                *(self._warm_blob, self._warm_manifest, self._warm_range, self._new_connection),
            )
        )

    @classmethod
    @asynccontextmanager
    async def of(cls, facade: Facade, registry: RegistrySimulator) -> AsyncIterator[Self]:
        """Have devices and content for a registry that is approved."""
        blobs = [registry.blob(os.urandom(BLOB_BYTES)) for _ in range(WARM)]
        manifests = [registry.manifest(_new_manifest()) for _ in range(WARM)]
        devices = [facade.device().tls() for _ in range(DEVICES)]
        async with AsyncExitStack() as stack:
            sessions = [await stack.enter_async_context(device_session(each)) for each in devices]
            traffic = cls(
                facade,
                registry,
                itertools.cycle(sessions),
                itertools.cycle(devices),
                itertools.cycle(blobs),
                itertools.cycle(manifests),
            )
            for _ in range(WARM):
                await traffic._warm_blob()
                await traffic._warm_manifest()
            yield traffic

    async def answers(self, count: int, a_second: float = 0.0) -> None:
        """Have so many; with `a_second`, no more than that."""
        began = time.monotonic()
        for number in range(count):
            await next(self._round)()
            if a_second:
                due = began + number / a_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _warm_blob(self) -> None:
        await self._asked(self._path(next(self._blobs), "blobs"), 200, BLOB_BYTES)

    async def _warm_range(self) -> None:
        await self._asked(self._path(next(self._blobs), "blobs"), 206, 40_000, **RANGE)

    async def _warm_manifest(self) -> None:
        await self._asked(self._path(next(self._manifests), "manifests"), 200, MANIFEST_BYTES)

    async def _head(self) -> None:
        await self._asked(self._path(next(self._blobs), "blobs"), 200, 0, method="HEAD")

    async def _cold_blob(self) -> None:
        await self._new(self._registry.blob(os.urandom(BLOB_BYTES)), "blobs", BLOB_BYTES)

    async def _cold_manifest(self) -> None:
        await self._new(self._registry.manifest(_new_manifest()), "manifests", MANIFEST_BYTES)

    async def _new(self, digest: str, kind: str, length: int) -> None:
        await self._asked(self._path(digest, kind), 200, length)
        self._registry.forget()

    async def _absent(self) -> None:
        await self._asked(self._path(str(Digest.of(os.urandom(32))), "manifests"), 404)
        self._registry.forget()

    async def _refused(self) -> None:
        await self._asked(f"{NOT_APPROVED}{Digest.of(os.urandom(32))}", 404)

    async def _new_connection(self) -> None:
        path = self._path(next(self._manifests), "manifests")
        async with device_session(next(self._strangers)) as session:
            await self._answer(session, path, 200, MANIFEST_BYTES)

    def _path(self, digest: str, kind: str) -> str:
        return pull_path(self._registry, digest, kind=kind)

    async def _asked(
        self, path: str, status: int, length: int | None = None, method: str = "GET", **head: str
    ) -> None:
        await self._answer(next(self._sessions), path, status, length, method, **head)

    async def _answer(
        self,
        session: aiohttp.ClientSession,
        path: str,
        status: int,
        length: int | None,
        method: str = "GET",
        **head: str,
    ) -> None:
        url = f"https://localhost:{self._facade.port}{path}"
        async with session.request(method, url, headers=head) as answer:
            body = await answer.read()
            assert answer.status == status, (path, answer.status, body)
            assert length is None or len(body) == length, path


def _new_manifest() -> bytes:
    """Return one that nobody has, of `MANIFEST_BYTES`."""
    head, end = b'{"schemaVersion":2,"annotations":{"a":"', b'"}}'
    noise = os.urandom(MANIFEST_BYTES // 2).hex().encode()
    return head + noise[: MANIFEST_BYTES - len(head) - len(end)] + end
