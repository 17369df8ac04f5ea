"""How long a session lasts, and what somebody who writes in Postgres can do with one: end it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from control_plane.audit.accepted_restore import accept_restore
from control_plane.clock import now
from control_plane.console.submission import MAX_STRANGERS_FORM_BYTES
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.operator_token import OperatorToken
from control_plane.operators.permissions import Role
from control_plane.sessions.session import IDLE, LIFETIME, Session
from control_plane.sessions.session_seal import SessionSeal
from control_plane.sessions.sessions import SIGN_INS
from tests.support.console_client import SESSION, ConsoleClient, console_client
from tests.support.control_plane import ControlPlane, log_of
from tests.support.eventually import eventually
from tests.system.control_plane.conftest import StartPlane

ENDED = "/console/sign-in?next=%2Fconsole%2F"


async def goes_on(client: ConsoleClient) -> bool:
    """Tell whether the client's session is taken; the client keeps its cookie in any case."""
    kept = dict(client.cookies)
    page = await client.get("/console/")
    client.cookies = kept
    assert page.status == 200 or page.headers["Location"] == ENDED
    return page.status == 200


def hash_of(plane: ControlPlane, name: str) -> str:
    """Return the hash of an operator's token, which a session of theirs was begun with."""
    return OperatorToken.parse(plane.tokens[name]).sha256


@pytest.fixture
async def owner(own_plane: ControlPlane) -> AsyncIterator[asyncpg.Connection]:
    """Whoever may write anything into the database."""
    connection = await asyncpg.connect(own_plane.owner_url)
    yield connection
    await connection.close()


async def test_rows_make_no_session(own_plane: ControlPlane, owner: asyncpg.Connection) -> None:
    """Neither with an invented cookie nor with one that another key sealed."""
    root = AuthenticatedOperator("root", Role.ADMIN)
    foreign = Session.begin(root, now())
    await owner.execute(
        "INSERT INTO session_uses VALUES ($1, 'root', now(), now() + interval '9 h', now())",
        foreign.id,
    )
    async with console_client(own_plane, None) as client:
        for cookie in (foreign.id, SessionSeal.make().seal(foreign), "A" * 200):
            client.cookies[SESSION] = cookie
            assert not await goes_on(client)


async def test_a_row_that_is_changed_or_deleted_ends_a_session_at_most(
    own_plane: ControlPlane, owner: asyncpg.Connection
) -> None:
    """And says nothing about who it is of."""
    endings = (
        "DELETE FROM session_uses WHERE subject = 'eve'",
        "UPDATE session_uses SET last_used_at = now() - interval '1 h'",
        "UPDATE session_uses SET session_id = session_id || 'x'",
        "INSERT INTO session_endings SELECT 'session/' || session_id, now() FROM session_uses",
        "INSERT INTO session_endings VALUES ('subject/eve', now())",
        "INSERT INTO session_endings VALUES ('subject/eve', 'infinity')",
        "INSERT INTO session_endings VALUES ('subject/eve', '200000-01-01')",
        "UPDATE session_uses SET last_used_at = 'infinity'",
        "UPDATE session_uses SET last_used_at = '-infinity'",
        "UPDATE session_uses SET last_used_at = '200000-01-01'",
    )
    for ending in endings:
        async with console_client(own_plane, "eve") as client:
            assert await goes_on(client)
            await owner.execute(ending)
            assert not await goes_on(client), ending
            await owner.execute("DELETE FROM session_uses; DELETE FROM session_endings")
    async with console_client(own_plane, "eve") as client:
        await owner.execute("UPDATE session_uses SET ends_at = 'infinity', began_at = '-infinity'")
        assert (await client.get("/console/me")).status == 200
        await owner.execute("UPDATE session_uses SET subject = 'root'")
        page = await client.get("/console/")
        assert '"who-name">eve<' in page.text
        assert '"who-name">root<' not in page.text


async def test_an_ending_that_is_undone_in_the_database_stands(
    own_plane: ControlPlane, owner: asyncpg.Connection
) -> None:
    """A cookie that was stolen before the sign-out is worth nothing after it."""
    async with console_client(own_plane, "eve") as client:
        stolen = client.cookies[SESSION]
        shown = await client.get("/console/")
        await client.post("/console/sign-out", {"form_token": shown.form_token})
        await owner.execute("DELETE FROM session_endings")
        client.cookies[SESSION] = stolen
        assert not await goes_on(client)


