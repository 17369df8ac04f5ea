"""One connection's registry, as a pull sees it: its client behind its circuit breaker."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from attrs import frozen

from facade.circuit_breaker import CircuitBreaker
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.answer import UpstreamAnswer
from shared.upstream.client import Method, RegistryClient


@frozen
class Upstream:
    """Fetches as `RegistryClient` does, and raises `CircuitOpenError` besides."""

    _client: RegistryClient
    _breaker: CircuitBreaker

    @asynccontextmanager
    async def fetch(
        self,
        kind: Kind,
        repository: RepositoryName,
        digest: Digest,
        *,
        method: Method = "GET",
        first_byte: int = 0,
        last_byte: int | None = None,
    ) -> AsyncIterator[UpstreamAnswer]:
        """Give the registry's answer; what breaks after its headers is not the breaker's matter."""
        async with AsyncExitStack() as stack:
            with self._breaker.attempt():
                answer = await stack.enter_async_context(
                    self._client.fetch(
                        kind,
                        repository,
                        digest,
                        method=method,
                        first_byte=first_byte,
                        last_byte=last_byte,
                    )
                )
            yield answer

    async def close(self) -> None:
        """Close the client's session; bodies that are being read break."""
        await self._client.close()
