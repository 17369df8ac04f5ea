"""How often the control plane waits for PostgreSQL: where it is 5 ms away, that is what acts cost.

Counted on the wire, once the statements of a connection are prepared.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from control_plane.clock import now
from control_plane.database.database import MAX_CONNECTIONS
from control_plane.database.database import Database as ControlPlaneDatabase
from control_plane.errors import ActsWaitingError, NotAuthenticatedError
from control_plane.operators.authenticator import Authenticator
from control_plane.operators.operator_token import OperatorName, OperatorToken
from control_plane.operators.operators import Operators
from control_plane.operators.permissions import Role
from control_plane.proof.act_queue import MAX_WAITING_ACTS, ActQueue
from control_plane.proof.acts import Acts
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import HighestGenerations
from shared.postgres.database_url import read_database_url
from shared.statement import OperatorRemoval, operator_subject
from tests.support.control_plane import LOGIN_PASSWORD, LOGIN_ROLE
from tests.support.counted_acts import Scene, scene_at
from tests.support.database import Database
from tests.support.pooler import transaction_pooler
from tests.support.postgres_trips import counting_trips

LOGIN = 1
ACT = 4  # the transaction and the lock, what is asked, what is changed, the commit
LISTED = 3  # rows, the entries that prove them, and on the last page what no row lists


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Scene]:
    """A control plane whose messages to its database are counted."""
    with counting_trips(database.server.port) as trips:
        async with scene_at(database, trips.port, trips) as made:
            yield made


async def test_an_act_waits_four_times_and_a_login_once(scene: Scene) -> None:
    """However many connections there are."""
    token = await scene.operator()
    for number in (1, 2, 3):
        await scene.everything(token, number)
    assert scene.costs == {
        "login": LOGIN,
        "connect": ACT,
        "approve": ACT,
        "plan": 1,
        "edit": ACT,
        "discard": ACT,
        "review": 1,
        "review what waits": LISTED - 1,  # a draft without a row is no draft
        "approve a change": ACT,
        "show": 1,
        "list": LISTED,
        "revoke": ACT,
        "revoke a device": ACT,
        "list devices": LISTED + 1,  # what was lifted since the last time is looked at once
        "find a device": 1,
        "lift": ACT + 1,  # whom the id is about is not known before
    }


async def test_each_signature_is_verified_once(scene: Scene) -> None:
    """By whatever reads it: a statement, its entry, a draft's; what was just signed, by nobody."""
    token = await scene.operator()
    await scene.everything(token, 1)
    statement_and_entry, draft = 2, 1
    assert scene.signatures == {
        "login": statement_and_entry,
        "connect": 0,
        "approve": draft,
        "plan": statement_and_entry,
        "edit": statement_and_entry,
        "discard": statement_and_entry + draft,
        "review": statement_and_entry + draft,
        "review what waits": statement_and_entry + draft,
        "approve a change": statement_and_entry + draft,
        "show": statement_and_entry,
        "list": statement_and_entry,
        "revoke": statement_and_entry,
        "revoke a device": 0,
        "list devices": statement_and_entry,
        "find a device": statement_and_entry,
        "lift": statement_and_entry,
    }


async def test_an_act_makes_one_statement_about_a_subject(scene: Scene) -> None:
    """The database refuses two, and then holds nothing of the act; the next goes on."""

    async def remove_twice() -> None:
        subject = operator_subject("bob")
        async with Acts(scene.chain).begin(about=[subject]) as act:
            belief = await act.belief(subject)
            for _ in range(2):
                removal = OperatorRemoval("bob", "root", act.at, act.generation_after(belief))
                act.sign(removal, actor="root", action="operator.remove", details={})

    with pytest.raises(asyncpg.CardinalityViolationError):
        await remove_twice()
    await scene.operator()
    assert [each.name for each in await Operators(scene.chain).list()] == ["bob"]


async def test_a_refused_login_waits_twice(scene: Scene) -> None:
    """Of somebody and of nobody alike."""
    await scene.operator()
    authenticator = Authenticator(scene.chain)
    for name in ("bob", "nobody", "bob", "nobody"):
        token = OperatorToken.mint(OperatorName.parse(name))
        with pytest.raises(NotAuthenticatedError):
            await scene.costing(name, authenticator.authenticate(token))
    assert scene.costs == {"bob": 2, "nobody": 2}