async def test_an_ending_that_never_lay_in_the_table_stands_after_a_restart(
    start_plane: StartPlane, plane: ControlPlane
) -> None:
    """A sign-out, all at once, and an admin's: of each the log has a signed entry.

    So does the checkpoint, from which another start reads.
    """
    key_file = plane.folder / "restart" / "session.key"
    plane.run("keys", "--only", "session", "--out", str(key_file.parent))
    own = await start_plane({"CONTROL_PLANE_SESSION_KEY_FILE": str(key_file)})
    owner = await asyncpg.connect(own.owner_url)
    await owner.execute(
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER deletes BEFORE INSERT ON session_endings"
        " FOR EACH ROW EXECUTE FUNCTION nothing()"
    )
    async with (
        console_client(own, "eve") as out,
        console_client(own, "alice") as everywhere,
        console_client(own, "bob") as ended,
        console_client(own, "root") as root,
    ):
        shown = await out.get("/console/")
        stolen = dict(out.cookies)
        await out.post("/console/sign-out", {"form_token": shown.form_token})
        out.cookies = stolen
        assert (await own.client("alice").call("DELETE", "/v1/sessions")).status == 204
        listed = await own.client("root").call("GET", "/v1/operators/bob/sessions")
        one = f"/v1/operators/bob/sessions/{listed.json['items'][0]['id']}"
        assert (await own.client("root").call("DELETE", one)).status == 204
        for _ in range(2):
            assert await owner.fetchval("SELECT count(*) FROM session_endings") == 0
            assert [await goes_on(each) for each in (out, everywhere, ended)] == [False] * 3
            assert await goes_on(root)
            async with log_of(own.database_url, own.keys) as chain:
                await chain.write_checkpoint(await chain.loaded())
            await own.restart()
    await owner.close()


async def test_an_accepted_restore_ends_every_session(own_plane: ControlPlane) -> None:
    """Endings that came after the backup are lost with it."""
    async with console_client(own_plane, "eve") as client:
        assert await goes_on(client)
        async with log_of(own_plane.database_url, own_plane.keys) as chain:
            await accept_restore(chain, (await chain.loaded()).end.hash, actor="root")
        assert not await goes_on(client)
    root = own_plane.client("root")
    assert (await root.call("GET", "/v1/signed-in")).json["items"] == []
    async with console_client(own_plane, "eve") as client:
        assert await goes_on(client)
        (eve,) = (await root.call("GET", "/v1/signed-in")).json["items"]
        assert (eve["name"], eve["sessions"]) == ("eve", 1)


async def test_a_session_that_is_idle_stays_so_whatever_the_database_says(
    start_plane: StartPlane, plane: ControlPlane
) -> None:
    """Its cookie says so, too; and no use makes a session last longer than half a day."""
    key_file = plane.folder / "idle" / "session.key"
    plane.run("keys", "--only", "session", "--out", str(key_file.parent))
    own = await start_plane({"CONTROL_PLANE_SESSION_KEY_FILE": str(key_file)})
    seal = SessionSeal.parse(key_file.read_bytes())
    owner = await asyncpg.connect(own.owner_url)
    eve = AuthenticatedOperator("eve", Role.VIEWER)
    used = {"fresh": now(), "idle": now() - IDLE, "over": now() - LIFETIME}
    async with console_client(own, None) as client:
        found = {}
        for name, began_at in used.items():
            session = Session.begin(eve, began_at, token_sha256=hash_of(own, "eve"))
            if name == "over":
                session = session.used(now())
            await owner.execute(
                "INSERT INTO session_uses VALUES ($1, 'eve', $2, now() + interval '9 h', now())",
                session.id,
                session.began_at,
            )
            client.cookies[SESSION] = seal.seal(session)
            found[name] = await goes_on(client)
    await owner.close()
    assert found == {"fresh": True, "idle": False, "over": False}


async def test_a_use_is_noted_and_renews_the_cookie(
    start_plane: StartPlane, plane: ControlPlane
) -> None:
    """At most once a minute."""
    key_file = plane.folder / "use" / "session.key"
    plane.run("keys", "--only", "session", "--out", str(key_file.parent))
    own = await start_plane({"CONTROL_PLANE_SESSION_KEY_FILE": str(key_file)})
    seal = SessionSeal.parse(key_file.read_bytes())
    began_at = now() - IDLE / 2
    eve = AuthenticatedOperator("eve", Role.VIEWER)
    session = Session.begin(eve, began_at, token_sha256=hash_of(own, "eve"))
    owner = await asyncpg.connect(own.owner_url)
    await owner.execute(
        "INSERT INTO session_uses VALUES ($1, 'eve', $2, $3, $2)",
        session.id,
        began_at,
        session.ends_at,
    )
    async with console_client(own, None) as client:
        client.cookies[SESSION] = seal.seal(session)
        first = await client.get("/console/")
        again = await client.get("/console/")
        renewed = seal.read(client.cookies[SESSION])
    noted = await owner.fetchval("SELECT last_used_at FROM session_uses")
    await owner.close()
    assert (len(first.set_cookies) > 0, again.set_cookies) == (True, [])
    assert (renewed.id, renewed.ends_at) == (session.id, session.ends_at)
    assert noted == renewed.used_at > began_at


