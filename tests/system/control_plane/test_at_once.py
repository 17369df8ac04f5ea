"""Two who act upon one connection at once: one outcome, and who was too late is told in words.

Acts follow one another, so whichever comes first holds. What the other one is told depends on what
they said they saw.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, field

from tests.support.control_plane import Answer, ControlPlane, Json, approved_connection
from tests.system.control_plane.test_openapi import require_documented

ROUNDS: Final = 4
ONE: Final = "/v1/connections/{id}"
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@define
class HeldRegistry:
    """A registry that asks for no login, and answers once it is let go."""

    host: str
    asked: asyncio.Event = field(factory=asyncio.Event)
    gate: asyncio.Event = field(factory=asyncio.Event)

    @classmethod
    @asynccontextmanager
    async def serving(cls) -> AsyncIterator["HeldRegistry"]:
        """Yield one on loopback."""
        held: HeldRegistry

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            held.asked.set()
            await held.gate.wait()
            writer.write(ANSWER)
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1") as server:
            held = cls(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
            yield held


async def approve(plane: ControlPlane, name: str, view: Json, *, seen: str | None = None) -> Answer:
    """Approve what a view shows; `seen` is its tag."""
    body = {"fingerprint": (view["draft"] or view)["fingerprint"]}
    path = f"{ONE}/approve"
    answer = await plane.client(name).call(
        "POST",
        path.replace("{id}", view["id"]),
        body,
        headers={"If-Match": seen} if seen else {},
    )
    require_documented("POST", path, answer)
    return answer


async def edit(plane: ControlPlane, name: str, view: Json, **fields: object) -> Answer:
    """Edit a connection."""
    path = ONE.replace("{id}", view["id"])
    answer = await plane.client(name).call("PATCH", f"{path}?check=false", fields)
    require_documented("PATCH", ONE, answer)
    return answer


async def actions(plane: ControlPlane, view: Json) -> list[str]:
    """Return what was done to a connection, the first act first."""
    answer = await plane.client("eve").call("GET", f"/v1/connections/{view['id']}/history")
    return [each["action"].partition(".")[2] for each in answer.json["items"]][::-1]


async def test_two_approvers_who_say_what_they_saw(plane: ControlPlane, host: str) -> None:
    """One of them approves; the other is told who did, and that nothing of theirs happened."""
    for number in range(ROUNDS):
        view = await plane.client("alice").connect(host, repository_prefix=f"team-{number}")
        path = ONE.replace("{id}", view["id"])
        seen = (await plane.client("bob").call("GET", path)).headers["ETag"]
        answers = dict(
            zip(
                ("bob", "root"),
                await asyncio.gather(
                    *(approve(plane, each, view, seen=seen) for each in ("bob", "root"))
                ),
                strict=True,
            )
        )
        assert sorted(each.status for each in answers.values()) == [200, 412]
        (winner,) = (name for name, each in answers.items() if each.status == 200)
        (loser,) = (each for each in answers.values() if each.status == 412)
        assert f"connection.approve by {winner} at 20" in loser.json["detail"]
        shown = await plane.client("eve").show(view["id"])
        assert shown == answers[winner].json
        assert await actions(plane, view) == ["connect", "approve"]


async def test_two_approvers_of_the_same_fingerprint(plane: ControlPlane, host: str) -> None:
    """Both saw the same: the later one approves it once more, and the log has both."""
    for number in range(ROUNDS):
        view = await plane.client("alice").connect(host, repository_prefix=f"team-{number}")
        answers = await asyncio.gather(*(approve(plane, each, view) for each in ("bob", "root")))
        assert [each.status for each in answers] == [200, 200]
        last = max((each.json for each in answers), key=lambda view: view["generation"])
        assert await plane.client("eve").show(view["id"]) == last
        assert await actions(plane, view) == ["connect", "approve", "approve"]


async def test_one_approves_while_another_sends_back(plane: ControlPlane, host: str) -> None:
    """Nobody approves past a comment that they have not read; nor is what serves sent back."""
    for number in range(ROUNDS):
        view = await plane.client("alice").connect(host, repository_prefix=f"team-{number}")
        path = f"{ONE}/send-back"
        sent, approved = await asyncio.gather(
            plane.client("root").call(
                "POST", path.replace("{id}", view["id"]), {"comment": "too wide"}
            ),
            approve(plane, "bob", view),
        )
        require_documented("POST", path, sent)
        shown = await plane.client("eve").show(view["id"])
        if approved.status == 200:
            assert (sent.status, shown) == (409, approved.json)
            assert "no draft waits" in sent.json["detail"]
        else:
            assert (sent.status, shown) == (200, sent.json)
            assert approved.status == 409
            assert "root sent the draft back at 20" in approved.json["detail"]
            assert "too wide" in approved.json["detail"]


async def test_an_edit_during_an_approval(plane: ControlPlane, host: str) -> None:
    """What serves is what was seen, with the edit as its draft; or nothing, and it is told why."""
    for number in range(ROUNDS):
        view = await plane.client("alice").connect(host, repository_prefix=f"team-{number}")
        edited, approved = await asyncio.gather(
            edit(plane, "alice", view, fleets=["line-a"]), approve(plane, "bob", view)
        )
        assert edited.status == 200
        shown = await plane.client("eve").show(view["id"])
        if approved.status == 200:
            assert (shown["status"], shown["fleets"]) == ("approved", [])
            assert shown["fingerprint"] == view["fingerprint"]
            assert shown["draft"]["fleets"] == ["line-a"]
            assert await actions(plane, view) == ["connect", "approve", "draft"]
        else:
            assert approved.status == 409
            assert "the draft has another fingerprint (alice made it" in approved.json["detail"]
            assert (shown["status"], shown["fleets"]) == ("pending", ["line-a"])
            assert await actions(plane, view) == ["connect", "draft"]


async def test_a_rotation_during_an_edit(plane: ControlPlane, host: str) -> None:
    """Both changes are in the draft, or one of them, and who is too late is told who was faster."""
    for number in range(ROUNDS):
        robot = {"username": "robot", "token": "x", "repository_prefix": f"team-{number}"}
        view = await approved_connection(plane, host, **robot)
        path = f"{ONE}/credential"
        edited, rotated = await asyncio.gather(
            edit(plane, "alice", view, fleets=["line-a"]),
            plane.client("root").call(
                "PUT", f"{path.replace('{id}', view['id'])}?check=false", {"token": "y"}
            ),
        )
        require_documented("PUT", path, rotated)
        draft = (await plane.client("eve").show(view["id"]))["draft"]
        has = draft["fleets"] == ["line-a"], draft["secret_version"] > 1
        assert has == (edited.status == 200, rotated.status == 200)
        for answer, faster in ((edited, "root"), (rotated, "alice")):
            if answer.status != 200:
                assert answer.status == 409
                assert f"{faster} changed it meanwhile" in answer.json["detail"]


async def test_an_edit_while_a_rotation_asks_the_registry(plane: ControlPlane) -> None:
    """The rotation comes too late for sure: it is told so, and what was edited stays."""
    async with HeldRegistry.serving() as registry:
        robot: Json = {"username": "robot", "token": "x", "plain_http": True}
        view = await approved_connection(plane, registry.host, **robot)
        rotating = asyncio.create_task(
            plane.client("root").call(
                "PUT", f"{ONE.replace('{id}', view['id'])}/credential", {"token": "y"}
            )
        )
        await registry.asked.wait()
        edited = await edit(plane, "alice", view, fleets=["line-a"])
        assert edited.status == 200
        registry.gate.set()
        rotated = await rotating
    require_documented("PUT", f"{ONE}/credential", rotated)
    assert rotated.status == 409
    assert "alice changed it meanwhile" in rotated.json["detail"]
    shown = await plane.client("eve").show(view["id"])
    assert shown == edited.json
    assert shown["draft"]["secret_version"] == 1


async def test_an_approval_while_an_edit_asks_the_registry(plane: ControlPlane) -> None:
    """What was approved serves, and the edit is of what serves now; a revocation ends it."""
    async with HeldRegistry.serving() as registry:
        robot: Json = {"username": "robot", "token": "x", "plain_http": True}
        view = await plane.client("alice").connect(registry.host, **robot)
        path = ONE.replace("{id}", view["id"])
        editing = asyncio.create_task(
            plane.client("alice").call("PATCH", path, {"username": "other", "token": "y"})
        )
        await registry.asked.wait()
        approved = await approve(plane, "bob", view)
        assert approved.status == 200
        registry.gate.set()
        edited = await editing
    assert (edited.status, edited.json["username"]) == (200, "robot")
    assert edited.json["draft"]["username"] == "other"
    async with HeldRegistry.serving() as registry:
        view = await approved_connection(plane, registry.host, **robot)
        path = ONE.replace("{id}", view["id"])
        editing = asyncio.create_task(
            plane.client("alice").call("PATCH", path, {"username": "other", "token": "y"})
        )
        await registry.asked.wait()
        await plane.client("bob").revoke(view["id"])
        registry.gate.set()
        late = await editing
    assert (late.status, "bob revoked it at 20" in late.json["detail"]) == (409, True)
