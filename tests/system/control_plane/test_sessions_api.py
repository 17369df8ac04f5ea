"""Sessions of the console through the API and the command: one's own, and an admin with anybody's.

Each test has an operator of its own, so that no other test's sessions end.
"""

import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Protocol

import asyncpg
import pytest
from attrs import frozen

from control_plane.sessions.sessions import SIGN_OUTS
from tests.support.console_client import ConsoleClient, Page, console_client
from tests.support.control_plane import Answer, ControlPlane, Json, Operator
from tests.support.shell import ran
from tests.system.control_plane.test_openapi import require_documented

OWN, OF = "/v1/sessions", "/v1/operators/{caller}/sessions"
PERSON = "oidc:https%3A%2F%2Fid.example:42"
SEEN = "oidc:https%3A%2F%2Fseen.example:42"  # whose sessions no other test ends
MANY = 10_000
MANY_SIGN_OUTS = 10 * SIGN_OUTS  # on a busy machine the bound fills again meanwhile


@frozen
class SignedIn:
    """An operator who is signed in at several browsers."""

    plane: ControlPlane
    name: str
    token: str
    browsers: list[ConsoleClient]

    @property
    def client(self) -> Operator:
        """The API as the operator."""
        return self.plane.client(None, token=self.token)

    async def listed(self) -> list[Json]:
        """Return the operator's sessions, a page at a time."""
        found, cursor = list[Json](), ""
        while True:
            answer = await self.client.call("GET", f"{OWN}?limit=2{cursor}")
            require_documented("GET", OWN, answer)
            assert len(answer.json["items"]) <= 2
            found += answer.json["items"]
            if answer.json["next_cursor"] is None:
                return found
            cursor = f"&cursor={answer.json['next_cursor']}"

    async def going_on(self) -> list[bool]:
        """Tell of each browser whether it is signed in; each keeps its cookie."""
        kept = [dict(each.cookies) for each in self.browsers]
        pages = [await each.get("/console/me") for each in self.browsers]
        for each, cookies in zip(self.browsers, kept, strict=True):
            each.cookies = cookies
        return [page.status == 200 for page in pages]


class SignIn(Protocol):
    """Signs a new operator in."""

    async def __call__(self, browsers: int) -> SignedIn:
        """Return the operator, at so many browsers."""


@pytest.fixture
async def sign_in(plane: ControlPlane) -> AsyncIterator[SignIn]:
    """Make operators, who are removed with the test."""
    async with AsyncExitStack() as ending:

        async def make(browsers: int) -> SignedIn:
            name = f"s-{uuid.uuid4().hex[:12]}"
            root = plane.client("root")
            made = await root.call("POST", "/v1/operators", {"name": name, "role": "viewer"})
            ending.push_async_callback(root.call, "DELETE", f"/v1/operators/{name}")
            clients = [
                await ending.enter_async_context(console_client(plane, None))
                for _ in range(browsers)
            ]
            for each in clients:
                assert (await each.sign_in(made.json["token"])).status == 303
            return SignedIn(plane, name, made.json["token"], clients)

        yield make


async def admin(plane: ControlPlane, method: str, caller: str, session: str = "") -> Answer:
    """Ask as root for somebody's sessions; the answer is as it is described."""
    path = OF.replace("{caller}", caller.replace("%", "%25"))
    end = f"/{session}" if session else ""
    answer = await plane.client("root").call(method, f"{path}{end}")
    require_documented(method, f"{OF}/{{session}}" if session else OF, answer)
    return answer


async def test_an_operator_ends_one_session_and_then_all(sign_in: SignIn) -> None:
    """The newest is listed first; an id that is not, or no longer, one's own is nobody's."""
    eve, mallory = await sign_in(3), await sign_in(1)
    listed = await eve.listed()
    assert [each["began_at"] for each in listed] == sorted(
        (each["began_at"] for each in listed), reverse=True
    )
    assert len({each["id"] for each in listed}) == 3
    foreign = (await mallory.listed())[0]["id"]
    for wrong in (foreign, "0" * 32, "x"):
        refused = await eve.client.call("DELETE", f"{OWN}/{wrong}")
        require_documented("DELETE", f"{OWN}/{{session}}", refused)
        assert refused.status == 404, wrong
    assert (await eve.client.call("DELETE", f"{OWN}/{listed[0]['id']}")).status == 204
    assert await eve.going_on() == [True, True, False]
    assert (await eve.client.call("DELETE", f"{OWN}/{listed[0]['id']}")).status == 404
    assert await eve.listed() == listed[1:]
    for _ in range(2):
        assert (await eve.client.call("DELETE", OWN)).status == 204
    assert (await eve.going_on(), await eve.listed()) == ([False] * 3, [])
    assert await mallory.going_on() == [True]


