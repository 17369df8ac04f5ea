"""The control plane and its commands: what an act, a list and a verification cost as they grow."""

import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import pytest

from control_plane.audit.log_reading import verify_log
from control_plane.audit.verifying import ALONE_ENVELOPES
from control_plane.clock import now
from control_plane.connections.filter import ConnectionFilter
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.state import Status
from control_plane.device_revocations.acts import DeviceRevocations
from control_plane.device_revocations.request import RevocationRequest, RevocationTarget
from control_plane.proof.acts import Acts
from control_plane.proof.history import History
from deploy.dev.postgres import Postgres
from shared.connection import Provider
from tests.growth.measured import Growth, Sizes
from tests.support.child_memory import peak_bytes
from tests.support.control_plane import copy_of, make_template
from tests.support.counted_acts import Scene, scene_at
from tests.support.postgres_trips import counting_trips
from tests.support.signed_installation import BOB
from tests.support.simulators.admin_api import AdminApi

CONNECTIONS: Final = Sizes(small=(20, 40, 80), full=(100, 1_000, 10_000))
REVOCATIONS: Final = Sizes(small=(25, 50, 100), full=(100, 1_000, 10_000))
ENTRIES: Final = Sizes(small=(200, 400, 800), full=(1_000, 10_000, 100_000))
LISTED: Final = Sizes(small=(400, 800, 1_600), full=(1_000, 10_000, 100_000))
_WAITING: Final = "G7 a page of drafts that wait, round trips"
_TIMES: Final = "G11 audit verify, 1 ms from the database"
DELAY_SECONDS: Final = 0.001
PAGE: Final = 200
FLEET: Final = "spiffe://example.com/fleet/line-a/device"


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """The name of a migrated database."""
    name = "growing_control_plane"
    make_template(postgres, name)
    return name


@pytest.fixture
async def scene(postgres: Postgres, template: str) -> AsyncIterator[Scene]:
    """A control plane whose messages to its database are counted."""
    with counting_trips(postgres.port) as trips:
        async with scene_at(copy_of(postgres, template), trips.port, trips) as made:
            yield made


async def test_round_trips_of_acts_and_lists(scene: Scene, growth: Growth) -> None:
    """The same with ten thousand connections as with ten; all are of the host that is connected."""
    token = await scene.operator()
    for number in (1, 2):  # what is prepared once
        await scene.everything(token, number)
    made, names = 2, ("login", "connect", "approve", "edit", "show", "list", "revoke")
    verifying = ("connect", "approve", "approve a change")
    for size in growth.sizes(CONNECTIONS):
        host = f"registry-{size + 2}.example"
        await scene.connect([f"{host}/team-{number}" for number in range(made, size)])
        made = size
        await scene.everything(token, size + 2)
        for name in names:
            cost = scene.costs[name]
            growth.point(f"G7 {name}, round trips", size=size, cost=cost, unit="round trips")
        for name in verifying:
            cost = scene.signatures[name]
            growth.point(f"G7 {name}, signatures", size=size, cost=cost, unit="signatures")
    for name in names:
        growth.holds(f"G7 {name}, round trips", exponent=0.0, at_most=4)
    for name in verifying:
        growth.holds(f"G7 {name}, signatures", exponent=0.0)


async def test_round_trips_of_revocations(scene: Scene, growth: Growth) -> None:
    """One call for ten thousand waits as often as one for ten."""
    use = DeviceRevocations(Acts(scene.chain))
    name = "G7 revocations in one call, round trips"
    for size in (3, *growth.sizes(REVOCATIONS)):
        asked = [
            RevocationRequest(RevocationTarget(device=f"{FLEET}/{size}-{number}"), "")
            for number in range(size)
        ]
        answers = await scene.costing(name, use.revoke_several(asked, actor=BOB))
        assert sum(each.is_new for each in answers) == size
        if size != 3:
            growth.point(name, size=size, cost=scene.costs[name], unit="round trips")
    growth.holds(name, exponent=0.0, at_most=4)


