"""The control plane under a hundred mixed calls a second, while its Postgres is killed and started.

A call is answered with what it did, or with a 503 that says when to come again. What was answered
with a 503 happened whole or not at all.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any, Final

import aiohttp
import orjson
import pytest
import uvloop
from attrs import define, field, frozen

from deploy.dev.postgres import Postgres
from tests.faults.report import FaultReport
from tests.support.both_processes import start_control_plane
from tests.support.control_plane import ControlPlane
from tests.support.facade_database import FacadeDatabase

CALLS_PER_SECOND: Final = 100
SECONDS: Final = 60
KILLED_AT: Final = (10.0, 25.0, 40.0)  # seconds after the beginning
AWAY_SECONDS: Final = 2.0
CONNECTIONS: Final = 100  # an address may have 128 of them (MAX_CONNECTIONS_OF_SITE)
ANSWER_SECONDS: Final = 120.0  # on a machine that does much else
READY_SECONDS: Final = 60.0
WRITES: Final = ("connect", "edit", "approve", "describe", "revoke device")
MIX: Final = ("list", "list", "show", "show", "show", "audit", "me", "history", *WRITES)
ALL: Final = "/v1/connections"


@frozen
class Answered:
    """A call, and how it ended."""

    kind: str
    status: int
    seconds: float  # since it was due
    sent_seconds: float  # since it was sent: without waiting for one of the client's connections
    began: float  # after the beginning
    retry_after: str | None
    json: Any


@frozen
class Sent:
    """An answer, and how long it took on the wire."""

    status: int
    retry_after: str | None
    json: Any
    seconds: float


@define
class Load:
    """Calls the API as people and scripts do, and remembers what was promised."""

    plane: ControlPlane
    session: aiohttp.ClientSession = field(init=False)
    slots: asyncio.Semaphore = field(init=False)
    dice: Random = field(factory=lambda: Random(18))  # noqa: S311 - no secret
    made: dict[str, dict[str, Any]] = field(factory=dict)  # connections by id, as they were shown
    asked_hosts: set[str] = field(factory=set)
    answers: list[Answered] = field(factory=list)

    def run(self, seconds: float) -> None:
        """Call for so long, on a loop of its own: the caller's may block meanwhile."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run(seconds))

    async def _run(self, seconds: float) -> None:
        async with self.connected():
            await self._begin_calls(seconds)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Have connections on this loop."""
        self.slots = asyncio.Semaphore(CONNECTIONS)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=ANSWER_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as self.session:
            yield

    async def _begin_calls(self, seconds: float) -> None:
        """Begin so many calls a second, whether those before are answered or not."""
        began, calls = time.monotonic(), list[asyncio.Task[None]]()
        for number in range(int(seconds * CALLS_PER_SECOND)):
            await asyncio.sleep(max(0.0, began + number / CALLS_PER_SECOND - time.monotonic()))
            kind = self.dice.choice(MIX) if self.made else "connect"
            calls.append(asyncio.create_task(self._call(kind, number, began)))
        await asyncio.gather(*calls)

    async def _call(self, kind: str, number: int, began: float) -> None:
        at = time.monotonic()
        sent = await self._answer(kind, number)
        seconds, json = time.monotonic() - at, sent.json
        self.answers.append(
            Answered(kind, sent.status, seconds, sent.seconds, at - began, sent.retry_after, json)
        )
        if sent.status in {200, 201} and kind in WRITES and "fingerprint" in json:
            self.made[json["id"]] = json

    async def _answer(self, kind: str, number: int) -> Sent:
        view = self.dice.choice([*self.made.values()]) if self.made else {}
        one = f"{ALL}/{view.get('id')}"
        seen = (view.get("draft") or view).get("fingerprint")
        device = {"device": f"press-{number}"}
        asked: dict[str, tuple[str, str, str, object]] = {
            "list": ("eve", "GET", f"{ALL}?limit=20", None),
            "show": ("eve", "GET", one, None),
            "history": ("eve", "GET", f"{one}/history?limit=5", None),
            "audit": ("eve", "GET", "/v1/audit?limit=20", None),
            "me": ("eve", "GET", "/v1/me", None),
            "edit": ("alice", "PATCH", one, {"fleets": [f"line-{number}"]}),
            "describe": ("alice", "PATCH", one, {"description": f"press {number}"}),
            "approve": ("bob", "POST", f"{one}/approve", {"fingerprint": seen}),
            "revoke device": ("bob", "POST", "/v1/device-revocations", device),
        }
        if kind in asked:
            return await self.call(*asked[kind])
        host = f"registry-{number}.example"
        self.asked_hosts.add(host)
        body = {"host": host, "provider": "static", "username": "robot", "token": "canary"}
        return await self.call("alice", "POST", f"{ALL}?check=false", body)

    async def call(self, name: str, method: str, path: str, body: object = None) -> Sent:
        """Return an answer."""
        headers = {"Authorization": f"Bearer {self.plane.tokens[name]}"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = BytesIO(orjson.dumps(body))
        async with self.slots:
            sent_at = time.monotonic()
            async with self.session.request(
                method, f"{self.plane.url}{path}", data=content, headers=headers
            ) as answer:
                json = orjson.loads(await answer.read())
                retry_after = answer.headers.get("Retry-After")
                return Sent(answer.status, retry_after, json, time.monotonic() - sent_at)


@pytest.fixture
async def load(
    mortal: Postgres, mortal_database: FacadeDatabase, tmp_path: Path
) -> AsyncIterator[Load]:
    """What calls a control plane whose Postgres may be killed."""
    plane = await start_control_plane(mortal, mortal_database, tmp_path / "plane")
    yield Load(plane)
    plane.stop()


@pytest.mark.long
async def test_postgres_is_killed_and_started_under_a_hundred_calls_a_second(
    mortal: Postgres, load: Load, fault_report: FaultReport
) -> None:
    """Answers or clear 503s, no other failure, and nothing half-written."""
    killed = list[tuple[float, float]]()
    began, calling = time.monotonic(), asyncio.create_task(asyncio.to_thread(load.run, SECONDS))
    for at in KILLED_AT:
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        gone = time.monotonic() - began
        mortal.kill()
        await asyncio.sleep(AWAY_SECONDS)
        mortal.start()
        killed.append((gone, time.monotonic() - began))
    await calling
    statuses = Counter(answer.status for answer in load.answers)
    assert len(load.answers) == SECONDS * CALLS_PER_SECOND
    assert set(statuses) <= {200, 201, 409, 503}, statuses
    assert statuses[503], "the fault never struck"
    refused = [answer for answer in load.answers if answer.status == 503]
    assert {answer.retry_after for answer in refused} == {"5"}
    assert {answer.json["title"] for answer in refused} == {"Service Unavailable"}
    conflicts = [each for each in load.answers if each.status == 409]
    assert {each.kind for each in conflicts} <= {"approve", "edit"}
    async with load.connected():
        await require_whole(load)
    quiet = [each for each in load.answers if not any(a <= each.began <= b for a, b in killed)]
    reads = [each.sent_seconds for each in quiet if each.kind not in WRITES]
    writes = [each.sent_seconds for each in quiet if each.kind in WRITES]
    every = fault_report.distribution(
        f"API, {CALLS_PER_SECOND} calls/s, Postgres killed: since due",
        [each.seconds for each in load.answers],
    )
    fault_report.distribution("the same, since sent", [each.sent_seconds for each in load.answers])
    fault_report.distribution("of them, reads while Postgres was there", reads)
    fault_report.distribution("of them, acts while Postgres was there", writes)
    fault_report.row(
        f"Postgres killed {len(KILLED_AT)} times under {CALLS_PER_SECOND} calls/s on the API",
        f"nothing; an operator {statuses[503]} times 503 of {len(load.answers)}",
        f"by itself; nothing half-written; p99 {every.p99:.0f} ms",
    )


async def require_whole(load: Load) -> None:
    """Fail unless what was answered is there, and the log proves all that is there."""
    await load.plane.wait_until_ready()
    await asyncio.to_thread(load.plane.run, "audit", "verify")
    found = {each["id"]: each async for each in items(load, "eve", ALL)}
    assert load.made.keys() <= found.keys()
    assert {each["host"] for each in found.values()} <= load.asked_hosts
    assert {each["problem"] for each in found.values()} == {None}
    revoked = {
        answer.json["device"]
        for answer in load.answers
        if answer.kind == "revoke device" and answer.status == 201
    }
    listed = {each["device"] async for each in items(load, "bob", "/v1/device-revocations")}
    assert revoked <= listed


async def items(load: Load, name: str, path: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the items of a list, page by page."""
    cursor: str | None = ""
    while cursor is not None:
        query = f"?limit=200&cursor={cursor}" if cursor else "?limit=200"
        page = await load.call(name, "GET", f"{path}{query}")
        assert page.status == 200
        for each in page.json["items"]:
            yield each
        cursor = page.json["next_cursor"]