async def test_nobody_fills_the_audit_log_with_sign_outs(
    sign_in: SignIn, plane: ControlPlane
) -> None:
    """Each leaves an entry, and a viewer may make no other: so there is a bound, for each alone."""
    eve, mallory = await sign_in(1), await sign_in(1)
    answers = [await mallory.client.call("DELETE", OWN) for _ in range(SIGN_OUTS)]
    assert Counter(each.status for each in answers) == {204: SIGN_OUTS}
    while answers[-1].status == 204 and len(answers) < MANY_SIGN_OUTS:
        answers.append(await mallory.client.call("DELETE", OWN))
    refused = [each for each in answers if each.status != 204]
    assert {each.status for each in refused} == {429}
    require_documented("DELETE", OWN, refused[0])
    assert refused[0].json["detail"] == "too many sign-outs; come again later"
    entries = [each for each in await plane.client("root").audit() if each["actor"] == mallory.name]
    assert len(entries) == len(answers) - len(refused)
    assert (await eve.client.call("DELETE", OWN)).status == 204


async def test_an_admin_ends_anybodys_and_the_audit_log_says_so(
    sign_in: SignIn, plane: ControlPlane
) -> None:
    """One of them, all of them, and those of a person, whoever lists them."""
    eve = await sign_in(2)
    listed = await eve.listed()
    shown = await admin(plane, "GET", eve.name)
    assert shown.json == {"items": listed, "next_cursor": None}
    assert (await admin(plane, "DELETE", eve.name, "0" * 32)).status == 404
    assert (await admin(plane, "DELETE", eve.name, listed[1]["id"])).status == 204
    assert await eve.going_on() == [False, True]
    assert (await admin(plane, "DELETE", eve.name)).status == 204
    assert await eve.going_on() == [False, False]
    assert (await admin(plane, "DELETE", PERSON)).status == 204
    for nobody in ("oidc:x", "Eve", "a b"):
        assert (await admin(plane, "DELETE", nobody.replace(" ", "%20"))).status == 404
    entries = [each for each in await plane.client("root").audit() if each["actor"] == "root"]
    acts = [(each["action"], each["about"], each["details"].get("session")) for each in entries]
    assert acts[-3:] == [
        ("operator.end_session", f"operator/{eve.name}", listed[1]["id"]),
        ("operator.end_sessions", f"operator/{eve.name}", None),
        ("operator.end_sessions", f"operator/{PERSON}", None),
    ]


async def test_an_admin_sees_who_is_signed_in(sign_in: SignIn, plane: ControlPlane) -> None:
    """Operators and persons, a page at a time; no row is somebody who cannot be called so."""
    eve, ada = await sign_in(2), await sign_in(1)
    began = datetime.now(UTC) - timedelta(minutes=1)
    owner = await asyncpg.connect(plane.owner_url)
    try:
        await owner.executemany(
            "INSERT INTO session_uses VALUES (md5($1), $1, $2::timestamptz, $2 + '12 h', $2)",
            [(name, began) for name in (SEEN, "<b>nobody</b>", "oidc:x")],
        )
        found, cursor = dict[str, int](), ""
        while True:
            answer = await plane.client("root").call("GET", f"/v1/signed-in?limit=2{cursor}")
            require_documented("GET", "/v1/signed-in", answer)
            found |= {each["name"]: each["sessions"] for each in answer.json["items"]}
            if answer.json["next_cursor"] is None:
                break
            cursor = f"&cursor={answer.json['next_cursor']}"
        assert (found[eve.name], found[ada.name], found[SEEN]) == (2, 1, 1)
        assert not {"<b>nobody</b>", "oidc:x"} & found.keys()
        assert (await eve.client.call("GET", "/v1/signed-in")).status == 403
        listed = (await ran(plane.shell_settings("root"), "sessions", "who", "--json")).result
        assert {each["name"]: each["sessions"] for each in listed} == found
        async with console_client(plane, "root") as root:
            page = await root.get("/console/operators")
            assert ("https://seen.example" in page.text, "&lt;b&gt;" in page.text) == (True, False)
            sent = {"form_token": page.form_token, "signed_out": SEEN}
            assert (await root.post("/console/operators/sign-out", sent)).status == 303
            assert "https://seen.example" not in (await root.get("/console/operators")).text
    finally:
        await owner.execute("DELETE FROM session_uses WHERE began_at = $1", began)
        await owner.close()


