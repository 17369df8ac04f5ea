"""One target: reads what it is to be told, sends it, and notes up to where.

    audit log --read on from the position--> lanes --in flight--> sent
                                               ^        |
                                               +-failed-+

Only while this process has the lease is anything read or sent. Whoever gets the lease begins at the
stored position, or at the one that it had itself, whichever is further on.
"""

import asyncio
import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from attrs import define, evolve, field, frozen

from control_plane.clock import Clock
from control_plane.errors import ControlPlaneError
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.signer import Verifier
from control_plane.webhooks.approval_ends import LOOK_SECONDS, EndsUntil, notices_due
from control_plane.webhooks.delivery import Delivered, Delivery, DeliveryOutcome
from control_plane.webhooks.entry_walk import event_at, read_on, waiting_events
from control_plane.webhooks.event import EventKind, WebhookEvent
from control_plane.webhooks.lanes import Lanes
from control_plane.webhooks.payload import event_of_gap
from control_plane.webhooks.position import (
    EventGap,
    GapReason,
    TargetOff,
    WebhookPosition,
    position_of,
    sign_position,
)
from control_plane.webhooks.sender_lease import SenderLease
from control_plane.webhooks.standing import AfterFailure, TargetStanding
from control_plane.webhooks.waiting_event import EndNotice, GapNotice, LogEvent, WaitingEvent
from control_plane.webhooks.webhook_metrics import WebhookMetrics
from control_plane.webhooks.webhook_store import fetch_position, put_position
from control_plane.webhooks.webhook_target import WebhookTarget
from shared.statement import StatementRefusedError, StoredStatement
from shared.stopping import end_tasks
from shared.structured_log import get_logger
from shared.upstream.proxy import OutboundProxy
from shared.upstream.transport import TransportMeans

STEP_SECONDS: Final = 0.5  # between looks at the end of the log, which is in memory
SAVE_SECONDS: Final = 1.0  # while events wait: what was sent since may be sent again after a kill
DATABASE_RETRY_SECONDS: Final = 3.0  # `/readyz` says that the database is away
ENDS_SAVED_EVERY: Final = timedelta(minutes=10)  # notices of ends that a kill may have sent again
MAX_EVENT_AGE: Final = timedelta(days=30)  # what is older is not sent: nobody waits for it

_log = get_logger("control_plane.webhooks")


@frozen(eq=False)
class SendingMeans:
    """What the senders of one process have in common."""

    chain: AuditChain
    clock: Clock
    lease: SenderLease
    metrics: WebhookMetrics
    proxy: OutboundProxy | None
    turned_on_at: Callable[[], datetime]  # when somebody last looked after the targets
    transport: TransportMeans = field(factory=TransportMeans)
    monotonic: Callable[[], float] = time.monotonic


