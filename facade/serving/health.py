"""The operations address: `/healthz`, `/readyz`, `/metrics`. Plain HTTP, never for devices."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from enum import Enum, auto
from http import HTTPStatus
from itertools import chain
from math import inf
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler
from attrs import define, field

from facade.approvals.refused_rows import WhyRefused
from facade.approvals.snapshot import Snapshot
from facade.approvals.statement_feed import StatementFeed
from facade.loop.loop_lag import LoopLag
from facade.loop.single_flight import SingleFlight
from facade.metrics.approval_metrics import ApprovalMetrics
from facade.metrics.metrics import FacadeMetrics
from facade.metrics.problems import FacadePart, Finding, Problem, Stops, ToldProblems, problem_of
from facade.serving.operations_connections import OperationsConnection
from facade.serving.operations_pace import OperationsPace
from facade.serving.servable import Servable
from shared.process_metrics import EXPOSITION_TYPE
from shared.supervised import Supervisor

METRICS_PATH: Final = "/metrics"

_NEVER_READ: Final = -1
# Each in its own lines.
_TOLD_BY_THEMSELVES: Final = (
    FacadePart.DATABASE,
    FacadePart.STATE_FOLDER,
    FacadePart.FILES,
    FacadePart.BACKGROUND,
)
_FROM_DATABASE: Final = (FacadePart.STATEMENTS, FacadePart.SEALING_KEY)


class Door(Enum):
    """What has become of the device address, in this order."""

    NOT_OPEN_YET = auto()  # a restored snapshot is fresh before devices are let in
    OPEN = auto()
    CLOSING = auto()


@define(eq=False)
class Readiness:
    """Whether the facade can do its work, and what that depends on.

    It is ready if it can serve anything at all, and says what is wrong with the rest.
    """

    _feed: StatementFeed
    _max_age_seconds: float
    servable: Servable
    _of_devices: Callable[[], Iterable[Problem]]  # what is wrong at the door
    _supervisor: Supervisor
    _door: Door = field(default=Door.NOT_OPEN_YET, init=False)
    _told: ToldProblems = field(factory=ToldProblems, init=False)

    def door_is(self, door: Door) -> None:
        """Take in what has become of the device address."""
        self._door = door

    def staleness(self) -> str | None:
        """Return why the snapshot may not be relied on, or None."""
        age = self._feed.age_seconds()
        if age is None:
            return self._feed.problem or "the database was not read yet"
        if age > self._max_age_seconds:
            return f"the database was last read {int(age)} s ago, more than the limit"
        return None

    def age_seconds(self) -> float:
        """Return the snapshot's age, or -1 if the database was never read."""
        age = self._feed.age_seconds()
        return _NEVER_READ if age is None else age

    def problem(self) -> str | None:
        """Return why the facade is not ready, and what else is wrong; None if it is ready."""
        if self._door is Door.CLOSING:
            return "shutting down"
        problems = list(self.problems())
        reasons = [each.words for each in problems if each.stops is Stops.ALL]
        if self._door is Door.NOT_OPEN_YET:
            reasons.append("not listening for devices yet")
        if not reasons:
            return None
        return "; ".join(
            [*reasons, *(each.words for each in problems if each.words not in reasons)]
        )

    def standing(self) -> str:
        """Return in words what the facade depends on, and what is wrong."""
        age = self._feed.age_seconds() or 0.0
        words = f"following the database, compared {int(age)} s ago"
        if self._feed.problem is not None:
            words = f"serving the last snapshot, {int(age)} s old: {self._feed.problem}"
        elif self._feed.is_flooded:
            words += "; there are too many notifications, it is polled"
        elif not self._feed.is_notified:
            words += "; there is no LISTEN here, it is polled"
        if unverified := self.servable.unverified:
            words += f"; {unverified} remembered statements are not verified yet"
        others = (each.words for each in self.problems() if each.part is not FacadePart.DATABASE)
        return "; ".join([words, *others])

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong, at most one problem of each part."""
        stale = self.staleness()
        if stale is not None:
            yield Problem(FacadePart.DATABASE, Stops.ALL, stale)
        elif self._feed.problem is not None:
            yield Problem(FacadePart.DATABASE, Stops.SOME, self._feed.problem)
        if (rights := self._feed.excess_rights) is not None:
            words = f"FACADE_DATABASE_URL: the login {rights}, and a facade's reads one view alone"
            todo = "give it a login of its own, IN ROLE registry_facade and in no other"
            yield Problem(FacadePart.DATABASE_LOGIN, Stops.NOTHING, f"{words}: {todo}", kind=rights)
        if (late := self._feed.lateness()) is not None:
            yield Problem(FacadePart.COMPARISON, Stops.SOME, late, kind="late")
        if (problem := self._feed.state_problem) is not None:
            words = f"{problem}, a restart would stand on older statements"
            yield Problem(FacadePart.STATE_FOLDER, Stops.SOME, words)
        yield from chain(self.servable.problems(), self._of_devices())
        failing = (Finding(Stops.SOME, words, words) for words in self._supervisor.problems())
        if (beside := problem_of(FacadePart.BACKGROUND, failing)) is not None:
            yield beside

    def tell(self) -> None:
        """Log what is wrong with parts that do not log it themselves, if that has changed.

        While the database is read for the first time, nobody knows yet what it contains.
        """
        untold = (
            _TOLD_BY_THEMSELVES
            if self._feed.state.was_tried
            else _TOLD_BY_THEMSELVES + _FROM_DATABASE
        )
        self._told.tell(each for each in self.problems() if each.part not in untold)


def operations_app(
    readiness: Readiness, metrics: FacadeMetrics, snapshot: Snapshot, loop_lag: LoopLag
) -> web.Application:
    """Return the application of `/healthz`, `/readyz` and `/metrics`."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        problem = readiness.problem()
        if problem is not None:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=f"{problem}\n")
        return web.Response(text=f"ready: {readiness.standing()}\n")

    pace, scrapes = OperationsPace(), SingleFlight[None, bytes]()

    @web.middleware
    async def paced(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.protocol
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep
        # Metrics may have to rest besides, so who waits for them gives way as others do.
        if isinstance(connection, OperationsConnection) and request.path != METRICS_PATH:
            pause = connection.pause
        await pace.until_due(pause)
        return await handler(request)

    async def exposition(_: web.Request) -> web.Response:
        # If several ask at once, it is made once.
        body = await scrapes.share(None, lambda: pace.scraped(scrape))
        return web.Response(body=body, headers={"Content-Type": EXPOSITION_TYPE})

    async def scrape() -> bytes:
        _show_approvals(metrics.approvals, readiness, snapshot)
        metrics.show_refused_credentials(readiness.servable.refused_credentials())
        metrics.loop_lag.set(loop_lag.take_worst_seconds())
        stopping = {each.part for each in readiness.problems() if each.stops is not Stops.NOTHING}
        for part in FacadePart:
            metrics.problem.labels(part).set(part in stopping)
        return await metrics.exposition_in_turns()

    app = web.Application(middlewares=[paced])
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get(METRICS_PATH, exposition)
    return app


def _show_approvals(metrics: ApprovalMetrics, readiness: Readiness, snapshot: Snapshot) -> None:
    census, refused_rows = readiness.servable.census(), snapshot.refused_rows
    next_end = census.next_end
    metrics.connections.set(census.serving)
    metrics.unverified_statements.set(snapshot.unverified)
    metrics.ended_approvals.set(census.ended)
    metrics.next_approval_end.set(inf if next_end is None else next_end.timestamp())
    metrics.approvals_ending_soon.set(census.ending_soon)
    metrics.unusable_secrets.set(census.unusable)
    for why in WhyRefused:
        counts = (refused_rows.of_connections, refused_rows.of_devices, refused_rows.beyond)
        metrics.refused_rows.labels(why).set(sum(each[why] for each in counts))
    metrics.vanished_connections.set(snapshot.remembered.vanished_connections)
    metrics.snapshot_age.set(readiness.age_seconds())