async def test_whoever_signs_out_is_in_the_audit_log(sign_in: SignIn, plane: ControlPlane) -> None:
    """By the page, by the API, and when another sign-in takes the session's place; each once."""
    eve = await sign_in(3)
    first, second, third = eve.browsers
    page = await first.get("/console/me")
    for _ in range(2):
        await first.post("/console/sign-out", {"form_token": page.form_token})
    ids = {each["id"] for each in await eve.listed()}
    assert (await second.sign_in(eve.token)).status == 303
    assert (await third.get("/console/me")).status == 200
    replaced = (ids - {each["id"] for each in await eve.listed()}).pop()
    assert (await eve.client.call("DELETE", OWN)).status == 204
    entries = [each for each in await plane.client("root").audit() if each["actor"] == eve.name]
    assert {each["action"] for each in entries} == {"operator.sign_out"}
    ended = [each["details"].get("session") for each in entries]
    assert (len(ended), ended[1:]) == (3, [replaced, None])
    async with console_client(plane, "root") as root:
        assert f"<li>{eve.name} " not in (await root.get("/console/")).text  # it changed nothing


async def test_an_admin_ends_sessions_in_the_console(sign_in: SignIn, plane: ControlPlane) -> None:
    """On the operator's page; and a person's, who has none, by their identity."""
    eve = await sign_in(1)
    page = f"/console/operators/{eve.name}"
    async with console_client(plane, "root") as root:

        async def send(path: str, **fields: str) -> Page:
            token = (await root.get(page)).form_token
            return await root.post(path, {"form_token": token, **fields})

        assert "End all of them" in (await root.get(page)).text
        assert (await send(f"{page}/end-sessions")).headers["Location"].startswith(page)
        assert await eve.going_on() == [False]
        assert f"{eve.name} is signed in nowhere" in (await root.get(page)).text
        refused = await send("/console/operators/sign-out", signed_out="ada")
        assert (refused.status, "a person is oidc:" in refused.text) == (422, True)
        done = await send("/console/operators/sign-out", signed_out=PERSON)
        assert done.headers["Location"] == "/console/operators?done=sessions-ended"


async def test_sessions_are_listed_and_ended_in_a_shell(
    sign_in: SignIn, plane: ControlPlane
) -> None:
    """By the beginning of an id, or all; an admin's command names whose."""
    eve = await sign_in(3)
    own = {"CONTROL_PLANE_URL": plane.url, "CONTROL_PLANE_TOKEN": eve.token}
    listed = await eve.listed()
    shown = await ran(own, "sessions", "list", "--json")
    assert shown.result == listed
    table = (await ran(own, "sessions", "list")).output
    assert table.split()[:4] == ["ID", "BEGAN", "LAST", "USED"]
    assert listed[0]["id"][:8] in table
    ended = await ran(own, "sessions", "end", listed[0]["id"][:8])
    assert (ended.status, await eve.going_on()) == (0, [True, True, False])
    gone = await ran(own, "sessions", "end", listed[0]["id"])
    assert (gone.status, "sessions list" in gone.words) == (1, True)
    assert (await ran(own, "sessions", "end")).status == 2
    root = plane.shell_settings("root")
    of_eve = await ran(root, "sessions", "end", "--all", "--operator", eve.name, "--json")
    assert of_eve.result == {"operator": eve.name, "ended": "all"}
    assert await eve.going_on() == [False] * 3
    assert "no sessions" in (await ran(own, "sessions", "list")).words


async def test_many_sessions_and_rows_that_are_none_do_no_harm(
    sign_in: SignIn, plane: ControlPlane
) -> None:
    """Of ten thousand a page has as many as it may, and one call ends them all."""
    eve = await sign_in(1)
    began = datetime.now(UTC) - timedelta(minutes=1)
    owner = await asyncpg.connect(plane.owner_url)
    try:
        await owner.execute(
            "INSERT INTO session_uses SELECT md5($1 || n), $1, $2::timestamptz, $2 + '12 h',"
            " $2 FROM generate_series(1, $3::int) n",
            *(eve.name, began, MANY),
        )
        await owner.execute(
            "INSERT INTO session_uses VALUES ($1 || '<b>', $1, $2::timestamptz, $2 + '12 h', $2)",
            *(eve.name, began),
        )
        page = await eve.client.call("GET", f"{OWN}?limit=200")
        assert len(page.json["items"]) == 200
        following = await eve.client.call("GET", f"{OWN}?cursor={page.json['next_cursor']}")
        ids = {each["id"] for answer in (page, following) for each in answer.json["items"]}
        assert (len(ids), eve.name in "".join(ids)) == (250, False)
        shown = (await eve.browsers[0].get("/console/me")).text
        assert (shown.count('data-label="Began"'), "Older" in shown) == (50, True)
        assert (await eve.client.call("DELETE", OWN)).status == 204
        assert await eve.listed() == []
    finally:
        await owner.execute("DELETE FROM session_uses WHERE subject = $1", eve.name)
        await owner.close()
