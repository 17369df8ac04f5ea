"""A right to read that was proven long ago is proven again while it is used.

The reader is served in the meantime. If upstream denies the right, it ends; if upstream is away, it
does not. Memory is bounded: if there is no place for a proof now, the next use tries again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

from attrs import define, field, frozen

from facade.loop.thread_work import in_store_thread
from facade.registries.connection_work import ConnectionRevokedError
from facade.registries.failing_paths import CircuitOpenError, DigestFailingError
from facade.registries.spender import NOBODY, spending
from facade.registries.upstream import Upstream
from facade.registries.upstreams import Upstreams
from facade.rights.right import Right
from facade.rights.rights import ProvenRight, Rights
from facade.values.authorized_pull import AuthorizedPull
from facade.values.pull_path import Pull
from shared.bounded_map import BoundedMap
from shared.jitter import jittered
from shared.stopping import end_tasks
from shared.structured_log import get_logger
from shared.supervised import report
from shared.upstream.errors import (
    ClosedUnansweredError,
    ConnectError,
    CredentialRefusedError,
    RateLimitedError,
    ResolveError,
    Step,
    TlsError,
    UpstreamError,
)

PROOF_HOLDS_SECONDS: Final = 24 * 3600.0  # a right that was lost upstream holds no longer
MAX_PROOFS_AT_ONCE: Final = 4  # of one process, so few that a registry does not notice them
MAX_DELAY_SECONDS: Final = 1.0  # jittered: several facades' fleets ask at the same moment
PAUSE_SECONDS: Final = 60.0  # jittered; until a proof that failed is tried again
MAX_PAUSES: Final = 4096  # remembered, some 600 bytes each; the longest unused is forgotten
# A refusal of our login is remembered for half a minute, whatever it was about, perhaps only a
# HEAD. But if so many tries with GET, minutes apart, find a refusal each, that is an answer, too.
REFUSALS_THAT_END: Final = 3

# The registry as a whole is away, or wants to be left alone. Silence and 5xx do not count as that:
# one right that is answered in this way would keep all others of the connection from ending.
_AWAY: Final = (CircuitOpenError, ConnectError, RateLimitedError, ResolveError, TlsError)
# These are kinds of the above, but concern one path only.
_OF_ONE_PATH: Final = (ClosedUnansweredError, DigestFailingError)
# Tells whether the registry still gives it, asked by HEAD first if that may do; raises
# `UpstreamError` if the registry does not say.
MayStillRead = Callable[[Upstream, Pull, bool], Awaitable[bool]]
_log = get_logger("facade.background_proofs")


@frozen
class _Pause:
    """Until when nothing is tried, and how many tries so far met a refusal."""

    until: float = float("-inf")  # monotonic
    refusals: int = 0


_NEVER_PAUSED: Final = _Pause()


@define(eq=False)
class BackgroundProofs:
    """The proofs of one process. For one event loop."""

    _rights: Rights
    _upstreams: Upstreams
    _may_still_read: MayStillRead
    _clock: Callable[[], float] = time.monotonic
    _max_delay: float = MAX_DELAY_SECONDS
    _running: dict[Right, asyncio.Task[None]] = field(factory=dict, init=False)
    _pauses: BoundedMap[Hashable, _Pause] = field(
        factory=lambda: BoundedMap(MAX_PAUSES), init=False
    )

    @property
    def under_way(self) -> int:
        """How many are being proven now."""
        return len(self._running)

    def is_due(self, right: ProvenRight) -> bool:
        """Tell whether a right was proven so long ago that it has to be proven again."""
        return time.time() - right.proven_at >= PROOF_HOLDS_SECONDS

    def note_use(self, asked: AuthorizedPull, right: Right) -> None:
        """Prove a right again, unless it is being proven or there is no place for it now."""
        if right in self._running or len(self._running) >= MAX_PROOFS_AT_ONCE:
            return
        if self._is_paused(right) or self._is_paused(right.key.access_key):
            return
        with spending(NOBODY):  # a reader pays nothing for what is stored
            self._running[right] = asyncio.create_task(self._run(asked, right))

    async def close(self) -> None:
        """End the proofs under way."""
        await end_tasks(*self._running.values())

    async def _run(self, asked: AuthorizedPull, right: Right) -> None:
        try:
            async with self._upstreams.lease(asked.connection) as upstream:
                await asyncio.sleep(jittered(self._max_delay))
                may_read = await self._may_still_read(upstream, asked.pull, self._is_new(right))
            await self._write(right, may_read=may_read)
        except CredentialRefusedError as refusal:
            if refusal.step is Step.REQUEST:
                await self._note_refusal(right, refusal)
            else:  # it is this facade that lacks something, an AWS identity, say
                self._pause(right, refusal)
        except UpstreamError as error:
            self._pause(right, error)
        except ConnectionRevokedError:
            pass  # all of its rights are ended at once
        except Exception as error:  # noqa: BLE001 - nobody waits for it, and the next use must not try at once
            report(error)
            self._pause(right, error)
        finally:
            del self._running[right]

    def _is_new(self, right: Right) -> bool:
        """Tell whether no earlier try met a refusal that left the right in doubt."""
        return not self._paused(right).refusals

    async def _note_refusal(self, right: Right, refusal: CredentialRefusedError) -> None:
        refusals = self._paused(right).refusals + 1
        if refusals < REFUSALS_THAT_END:
            self._pause(right, refusal, refusals)
        else:
            await self._write(right, may_read=False)

    async def _write(self, right: Right, *, may_read: bool) -> None:
        self._pauses.pop(right)
        if may_read:
            await in_store_thread(self._rights.prove_again, right)
            return
        _log.warning(
            "right to read ended, the registry denies it",
            digest=right.key.digest,
            kind=right.key.kind,
            repository=right.repository,
        )
        await in_store_thread(self._rights.end, right)

    def _pause(self, right: Right, error: Exception, refusals: int = 0) -> None:
        is_away = isinstance(error, _AWAY) and not isinstance(error, _OF_ONE_PATH)
        paused: Hashable = right.key.access_key if is_away else right
        self._pauses.set(paused, _Pause(self._clock() + jittered(PAUSE_SECONDS), refusals))
        _log.info(
            "right to read not proven again, tried later",
            digest=right.key.digest,
            repository=right.repository,
            reason=type(error).__name__,
        )

    def _is_paused(self, what: Hashable) -> bool:
        return self._paused(what).until > self._clock()

    def _paused(self, what: Hashable) -> _Pause:
        return self._pauses.get(what) or _NEVER_PAUSED