async def test_round_trips_of_a_verification(scene: Scene, growth: Growth) -> None:
    """Rows come thousands at a time; each entry here has a subject of its own."""
    name, listed, made = "G11 audit verify, round trips", "G11 a page of devices, round trips", 3
    own = "G11 audit verify, signatures that the first process verifies"
    await scene.revoke([f"{FLEET}/{number}" for number in range(made)])
    await verify_log(scene.installation.database, scene.installation.signer)
    await scene.listing.list(limit=PAGE)  # what is prepared once
    for size in growth.sizes(ENTRIES):
        await scene.revoke([f"{FLEET}/{number}" for number in range(made, size)])
        made = size
        database_of = scene.installation.database
        verifying = verify_log(database_of, scene.installation.signer)
        with _showing_times(scene, growth, size):
            report = await scene.costing(name, verifying)
        assert (report.entries, report.all_faults) == (size, [])
        growth.point(name, size=size, cost=scene.costs[name], unit="round trips")
        growth.point(own, size=size, cost=scene.signatures[name], unit="signatures")
        await scene.costing("page", scene.listing.list(limit=PAGE))
        growth.point(listed, size=size, cost=scene.costs["page"], unit="round trips")
    growth.holds(name, exponent=1.0, at_most=320)  # three rows an entry, a thousand at a time
    growth.holds(own, exponent=1.0, at_most=ALONE_ENVELOPES + 1)  # and the checkpoint's
    growth.holds(listed, exponent=0.0, at_most=3)


@contextmanager
def _showing_times(scene: Scene, growth: Growth, size: int) -> Iterator[None]:
    """Show what the block takes with a database 1 ms away. A busy machine makes it longer."""
    began, used = time.monotonic(), _processor_seconds()
    scene.trips.delay_seconds = DELAY_SECONDS
    try:
        yield
    finally:
        scene.trips.delay_seconds = 0.0
    took, worked = time.monotonic() - began, _processor_seconds() - used
    growth.point(f"{_TIMES}, by the clock", size=size, cost=1000 * took, unit="ms")
    growth.point(f"{_TIMES}, of processors", size=size, cost=1000 * worked, unit="ms")


def _processor_seconds() -> float:
    """Return those of this process and of its children that have ended; the relay is in it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


async def test_round_trips_of_filtered_lists(scene: Scene, growth: Growth) -> None:
    """A page costs as much among ten thousand connections; one finds the needle, one proves all."""
    reader, made = ConnectionReader(scene.chain, History(scene.chain)), 0
    for size in growth.sizes(CONNECTIONS):
        await scene.connect([f"registry-{number}.example/team" for number in range(made, size)])
        made = size
        for name, wanted in {
            "status": ConnectionFilter(status=Status.PENDING),
            "provider": ConnectionFilter(provider=Provider.AWS_ECR),
            "expires_before": ConnectionFilter(expires_before=now() + timedelta(days=14)),
            "search": ConnectionFilter(search=f"REGISTRY-{size - 1}."),
            "problem": ConnectionFilter(has_problem=True),
        }.items():
            named = f"G7 a page by {name}, round trips"
            await reader.list(wanted, after=None, limit=PAGE)  # what is prepared once
            page = await scene.costing(named, reader.list(wanted, after=None, limit=PAGE))
            assert len(page.items) == (name == "search")
            growth.point(named, size=size, cost=scene.costs[named], unit="round trips")
            if name != "problem":
                assert page.next_place is None
        await scene.costing(_WAITING, reader.waiting(after=None, limit=PAGE))
        growth.point(_WAITING, size=size, cost=scene.costs[_WAITING], unit="round trips")
    for name in ("status", "provider", "expires_before", "search"):
        growth.holds(f"G7 a page by {name}, round trips", exponent=0.0, at_most=4)
    growth.holds(_WAITING, exponent=0.0, at_most=3)
    growth.holds("G7 a page by problem, round trips", exponent=1.0, at_most=12)


@pytest.mark.parametrize("kind", ["connections", "devices"])
async def test_memory_of_a_list(kind: str, growth: Growth) -> None:
    """A page is printed as it comes: what the command holds does not grow with the list."""
    for as_json in (False, True):
        name = f"G5 {kind} list{' --json' * as_json}, bytes of the client"
        for size in growth.sizes(LISTED):
            views = [{"host": f"registry-{number}.example"} for number in range(size)]
            async with AdminApi.serving(views) as api:
                options = ["--json"] * as_json
                peak, printed = await peak_bytes(api.settings, kind, "list", *options)
            assert printed.count(b"registry-") == size
            growth.point(name, size=size, cost=peak, unit="bytes")
        growth.holds(name, exponent=0.05)