async def test_what_one_process_ends_another_one_knows(
    start_plane: StartPlane, plane: ControlPlane
) -> None:
    """Both have the keys; the row is gone before the second one looks, or anybody asks it."""
    key_file = plane.folder / "two" / "session.key"
    plane.run("keys", "--only", "session", "--out", str(key_file.parent))
    settings = {"CONTROL_PLANE_SESSION_KEY_FILE": str(key_file)}
    one = await start_plane(settings)
    folder = one.folder / "other"
    folder.mkdir()
    other = await ControlPlane.start(
        folder,
        owner_url=one.owner_url,
        url=one.database_url,
        keys=one.keys,
        environment=settings,
        tokens=one.tokens,
    )
    owner = await asyncpg.connect(one.owner_url)
    async with console_client(one, "eve") as client, console_client(other, None) as second:
        second.cookies[SESSION] = client.cookies[SESSION]
        assert await goes_on(second)
        shown = await client.get("/console/")
        await client.post("/console/sign-out", {"form_token": shown.form_token})
        await owner.execute("DELETE FROM session_endings")
        assert not await goes_on(second)
    await owner.close()
    other.stop()


async def test_a_sign_out_works_while_the_audit_log_is_refused(
    own_plane: ControlPlane, owner: asyncpg.Connection
) -> None:
    """Then a row says it alone, and the log of the process that it is so."""
    async with console_client(own_plane, "alice") as client:
        shown = await client.get("/console/")
        kept = dict(client.cookies)
        await owner.execute(
            "UPDATE audit_entries SET payload = '{}'"  # it is about another operator
            " WHERE sequence = (SELECT max(sequence) FROM audit_entries)"
        )
        out = await client.post("/console/sign-out", {"form_token": shown.form_token})
        assert (out.status, client.cookies.get(SESSION)) == (303, None)
        client.cookies = kept
        assert not await goes_on(client)
    told = [line["event"] for line in own_plane.log_lines]
    assert "session ended outside the audit log" in told


async def test_nobody_signs_in_without_end(own_plane: ControlPlane) -> None:
    """Each sign-in may leave an entry of the audit log; others sign in all the same."""
    async with console_client(own_plane, None) as client:
        refused = None
        for _ in range(10 * SIGN_INS):  # on a busy machine the bound fills again meanwhile
            client.cookies.clear()
            refused = await client.sign_in(own_plane.tokens["eve"])
            if refused.status != 303:
                break
        assert refused is not None
        assert (refused.status, "too many sign-ins" in refused.text) == (429, True)
        client.cookies.clear()
        assert (await client.sign_in(own_plane.tokens["root"])).status == 303


async def test_sessions_that_are_over_are_forgotten(
    own_plane: ControlPlane, owner: asyncpg.Connection
) -> None:
    """The tables do not grow with the years."""
    await owner.execute(
        "INSERT INTO session_uses VALUES ('old', 'eve', '2020-01-01', '2020-01-02', '2020-01-01');"
        "INSERT INTO session_endings VALUES ('session/old', '2020-01-01')"
    )

    async with console_client(own_plane, "eve"):
        pass

    async def are_gone() -> bool:
        left = await owner.fetchval("SELECT count(*) FROM session_uses WHERE session_id = 'old'")
        return not left + await owner.fetchval("SELECT count(*) FROM session_endings")

    await eventually(are_gone)


async def test_a_stranger_sends_no_long_form(plane: ControlPlane) -> None:
    """Whoever has a session of ours may, even if it is over; what is no session's is a stranger."""
    fields = {"form_token": "x", "ca_certificate": "a" * (MAX_STRANGERS_FORM_BYTES + 1)}
    async with console_client(plane, "alice") as client:
        cookie = client.cookies[SESSION]
        assert (await client.post("/console/connect/login", fields)).status == 403
        token = (await client.get("/console/me")).form_token
        await client.post("/console/sign-out", {"form_token": token})
        for sent, status in ((cookie, 401), (f"{cookie[:-4]}AAAA", 413), (None, 413)):
            client.cookies = {SESSION: sent} if sent else {}
            assert (await client.post("/console/connect/login", fields)).status == status
