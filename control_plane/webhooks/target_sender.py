"""One target: reads what it is to be told, sends it, and notes up to where.

    audit log --read on from the position--> lanes --in flight--> sent
                                               ^        |
                                               +-failed-+

Only while this process has the lease is anything read or sent. `progress` knows up to where.
"""

import asyncio
import math
from datetime import datetime, timedelta
from typing import Final

from attrs import define, field

from control_plane.errors import ControlPlaneError
from control_plane.webhooks.approval_ends import LOOK_SECONDS, notices_due
from control_plane.webhooks.delivery import Delivered, Delivery, DeliveryOutcome
from control_plane.webhooks.entry_walk import event_at, read_on
from control_plane.webhooks.event import EventKind, WebhookEvent
from control_plane.webhooks.lanes import Lanes
from control_plane.webhooks.payload import event_of_gap
from control_plane.webhooks.position import EventGap, GapReason, TargetOff, gap_at
from control_plane.webhooks.progress import TargetProgress
from control_plane.webhooks.sender_resources import SenderResources
from control_plane.webhooks.standing import AfterFailure, TargetStanding
from control_plane.webhooks.waiting_event import EndNotice, GapNotice, LogEvent, WaitingEvent
from control_plane.webhooks.webhook_target import WebhookTarget
from shared.stopping import end_tasks
from shared.structured_log import get_logger

STEP_SECONDS: Final = 0.5  # between looks at the end of the log, which is in memory
DATABASE_RETRY_SECONDS: Final = 3.0  # `/readyz` says that the database is away
MAX_EVENT_AGE: Final = timedelta(days=30)  # what is older is not sent: nobody waits for it

_log = get_logger("control_plane.webhooks")


