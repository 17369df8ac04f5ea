"""The operations address: alive, ready and counted. Plain HTTP, never the device address."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web
from attrs import define

from facade.devices.device_trust import TrustStanding
from facade.loop_lag import LoopLag
from facade.metrics import CONTENT_TYPE, Metrics
from facade.statements.snapshot import Snapshot
from facade.statements.statement_feed import StatementFeed

_NEVER_READ: Final = -1


@define(eq=False)
class Readiness:
    """Whether the facade can do its work, and on what it stands."""

    _feed: StatementFeed
    _max_age_seconds: float
    _trust: Callable[[], TrustStanding]  # in devices
    listening: bool = False  # a restored snapshot is fresh before devices are let in
    draining: bool = False

    def staleness(self) -> str | None:
        """Return why the snapshot may not be stood on, or None."""
        age = self._feed.age_seconds()
        if age is None:
            return self._feed.problem or "the database was not read yet"
        if age > self._max_age_seconds:
            return f"the database was last read {int(age)} s ago, more than the limit"
        return None

    def age_seconds(self) -> float:
        """Return the snapshot's age, or -1 where the database was never read."""
        age = self._feed.age_seconds()
        return _NEVER_READ if age is None else age

    def problem(self) -> str | None:
        """Return why the facade is not ready, or None."""
        if self.draining:
            return "shutting down"
        if (stale := self.staleness()) is not None:
            return stale
        if not self.listening:
            return "not listening for devices yet"
        trust = self._trust()
        return None if trust.accepts_some else "; ".join(trust.problems)

    def standing(self) -> str:
        """Return what the facade stands on, in words."""
        age = self._feed.age_seconds() or 0.0
        words = f"following the database, compared {int(age)} s ago"
        if self._feed.problem is not None:
            words = f"serving the last snapshot, {int(age)} s old: {self._feed.problem}"
        elif not self._feed.is_notified:
            words += "; there is no LISTEN here, it is polled"
        if self._feed.state_problem is not None:
            words += f"; {self._feed.state_problem}, a restart would stand on older statements"
        return "; ".join([words, *self._trust().problems])

    def parts(self) -> dict[str, bool]:
        """Return the parts that metrics speak of, and whether each has a problem."""
        return {
            "database": self._feed.problem is not None,
            "state_folder": self._feed.state_problem is not None,
        }


def operations_app(
    readiness: Readiness, metrics: Metrics, snapshot: Snapshot, loop_lag: LoopLag
) -> web.Application:
    """Return the application of `/healthz`, `/readyz` and `/metrics`."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        problem = readiness.problem()
        if problem is not None:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=f"{problem}\n")
        return web.Response(text=f"ready: {readiness.standing()}\n")

    async def exposition(_: web.Request) -> web.Response:
        metrics.connections.set(snapshot.connection_count)
        metrics.snapshot_age.set(readiness.age_seconds())
        metrics.loop_lag.set(loop_lag.take_worst_seconds())
        for part, has_problem in readiness.parts().items():
            metrics.problem.labels(part).set(has_problem)
        return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", exposition)
    return app
