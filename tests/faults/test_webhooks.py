"""Control planes and a receiver of webhooks are killed again and again: every event arrives."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from attrs import define, field

from control_plane.webhooks.event import KIND_OF_ACTION, event_id
from tests.faults.extent import extent
from tests.faults.report import FaultReport
from tests.support.control_plane import LOGIN_PASSWORD, LOGIN_ROLE, ControlPlane, KeyFiles
from tests.support.database import Database
from tests.support.eventually import eventually
from tests.support.simulators.webhook_receiver import (
    ReceivedWebhook,
    WebhookReceiver,
    write_targets,
)
from tests.system.control_plane.conftest import (  # noqa: F401 - the same databases and keys
    database,
    keys,
    template,
)

SEED: Final = 20261129
FAULTS: Final = ("kill", "stop", "receiver", "errors", "resets", "nothing")


@define
class Installation:
    """Two control planes on one database, one receiver, and who acts on them."""

    planes: list[ControlPlane]
    receiver: WebhookReceiver
    chance: random.Random = field(factory=lambda: random.Random(SEED))  # noqa: S311 - repeatable
    made: list[dict[str, object]] = field(factory=list)
    acts: int = 0

    async def act(self) -> None:
        """Do something at a control plane that answers; what failed may have been done."""
        plane = self.chance.choice(self.planes)
        with suppress(AssertionError, aiohttp.ClientError, OSError):
            if self.made and self.chance.random() < 0.6:
                view = self.chance.choice(self.made)
                await plane.client("bob").approve(await plane.client("bob").show(str(view["id"])))
                await plane.client("alice").edit(
                    str(view["id"]), description=str(self.acts), repositories=[f"a/b{self.acts}"]
                )
            else:
                host = f"host-{len(self.made)}-{self.acts}.example"
                self.made.append(await plane.client("alice").connect(host))
        self.acts += 1

    async def strike(self) -> None:
        """Have one fault happen, while acts go on, and be over."""
        fault = self.chance.choice(FAULTS)
        plane = self.chance.choice(self.planes)
        match fault:
            case "kill" | "stop":
                plane.stop(signal.SIGKILL if fault == "kill" else signal.SIGTERM)
            case "receiver":
                await self.receiver.stop()
            case "errors":
                self.receiver.answer = lambda _: self.chance.choice([204, 500, 503, 429])
            case "resets":
                self.receiver.answer = self._sometimes_nothing
        for _ in range(4):
            await self.act()
            await asyncio.sleep(self.chance.uniform(0, 0.5))
        if fault in {"kill", "stop"}:
            plane.start_again()
            await plane.wait_until_ready()
        if fault == "receiver":
            await self.receiver.start()
        self.receiver.answer = lambda _: 204

    def _sometimes_nothing(self, _: ReceivedWebhook) -> int | None:
        return self.chance.choice([204, None])

    async def told(self) -> dict[str, list[str]]:
        """Return what the log says that the target is to be told, by what it is about."""
        wanted = dict[str, list[str]]()
        after = 0
        while True:
            answer = await self.planes[0].client("eve").call("GET", f"/v1/audit?after={after}")
            for entry in answer.json["items"]:
                kind = KIND_OF_ACTION.get(entry["action"])
                if kind is not None:
                    ids = wanted.setdefault(entry["about"], [])
                    ids.append(event_id("pager", kind, entry["hash"]))
                after = entry["sequence"]
            if answer.json["next_cursor"] is None:
                return wanted

    @property
    def received(self) -> dict[str, list[str]]:
        """Return the ids that the receiver has, each at its first time, by what they are about."""
        found = dict[str, list[str]]()
        for each in self.receiver.once:
            if each.kind.startswith("connection."):
                found.setdefault(each.about, []).append(each.id)
        return found


@pytest.fixture
async def installation(
    database: Database,  # noqa: F811 - the fixture of that name
    keys: KeyFiles,  # noqa: F811 - the fixture of that name
    tmp_path: Path,
) -> AsyncIterator[Installation]:
    """Yield one whose target was told that it begins."""
    file, planes = tmp_path / "webhooks.yaml", list[ControlPlane]()
    async with WebhookReceiver.open() as receiver:
        write_targets(file, receiver.target("pager"))
        for name in ("first", "second"):
            folder = tmp_path / name
            folder.mkdir()
            planes.append(
                await ControlPlane.start(
                    folder,
                    owner_url=database.superuser_url,
                    url=database.url(LOGIN_ROLE, LOGIN_PASSWORD),
                    keys=keys,
                    environment={"CONTROL_PLANE_WEBHOOKS_FILE": str(file)},
                    tokens=planes[0].tokens if planes else None,
                )
            )
        await eventually(lambda: receiver.kinds == ["webhook.gap"])
        yield Installation(planes, receiver)
        for plane in planes:
            plane.stop()


@pytest.mark.long
async def test_every_event_arrives_in_order_through_kills_of_both_sides(
    installation: Installation, fault_report: FaultReport
) -> None:
    """At least once, verified, and nothing else."""
    for _ in range(extent(8, 40)):
        await installation.strike()
    wanted = await installation.told()
    await eventually(lambda: installation.received == wanted, seconds=240)
    receiver = installation.receiver
    assert receiver.refused == []
    assert receiver.of("webhook.gap")[1:] == []
    repeats = len(receiver.received) - len(receiver.once)
    events = sum(map(len, wanted.values()))
    fault_report.row(
        f"control planes and the receiver of webhooks killed or failing; {events} events",
        f"each once and in order, {repeats} of them again",
        "by itself",
    )