@define(eq=False)
class TargetSender:
    """Sends to one target."""

    target: WebhookTarget
    _resources: SenderResources
    standing: TargetStanding = field(factory=TargetStanding, init=False)
    _lanes: Lanes[WaitingEvent] = field(init=False)
    _progress: TargetProgress = field(init=False)
    _look_at_ends: float = field(default=-math.inf, init=False)
    _failing: dict[str, datetime] = field(factory=dict, init=False)  # by id: when it happened

    def __attrs_post_init__(self) -> None:
        """Begin with nothing."""
        self._lanes = Lanes(self._resources.monotonic)
        self._progress = TargetProgress(self.target, self._resources)
        self._resources.metrics.begin(self.target.name)

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
            self.target, proxy=self._resources.proxy, resources=self._resources.transport
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
        if not self._resources.lease.is_held:
            if not flying:
                self._rest()
            return STEP_SECONDS
        try:
            if self._progress.position is None:
                await self._begin()
            if self.standing.standing.is_off:
                await self._progress.save_if_due(self._lanes, self._off())
                return STEP_SECONDS
            await self._read()
            await self._progress.save_if_due(self._lanes, self._off())
        except ControlPlaneError as error:  # the database is away, or the log is refused
            _log.debug("webhooks wait", target=self.target.name, reason=str(error))
            return DATABASE_RETRY_SECONDS
        while (waiting := self._lanes.take()) is not None:
            flying.add(asyncio.create_task(self._try(delivery, waiting)))
        return min(STEP_SECONDS, self._lanes.seconds_until_next())

    def _rest(self) -> None:
        """Forget what waits, while another process may go on from the stored position."""
        if self._progress.position is not None:
            self._progress.rest(self._lanes, self._off())
            self._lanes = Lanes(self._resources.monotonic)
            self._failing.clear()

    # Reading

    async def _begin(self) -> None:
        """Have all wait again that waited when the position was stored or remembered."""
        beginning = await self._progress.begin()
        if beginning is None:
            return  # nothing ever happened here
        self.standing = self._standing_of(beginning.off)
        for each in beginning.waiting:
            self._lanes.put(each)

    def _standing_of(self, off: TargetOff | None) -> TargetStanding:
        """Return how the target stands: as it stood, unless somebody turned it on since."""
        if off is None or off.since <= self._resources.turned_on_at():
            return TargetStanding()
        return TargetStanding(off.standing, off.since)

    async def _read(self) -> None:
        position, chain = self._progress.position, self._resources.chain
        if position is None or not self._lanes.room:
            return
        if chain.log is None or chain.log.end != position.place:
            found = await read_on(chain, self.target, position.place, room=self._lanes.room)
            if found is not None:
                self._progress.go_on_to(found.place)
                if found.gap is not None:
                    self._note_gap(found.gap)
                for event in found.events:
                    self._lanes.put(event)
        await self._read_ends()

    async def _read_ends(self) -> None:
        now, ends = self._resources.monotonic(), self._progress.ends
        if ends is None or now < self._look_at_ends or not self._lanes.room:
            return
        self._look_at_ends = now + LOOK_SECONDS
        if not self.target.wants(EventKind.APPROVAL_ENDS):
            return
        notices, looked_until = await notices_due(
            self._resources.chain,
            self._resources.clock,
            self.target.name,
            after=ends,
            room=self._lanes.room,
        )
        self._progress.look_on_from(looked_until)
        for notice in notices:
            self._lanes.put(notice)

    def _note_gap(self, gap: EventGap) -> None:
        """Have the target told of entries whose events it is not sent."""
        for notice in self._progress.note_gap(gap):
            self._lanes.put(notice)

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
        began = self._resources.monotonic()
        try:
            delivered = await delivery.send(event, self._resources.clock())
        except BaseException:
            self._lanes.put_back(waiting)
            raise
        self._resources.metrics.attempted(
            self.target.name, delivered, self._resources.monotonic() - began
        )
        self._take(waiting, event, delivered)

    async def _event(self, waiting: WaitingEvent) -> WebhookEvent | None:
        """Return the event; None if it is not to be sent any more, which has been noted."""
        name, now = self.target.name, self._resources.clock()
        match waiting:
            case LogEvent():
                chain = self._resources.chain
                event = await event_at(chain.database, chain.signer, name, waiting)
                if event is not None and now - event.at <= MAX_EVENT_AGE:
                    return event
                self._lanes.not_sent(waiting)
                reason = GapReason.TOO_OLD if event else GapReason.ENTRY_NOT_BELIEVED
                self._note_gap(gap_at(waiting.place.sequence, reason))
                return None
            case EndNotice():
                return waiting.event
            case GapNotice():
                return event_of_gap(name, waiting.gap, waiting.noticed_at)

    def _take(self, waiting: WaitingEvent, event: WebhookEvent, delivered: Delivered) -> None:
        now = self._resources.clock()
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
            self._note_gap(gap_at(waiting.place.sequence, GapReason.GIVEN_UP))

    def _done(self, waiting: WaitingEvent, event: WebhookEvent) -> None:
        self._failing.pop(event.id, None)
        if isinstance(waiting, GapNotice):
            self._progress.told_of(waiting.gap)

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

    def _off(self) -> TargetOff | None:
        since = self.standing.off_since
        return TargetOff(self.standing.standing, since) if since is not None else None

    async def save(self) -> None:
        """Store up to where the target was told; raises what `Database` raises."""
        await self._progress.save(self._lanes, self._off())

    def _show(self) -> None:
        oldest = min((each.timestamp() for each in self._failing.values()), default=None)
        self._resources.metrics.show(
            self.target.name, len(self._lanes), oldest, self.standing.standing
        )


async def _landing(flying: set[asyncio.Task[None]], seconds: float) -> set[asyncio.Task[None]]:
    """Wait until something has landed, or for so long; raise what a try raised."""
    if not flying:
        await asyncio.sleep(seconds)
        return flying
    landed, still = await asyncio.wait(flying, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for each in landed:
        each.result()
    return still
