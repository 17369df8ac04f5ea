"""Tells one target of problems with the audit log: once a day while they last.

Nothing in the database is asked whether it was told: whoever may write there is the one whom such a
problem is about. So a restart tells again, with the same id.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from attrs import define, field

from control_plane.troubles import ControlPlanePart, Trouble
from control_plane.webhooks.delivery import Delivery
from control_plane.webhooks.event import EventKind
from control_plane.webhooks.lanes import Lanes
from control_plane.webhooks.payload import event_of_problem
from control_plane.webhooks.sender_resources import SenderResources
from control_plane.webhooks.waiting_event import ProblemNotice
from control_plane.webhooks.webhook_target import WebhookTarget
from shared.structured_log import get_logger

LOOK_SECONDS: Final = 1.0
MAX_TOLD: Final = 64  # ids of what was told lately; there are three parts, and a day
PARTS: Final = (
    ControlPlanePart.AUDIT_LOG,
    ControlPlanePart.HISTORY,
    ControlPlanePart.STATEMENT_KEYS,
)

_log = get_logger("control_plane.webhooks")


@define(eq=False)
class ProblemSender:
    """Sends problems to one target."""

    _target: WebhookTarget
    _resources: SenderResources
    _problems: Callable[[], Iterable[Trouble]]
    _told: dict[str, None] = field(factory=dict, init=False)  # in their order
    _lanes: Lanes[ProblemNotice] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with nothing."""
        self._lanes = Lanes(self._resources.monotonic)

    async def run(self) -> None:
        """Look and send until cancelled."""
        if not self._target.wants(EventKind.AUDIT_PROBLEM):
            await asyncio.get_running_loop().create_future()  # the file may change: then this ends
        async with Delivery.open(
            self._target, proxy=self._resources.proxy, resources=self._resources.transport
        ) as delivery:
            while True:
                self._look()
                while (notice := self._lanes.take()) is not None:
                    await self._try(delivery, notice)
                await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        now = self._resources.clock()
        for trouble in self._problems():
            if trouble.part not in PARTS or not self._lanes.room:
                continue
            # What stops acts has words of its own; the words of the others count what changes.
            kind = trouble.words if trouble.stops else trouble.kind
            event = event_of_problem(
                self._target.name, trouble.part.value, kind, trouble.words, now
            )
            if event.id not in self._told:
                self._told[event.id] = None
                self._lanes.put(ProblemNotice(event))
        while len(self._told) > MAX_TOLD:
            self._told.pop(next(iter(self._told)))

    async def _try(self, delivery: Delivery, notice: ProblemNotice) -> None:
        began = self._resources.monotonic()
        try:
            delivered = await delivery.send(notice.event, self._resources.clock())
        except BaseException:
            self._lanes.put_back(notice)
            raise
        self._resources.metrics.attempted(
            self._target.name, delivered, self._resources.monotonic() - began
        )
        if delivered.is_success:
            self._lanes.sent(notice)
            return
        self._lanes.failed(notice, delivered.retry_after)
        _log.warning(
            "webhook not delivered",
            target=self._target.name,
            kind=notice.event.kind,
            outcome=delivered.outcome,
            upstream_status=delivered.status,
            attempt=self._lanes.failures,
        )