@define(eq=False)
class TargetSender:
    """Sends to one target."""

    target: WebhookTarget
    _means: SendingMeans
    standing: TargetStanding = field(factory=TargetStanding, init=False)
    _lanes: Lanes[WaitingEvent] = field(init=False)
    _position: WebhookPosition | None = field(default=None, init=False)  # but for what waits
    _remembered: WebhookPosition | None = field(default=None, init=False)  # from the last lease
    _ends: EndsUntil | None = field(default=None, init=False)
    _look_at_ends: float = field(default=-math.inf, init=False)
    _saved: WebhookPosition | None = field(default=None, init=False)
    _save_at: float = field(default=-math.inf, init=False)
    _failing: dict[str, datetime] = field(factory=dict, init=False)  # by id: when it happened

    def __attrs_post_init__(self) -> None:
        """Begin with nothing."""
        self._lanes = Lanes(self._means.monotonic)
        self._means.metrics.begin(self.target.name)

    @property
    def failures(self) -> int:
        """How many tries failed since the last success."""
        return self._lanes.failures

    def turn_on(self) -> None:
        """Have the target tried again at once, also if it is off."""
        if self.standing.standing.is_off:
            self.standing = TargetStanding()
        self._lanes.retry_at_once()

    async def run(self) -> None:
        """Read and send until cancelled; raises what nobody foresaw, and may be run again."""
        self._rest()
        async with Delivery.open(
            self.target, proxy=self._means.proxy, means=self._means.transport
        ) as delivery:
            flying = set[asyncio.Task[None]]()
            try:
                while True:
                    pause = await self._step(delivery, flying)
                    flying = await _landing(flying, pause)
            finally:
                await end_tasks(*flying)

    async def _step(self, delivery: Delivery, flying: set[asyncio.Task[None]]) -> float:
        """Do what can be done now; return for how long there may be nothing to do."""
        self._show()
        if not self._means.lease.is_held:
            if not flying:
                self._rest()
            return STEP_SECONDS
        try:
            if self._position is None:
                await self._begin()
            if self.standing.standing.is_off:
                await self._save_if_due()
                return STEP_SECONDS
            await self._read()
            await self._save_if_due()
        except ControlPlaneError as error:  # the database is away, or the log is refused
            _log.debug("webhooks wait", target=self.target.name, reason=str(error))
            return DATABASE_RETRY_SECONDS
        while (waiting := self._lanes.take()) is not None:
            flying.add(asyncio.create_task(self._try(delivery, waiting)))
        return min(STEP_SECONDS, self._lanes.seconds_until_next())

    def _rest(self) -> None:
        """Remember the position, while another process may go on from the stored one."""
        if self._position is not None:
            self._remembered = self._current()
            self._position, self._lanes = None, Lanes(self._means.monotonic)
            self._failing.clear()

    # From where

    async def _begin(self) -> None:
        """Go on from the stored position or the remembered one; without any, from now."""
        database, signer = self._means.chain.database, self._means.chain.signer
        stored = await fetch_position(database, self.target.name)
        position, reason = _believed(stored, self.target.name, signer)
        found = [each for each in (position, self._remembered) if each is not None]
        if not found:
            found = await self._from_now(reason)
        if not found:
            return
        position = max(found, key=_progress)
        events, missing = await waiting_events(
            database, signer, self.target, position.waiting_places
        )
        for place in missing:
            position = position.with_gap(_gap_at(place.sequence, GapReason.ENTRY_NOT_BELIEVED))
        self.standing = self._standing_of(position.off)
        self._position = evolve(position, waiting={}, off=None)
        self._ends, self._saved = EndsUntil(position.ends_until), None
        for gap in position.gaps:
            self._lanes.put(GapNotice(gap, self._means.clock()))
        for event in events:
            self._lanes.put(event)

    def _standing_of(self, off: TargetOff | None) -> TargetStanding:
        """Return how the target stands: as it stood, unless somebody turned it on since."""
        if off is None or off.since <= self._means.turned_on_at():
            return TargetStanding()
        return TargetStanding(off.standing, off.since)

    async def _from_now(self, reason: GapReason) -> list[WebhookPosition]:
        end = (await self._means.chain.loaded()).end
        if not end.sequence:
            return []  # nothing ever happened here
        gap = EventGap(0, end.sequence, reason)
        _log.info("webhook target begins", target=self.target.name, reason=reason.value)
        self._means.metrics.skipped(self.target.name)
        position = WebhookPosition(self.target.name, end.sequence, end.hash, self._means.clock())
        return [position.with_gap(gap)]

    async def _read(self) -> None:
        position, chain = self._position, self._means.chain
        if position is None or not self._lanes.room:
            return
        if chain.log is None or chain.log.end != position.place:
            found = await read_on(chain, self.target, position.place, room=self._lanes.room)
            if found is not None:
                place = found.place
                self._position = evolve(position, sequence=place.sequence, entry=place.hash)
                if found.gap is not None:
                    self._note_gap(found.gap)
                for event in found.events:
                    self._lanes.put(event)
        await self._read_ends()

    async def _read_ends(self) -> None:
        now = self._means.monotonic()
        if self._ends is None or now < self._look_at_ends or not self._lanes.room:
            return
        self._look_at_ends = now + LOOK_SECONDS
        if not self.target.wants(EventKind.APPROVAL_ENDS):
            return
        notices, self._ends = await notices_due(
            self._means.chain,
            self._means.clock,
            self.target.name,
            after=self._ends,
            room=self._lanes.room,
        )
        for notice in notices:
            self._lanes.put(notice)

    def _note_gap(self, gap: EventGap) -> None:
        """Have the target told of entries whose events it is not sent."""
        if self._position is None:
            return
        before = self._position.gaps
        self._position = self._position.with_gap(gap)
        self._means.metrics.skipped(self.target.name)
        _log.warning(
            "webhook events are not sent",
            target=self.target.name,
            reason=gap.reason.value,
            offset=gap.up_to,
        )
        for each in self._position.gaps:
            if each not in before:
                self._lanes.put(GapNotice(each, self._means.clock()))

    # Sending

    async def _try(self, delivery: Delivery, waiting: WaitingEvent) -> None:
        """Send what is in flight once, and take what comes of it."""
        try:
            event = await self._event(waiting)
        except ControlPlaneError:  # the database is away
            try:
                await asyncio.sleep(DATABASE_RETRY_SECONDS)
            finally:
                self._lanes.put_back(waiting)
            return
        except BaseException:
            self._lanes.put_back(waiting)
            raise
        if event is None:
            return
        began = self._means.monotonic()
        try:
            delivered = await delivery.send(event, self._means.clock())
        except BaseException:
            self._lanes.put_back(waiting)
            raise
        self._means.metrics.attempted(self.target.name, delivered, self._means.monotonic() - began)
        self._take(waiting, event, delivered)

    async def _event(self, waiting: WaitingEvent) -> WebhookEvent | None:
        """Return the event; None if it is not to be sent any more, which has been noted."""
        name, now = self.target.name, self._means.clock()
        match waiting:
            case LogEvent():
                chain = self._means.chain
                event = await event_at(chain.database, chain.signer, name, waiting)
                if event is not None and now - event.at <= MAX_EVENT_AGE:
                    return event
                self._lanes.not_sent(waiting)
                reason = GapReason.TOO_OLD if event else GapReason.ENTRY_NOT_BELIEVED
                self._note_gap(_gap_at(waiting.place.sequence, reason))
                return None
            case EndNotice():
                return waiting.event
            case GapNotice():
                return event_of_gap(name, waiting.gap, waiting.noticed_at)

    def _take(self, waiting: WaitingEvent, event: WebhookEvent, delivered: Delivered) -> None:
        now = self._means.clock()
        if delivered.is_success:
            self.standing.succeeded(now)
            self._done(waiting, event)
            self._lanes.sent(waiting)
            return
        self._failing[event.id] = event.at
        self._lanes.failed(waiting, delivered.retry_after)
        if delivered.outcome is DeliveryOutcome.GONE:
            what = self.standing.gone(now)
        else:
            what = self.standing.failed(now, event.at, self._lanes.failures)
        self._tell_of_failure(event, delivered, what)
        if what is AfterFailure.GIVEN_UP:
            self._give_up(waiting, event)

    def _give_up(self, waiting: WaitingEvent, event: WebhookEvent) -> None:
        self._done(waiting, event)
        self._lanes.drop(waiting)
        if isinstance(waiting, LogEvent):
            self._note_gap(_gap_at(waiting.place.sequence, GapReason.GIVEN_UP))

    def _done(self, waiting: WaitingEvent, event: WebhookEvent) -> None:
        self._failing.pop(event.id, None)
        if isinstance(waiting, GapNotice) and self._position is not None:
            self._position = self._position.without_gap(waiting.gap)

    def _tell_of_failure(
        self, event: WebhookEvent, delivered: Delivered, what: AfterFailure
    ) -> None:
        _log.warning(
            "webhook not delivered",
            target=self.target.name,
            kind=event.kind,
            outcome=delivered.outcome,
            upstream_status=delivered.status,
            attempt=self._lanes.failures,
            action=what.value,
        )

    # Up to where

    def _current(self) -> WebhookPosition | None:
        """Return the position with all that waits."""
        position, ends = self._position, self._ends
        if position is None or ends is None:
            return None
        waiting = {
            str(each.place.sequence): each.place.hash
            for each in self._lanes
            if isinstance(each, LogEvent)
        }
        dues = [each.due for each in self._lanes if isinstance(each, EndNotice)]
        until = min((*dues, ends.due))
        return evolve(position, waiting=waiting, ends_until=until, off=self._off())

    def _off(self) -> TargetOff | None:
        since = self.standing.off_since
        return TargetOff(self.standing.standing, since) if since is not None else None

    async def _save_if_due(self) -> None:
        if not len(self._lanes) or self._means.monotonic() >= self._save_at:
            await self.save()

    async def save(self) -> None:
        """Store the position if it has changed; raises what `Database` raises.

        Without the lease nothing is stored: another process may be further on.
        """
        current = self._current()
        is_held = self._means.lease.is_held
        if current is None or not is_held or _is_same(current, self._saved):
            return
        self._save_at = self._means.monotonic() + SAVE_SECONDS
        signed = sign_position(current, self._means.chain.signer)
        await put_position(self._means.chain.database, self.target.name, signed)
        self._saved = current

    def _show(self) -> None:
        oldest = min((each.timestamp() for each in self._failing.values()), default=None)
        self._means.metrics.show(self.target.name, len(self._lanes), oldest, self.standing.standing)


async def _landing(flying: set[asyncio.Task[None]], seconds: float) -> set[asyncio.Task[None]]:
    """Wait until something has landed, or for so long; raise what a try raised."""
    if not flying:
        await asyncio.sleep(seconds)
        return flying
    landed, still = await asyncio.wait(flying, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for each in landed:
        each.result()
    return still


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


def _gap_at(sequence: int, reason: GapReason) -> EventGap:
    return EventGap(sequence - 1, sequence, reason)
