"""A right to read that was proven long ago is proven again while it is used.

The reader is served meanwhile. Upstream's denial ends the right, its absence does not. Memory is
constant: a proof that finds no place now is left to the next use.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from attrs import define, field, frozen

from facade.circuit_breaker import CircuitOpenError
from facade.content import Asked
from facade.pull_path import Pull
from facade.store.index import Index, Membership
from facade.store.layout import FlightKey
from facade.upstream import Upstream
from facade.upstreams import ConnectionRevokedError, Upstreams
from shared.jitter import jittered
from shared.oci import Kind, RepositoryName
from shared.sealed_secret import SealedSecretError
from shared.structured_log import get_logger
from shared.upstream.errors import (
    ConnectError,
    CredentialRefusedError,
    NotFoundError,
    RateLimitedError,
    ResolveError,
    ServerError,
    Step,
    TlsError,
    UnexpectedAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
)

PROOF_HOLDS_SECONDS: Final = 24 * 3600.0  # who lost a right upstream reads on no longer than this
MAX_PROOFS_AT_ONCE: Final = 4  # of one process; a registry should not notice them
MAX_DELAY_SECONDS: Final = 1.0  # jittered: facades share nothing, and their fleets ask together
PAUSE_SECONDS: Final = 60.0  # jittered; until a proof that failed is tried again
MAX_PAUSES: Final = 4096  # remembered, some 300 bytes each; the oldest is forgotten

# The registry as a whole is away, or wants to be left alone.
_AWAY: Final = (
    CircuitOpenError,
    ConnectError,
    RateLimitedError,
    ResolveError,
    ServerError,
    TlsError,
    UpstreamTimeoutError,
)
_log = get_logger("facade.background_proofs")


@frozen
class Right:
    """What a membership is about."""

    key: FlightKey
    repository: RepositoryName


@define(eq=False)
class BackgroundProofs:
    """The proofs of one process. For one event loop."""

    _index: Index
    _upstreams: Upstreams
    _clock: Callable[[], float] = time.monotonic
    _running: dict[Right, asyncio.Task[None]] = field(factory=dict, init=False)
    _paused: OrderedDict[Hashable, float] = field(factory=OrderedDict, init=False)

    def note_use(self, asked: Asked, right: Right, membership: Membership) -> None:
        """Prove a membership again if it is old, nobody is at it, and there is a place."""
        if time.time() - membership.proven_at < PROOF_HOLDS_SECONDS:
            return
        if right in self._running or len(self._running) >= MAX_PROOFS_AT_ONCE:
            return
        if self._is_paused(right) or self._is_paused(right.key.access_key):
            return
        self._running[right] = asyncio.create_task(self._run(asked, right))

    async def close(self) -> None:
        """End the proofs under way."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _run(self, asked: Asked, right: Right) -> None:
        try:
            async with self._upstreams.lease(asked.connection) as upstream:
                await asyncio.sleep(jittered(MAX_DELAY_SECONDS))
                may_read = await may_still_read(upstream, asked.pull)
            await self._write(right, may_read=may_read)
        except (UpstreamError, SealedSecretError) as error:
            self._pause(right, error)
        except ConnectionRevokedError:
            pass  # its memberships are ended as a whole
        finally:
            del self._running[right]

    async def _write(self, right: Right, *, may_read: bool) -> None:
        if may_read:
            await asyncio.to_thread(self._index.prove_again, right.key, right.repository)
            return
        _log.warning(
            "right to read ended, the registry denies it",
            digest=right.key.digest,
            kind=right.key.kind,
            repository=right.repository,
        )
        await asyncio.to_thread(self._index.end, right.key, right.repository)

    def _pause(self, right: Right, error: UpstreamError | SealedSecretError) -> None:
        paused: Hashable = right.key.access_key if isinstance(error, _AWAY) else right
        self._paused[paused] = self._clock() + jittered(PAUSE_SECONDS)
        self._paused.move_to_end(paused)
        if len(self._paused) > MAX_PAUSES:
            self._paused.popitem(last=False)
        _log.info(
            "right to read not proven again, tried later",
            digest=right.key.digest,
            repository=right.repository,
            reason=type(error).__name__,
        )

    def _is_paused(self, what: Hashable) -> bool:
        return self._paused.get(what, float("-inf")) > self._clock()


async def may_still_read(upstream: Upstream, pull: Pull) -> bool:
    """Tell whether the registry still gives a digest; raise `UpstreamError` where it is away.

    A refused HEAD decides nothing: some registries have none. What GET is answered does.
    """
    try:
        async with upstream.fetch(pull.kind, pull.repository, pull.digest, method="HEAD"):
            return True
    except (CredentialRefusedError, NotFoundError, UnexpectedAnswerError):
        pass  # GET decides
    last_byte = 0 if pull.kind is Kind.BLOB else None  # a manifest is small, and has no ranges
    try:
        async with upstream.fetch(pull.kind, pull.repository, pull.digest, last_byte=last_byte):
            return True
    except (CredentialRefusedError, NotFoundError) as error:
        if not _is_denial(error):
            raise
        return False


def _is_denial(error: CredentialRefusedError | NotFoundError) -> bool:
    """Tell the registry's own 401, 403 or 404 from what we lack ourselves (an AWS identity)."""
    if isinstance(error, NotFoundError):
        return True
    return error.status in (401, 403) or error.step in (Step.REQUEST, Step.EXCHANGE)
