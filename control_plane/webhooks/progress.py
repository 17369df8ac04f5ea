"""Up to where one target was told: as this process knows it, and as it is stored.

Whoever gets the lease begins at the stored position, or at the one that it had itself, whichever is
further on; without any, at the end of the log, and the target is told of the gap. Only whoever has
the lease stores a position: another process may be further on.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from attrs import define, evolve, field, frozen

from control_plane.proof.signed_log import Place
from control_plane.proof.signer import Verifier
from control_plane.webhooks.approval_ends import EndsUntil
from control_plane.webhooks.entry_walk import waiting_events
from control_plane.webhooks.position import (
    EventGap,
    GapReason,
    TargetOff,
    WebhookPosition,
    gap_at,
    position_of,
    sign_position,
)
from control_plane.webhooks.sender_resources import SenderResources
from control_plane.webhooks.waiting_event import EndNotice, GapNotice, LogEvent, WaitingEvent
from control_plane.webhooks.webhook_store import fetch_position, put_position
from control_plane.webhooks.webhook_target import WebhookTarget
from shared.statement import StatementRefusedError, StoredStatement
from shared.structured_log import get_logger

SAVE_SECONDS: Final = 1.0  # while events wait: what was sent since may be sent again after a kill
ENDS_SAVED_EVERY: Final = timedelta(minutes=10)  # notices of ends that a kill may have sent again

_log = get_logger("control_plane.webhooks")


@frozen
class TargetBeginning:
    """Where a target's sender goes on."""

    waiting: tuple[WaitingEvent, ...]  # in the order in which they are sent
    off: TargetOff | None  # how the target stood


@define(eq=False)
class TargetProgress:
    """The progress of one target. What waits is the sender's, and is passed in."""

    _target: WebhookTarget
    _resources: SenderResources
    # Without what waits; None: this process sends nothing.
    position: WebhookPosition | None = field(default=None, init=False)
    ends: EndsUntil | None = field(default=None, init=False)
    _remembered: WebhookPosition | None = field(default=None, init=False)  # from the last lease
    _saved: WebhookPosition | None = field(default=None, init=False)
    _save_at: float = field(default=-math.inf, init=False)

    async def begin(self) -> TargetBeginning | None:
        """Go on from the stored position or the remembered one; without any, from now.

        None if the log is empty. Raises what `Database` raises.
        """
        database, signer = self._resources.chain.database, self._resources.chain.signer
        stored = await fetch_position(database, self._target.name)
        position, reason = _believed(stored, self._target.name, signer)
        found = [each for each in (position, self._remembered) if each is not None]
        if not found:
            found = await self._from_now(reason)
        if not found:
            return None
        position = max(found, key=_progress)
        events, missing = await waiting_events(
            database, signer, self._target, position.waiting_places
        )
        for place in missing:
            position = position.with_gap(gap_at(place.sequence, GapReason.ENTRY_NOT_BELIEVED))
        self.position = evolve(position, waiting={}, off=None)
        self.ends, self._saved = EndsUntil(position.ends_until), None
        gaps = (GapNotice(gap, self._resources.clock()) for gap in position.gaps)
        return TargetBeginning((*gaps, *events), position.off)

    def rest(self, waiting: Iterable[WaitingEvent], off: TargetOff | None) -> None:
        """Remember the position with all that waits, and send nothing from now on."""
        self._remembered = self._whole(waiting, off)
        self.position = None

    def go_on_to(self, place: Place) -> None:
        """Note that all entries up to a place were read."""
        if self.position is not None:
            self.position = evolve(self.position, sequence=place.sequence, entry=place.hash)

    def look_on_from(self, ends: EndsUntil) -> None:
        """Note up to where the ends of approvals were looked through."""
        self.ends = ends

    def note_gap(self, gap: EventGap) -> list[GapNotice]:
        """Note entries whose events are not sent; return what the target is to be told of it."""
        if self.position is None:
            return []
        before = self.position.gaps
        self.position = self.position.with_gap(gap)
        self._resources.metrics.skipped(self._target.name)
        _log.warning(
            "webhook events are not sent",
            target=self._target.name,
            reason=gap.reason.value,
            offset=gap.up_to,
        )
        now = self._resources.clock()
        return [GapNotice(each, now) for each in self.position.gaps if each not in before]

    def told_of(self, gap: EventGap) -> None:
        """Note that the target was told of a gap."""
        if self.position is not None:
            self.position = self.position.without_gap(gap)

    async def save_if_due(self, waiting: Iterable[WaitingEvent], off: TargetOff | None) -> None:
        """Store the position if nothing waits, or some time after the last time."""
        waiting = list(waiting)
        if not waiting or self._resources.monotonic() >= self._save_at:
            await self.save(waiting, off)

    async def save(self, waiting: Iterable[WaitingEvent], off: TargetOff | None) -> None:
        """Store the position if it has changed and this process has the lease.

        Raises what `Database` raises.
        """
        whole = self._whole(waiting, off)
        if whole is None or not self._resources.lease.is_held or _is_same(whole, self._saved):
            return
        self._save_at = self._resources.monotonic() + SAVE_SECONDS
        signed = sign_position(whole, self._resources.chain.signer)
        await put_position(self._resources.chain.database, self._target.name, signed)
        self._saved = whole

    async def _from_now(self, reason: GapReason) -> list[WebhookPosition]:
        end = (await self._resources.chain.loaded()).end
        if not end.sequence:
            return []  # nothing ever happened here
        gap = EventGap(0, end.sequence, reason)
        _log.info("webhook target begins", target=self._target.name, reason=reason.value)
        self._resources.metrics.skipped(self._target.name)
        position = WebhookPosition(
            self._target.name, end.sequence, end.hash, self._resources.clock()
        )
        return [position.with_gap(gap)]

    def _whole(
        self, waiting: Iterable[WaitingEvent], off: TargetOff | None
    ) -> WebhookPosition | None:
        """Return the position with all that waits."""
        position, ends = self.position, self.ends
        if position is None or ends is None:
            return None
        waiting = list(waiting)
        entries = {
            str(each.place.sequence): each.place.hash
            for each in waiting
            if isinstance(each, LogEvent)
        }
        dues = [each.due for each in waiting if isinstance(each, EndNotice)]
        until = min((*dues, ends.due))
        return evolve(position, waiting=entries, ends_until=until, off=off)


def _believed(
    stored: StoredStatement | None, target: str, verifier: Verifier
) -> tuple[WebhookPosition | None, GapReason]:
    """Return the stored position, or why there is none."""
    if stored is None:
        return None, GapReason.NEW
    try:
        return position_of(stored, target, verifier), GapReason.NEW
    except StatementRefusedError as error:
        _log.warning("webhook position not believed", target=target, reason=str(error))
        return None, GapReason.NOT_BELIEVED


def _progress(position: WebhookPosition) -> tuple[int, datetime, int]:
    return position.sequence, position.ends_until, -len(position.waiting)


def _is_same(current: WebhookPosition, saved: WebhookPosition | None) -> bool:
    """Tell whether a restart would send the same: time that passed alone is not worth a write."""
    if saved is None or current.ends_until - saved.ends_until > ENDS_SAVED_EVERY:
        return False
    return evolve(current, ends_until=saved.ends_until) == saved
