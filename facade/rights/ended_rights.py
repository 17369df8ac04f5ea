"""Ends the rights to read of what serves no more: a revocation, a new secret, other realms.

Rights belong to access keys. When no connection serves with an access key any more, its rights end:
at the change, or at the next start if the facade did not run. A new scope or description keeps the
key. No right is ended before the database was read whole, or while its rows are signed with a key
that this facade lacks, because nobody knows yet what serves. Meanwhile such a right gives nobody
anything: no connection serves with it.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from attrs import frozen

from facade.loop.thread_work import in_store_thread
from facade.rights.rights import Rights
from shared.stopping import is_set_within
from shared.structured_log import get_logger

LOOK_SECONDS: Final = 24 * 3600.0  # without a change: pulls may have written some
POLL_SECONDS: Final = 0.5  # until the database was read

_log = get_logger("facade.ended_rights")


@frozen
class EndedRights:
    """Removes the rights of access keys that serve no more."""

    _rights: Rights
    _serving: Callable[[], frozenset[str]]  # access keys
    _is_known: Callable[[], bool]  # whether the database was read whole, and can be verified
    _changed: asyncio.Event  # a connection did

    async def keep_ended(self) -> None:
        """End what serves no more, now and after each change, until cancelled."""
        while True:
            while not self._is_known():  # noqa: ASYNC110 - the feed tells nobody
                await asyncio.sleep(POLL_SECONDS)
            self._changed.clear()
            ended = await in_store_thread(self._rights.end_all_but, self._serving())
            if ended:
                _log.info("rights to read ended, their connections serve no more", count=ended)
            await is_set_within(self._changed, LOOK_SECONDS)