async def test_what_others_appended_is_followed_in_the_same_round_trip(
    scene: Scene, database: Database
) -> None:
    """Another control plane of the same database acts; this one's next login knows of it."""
    token = await scene.operator()
    await Authenticator(scene.chain).authenticate(token)
    url = read_database_url(database.url(LOGIN_ROLE, LOGIN_PASSWORD))
    async with ControlPlaneDatabase.open(url) as beside:
        signer = scene.installation.signer
        other = Operators(AuditChain(beside, signer, HighestGenerations(), now))
        for number in range(3):
            await other.add(
                OperatorName.parse(f"other-{number}"), Role.VIEWER, lifetime=None, actor="root"
            )
        rotated = await other.rotate(OperatorName.parse("bob"), lifetime=None, actor="root")
        login = Authenticator(scene.chain).authenticate(rotated)
        assert (await scene.costing("login", login)).name == "bob"
        assert scene.costs["login"] == LOGIN
        for number in range(40):  # more than what is read beside something else
            await other.add(
                OperatorName.parse(f"many-{number}"), Role.VIEWER, lifetime=None, actor="root"
            )
        last = await other.rotate(OperatorName.parse("bob"), lifetime=None, actor="root")
    login = Authenticator(scene.chain).authenticate(last)
    assert (await scene.costing("login", login)).name == "bob"
    assert scene.costs["login"] > LOGIN
    with pytest.raises(NotAuthenticatedError, match="was replaced"):
        await Authenticator(scene.chain).authenticate(rotated)


async def test_behind_a_transaction_pooler_everything_works_unprepared(
    database: Database, tmp_path: Path
) -> None:
    """Its sessions are shared out: a statement that was prepared on one is not on another."""
    with (
        transaction_pooler(
            tmp_path, database.server, database.name, LOGIN_ROLE, LOGIN_PASSWORD
        ) as pooler,
        counting_trips(pooler) as trips,
    ):
        async with scene_at(database, trips.port, trips) as scene:
            token = await scene.operator()
            clients = [Authenticator(scene.chain).authenticate(token) for _ in range(20)]
            assert {each.name for each in await asyncio.gather(*clients)} == {"bob"}
            for number in (1, 2):
                await scene.everything(token, number)
    assert scene.costs["login"] == 2 * LOGIN
    assert not [each for each in trips.queries if "DEALLOCATE" in each]


async def test_who_waits_for_another_act_has_no_connection(scene: Scene) -> None:
    """An act that is held up elsewhere, and many behind it: reads go on, and order is kept."""
    token = await scene.operator()
    acts, authenticator = Acts(scene.chain), Authenticator(scene.chain)
    order = list[int]()

    async def act(number: int) -> None:
        async with acts.begin() as own:
            order.append(number)
            own.record(actor="root", action="test", about=f"test/{number}", details={})

    lock = "SELECT the_only FROM public.audit_lock FOR UPDATE"
    async with scene.installation.owner.transaction():
        await scene.installation.owner.execute(lock)
        waiting = [asyncio.create_task(act(number)) for number in range(4 * MAX_CONNECTIONS)]
        for _ in range(3):
            assert (await authenticator.authenticate(token)).name == "bob"
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        sessions = await scene.installation.owner.fetchval(f"{asked} AND wait_event_type = 'Lock'")
        assert sessions <= 1
        assert not order
    await asyncio.gather(*waiting)
    assert order == list(range(4 * MAX_CONNECTIONS))


async def test_too_many_acts_are_refused_at_once() -> None:
    """Those that wait go on waiting; one that is cancelled leaves its place."""
    queue = ActQueue()

    async def wait() -> None:
        async with queue.turn():
            pass

    async with queue.turn():
        waiting: list[asyncio.Task[Any]] = [
            asyncio.create_task(wait()) for _ in range(MAX_WAITING_ACTS)
        ]
        await asyncio.sleep(0)
        with pytest.raises(ActsWaitingError):
            await wait()
        waiting[0].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        late = asyncio.create_task(wait())
        await asyncio.sleep(0)
    await asyncio.gather(late, *waiting[1:])
    assert waiting[0].cancelled()
