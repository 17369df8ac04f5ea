"""Every call may be repeated: what is unique already tells that it went through."""

import uuid
from collections.abc import Awaitable, Callable, Mapping

import pytest
from attrs import frozen

from control_plane.operations import OPERATIONS
from tests.support.console_client import console_client
from tests.support.control_plane import Answer, ControlPlane, Json, Operator, approved_connection
from tests.support.days_ahead import day_ahead, noon_of
from tests.system.control_plane.test_openapi import require_documented

WRITING = {each.id: each for each in OPERATIONS if each.method != "GET"}


@frozen
class Repeated:
    """A call, and its two answers."""

    first: Answer
    second: Answer
    recorded: int  # how many audit entries the second one made


@frozen
class Caller:
    """Makes a call twice, as one operator."""

    plane: ControlPlane
    operator: Operator

    async def twice(
        self, operation: str, body: object = None, query: str = "", **at: str
    ) -> Repeated:
        """Return both answers; each is as it is described."""
        template = WRITING[operation].path
        path = f"{template.format(**at)}{query}"
        method, entries = WRITING[operation].method, list[int]()
        answers = []
        for _ in range(2):
            answers.append(await self.operator.call(method, path, body))
            require_documented(method, template, answers[-1])
            entries.append(await self._entries())
        return Repeated(answers[0], answers[1], entries[1] - entries[0])

    async def _entries(self) -> int:
        newest = after = 0
        while True:
            answer = await self.plane.client("eve").call(
                "GET", f"/v1/audit?after={after}&limit=200"
            )
            newest = max([newest, *(int(each["sequence"]) for each in answer.json["items"])])
            if answer.json["next_cursor"] is None:
                return newest
            after = int(answer.json["next_cursor"])


async def connect(caller: Caller, host: str) -> None:
    """The place is taken, by whom the first call made."""
    body = {"host": host, "provider": "static"}
    repeated = await caller.twice("connect", body, "?check=false")
    assert (repeated.first.status, repeated.second.status) == (201, 409)
    assert repeated.second.json["conflict"]["id"] == repeated.first.json["id"]
    assert repeated.recorded == 0


async def edit(caller: Caller, host: str) -> None:
    """The draft is so already."""
    view = await approved_connection(caller.plane, host)
    repeated = await caller.twice("editConnection", {"fleets": ["a"]}, id=view["id"])
    assert repeated.first.json == repeated.second.json
    assert (repeated.second.status, repeated.recorded) == (200, 0)


async def put_credential(caller: Caller, host: str) -> None:
    """Nobody here can tell whether the secret is the same."""
    view = await approved_connection(caller.plane, host, username="robot", token="x")
    body = {"token": "y"}
    repeated = await caller.twice("putCredential", body, "?check=false", id=view["id"])
    versions = [each.json["draft"]["secret_version"] for each in (repeated.first, repeated.second)]
    assert versions == [2, 3]
    assert (repeated.second.status, repeated.recorded) == (200, 1)


async def discard(caller: Caller, host: str) -> None:
    """Of what serves the draft is gone; a lone draft took the connection with it."""
    view = await approved_connection(caller.plane, host)
    await caller.operator.edit(view["id"], fleets=["a"])
    repeated = await caller.twice("discardDraft", id=view["id"])
    assert [repeated.first.status, repeated.second.status] == [204, 404]
    lone = await caller.operator.connect(host, repository_prefix="team")
    repeated = await caller.twice("discardDraft", id=lone["id"])
    assert [repeated.first.status, repeated.second.status] == [204, 409]
    assert "root did at 20" in repeated.second.json["detail"]
    assert repeated.recorded == 0


async def approve(caller: Caller, host: str) -> None:
    """The same is approved, with the same end."""
    view = await caller.operator.connect(host)
    body = {"fingerprint": view["fingerprint"], "expires_at": noon_of(day_ahead(4))}
    repeated = await caller.twice("approve", body, id=view["id"])
    first, second = repeated.first.json, repeated.second.json
    changing = ("approved_at", "generation")
    assert {**first, **dict.fromkeys(changing)} == {**second, **dict.fromkeys(changing)}
    assert (repeated.second.status, repeated.recorded) == (200, 1)


async def send_back(caller: Caller, host: str) -> None:
    """The same was said already."""
    view = await caller.operator.connect(host)
    repeated = await caller.twice("sendBack", {"comment": "too wide"}, id=view["id"])
    assert repeated.first.json == repeated.second.json
    assert (repeated.second.status, repeated.recorded) == (200, 0)


async def revoke(caller: Caller, host: str) -> None:
    """It is revoked, for ever: the answer says by whom, and when."""
    view = await caller.operator.connect(host)
    repeated = await caller.twice("revoke", {"reason": "moved"}, id=view["id"])
    assert [repeated.first.status, repeated.second.status] == [200, 409]
    at = repeated.first.json["revoked_at"]
    assert f"root revoked it at {at}" in repeated.second.json["detail"]
    assert repeated.recorded == 0


async def check(caller: Caller, host: str) -> None:
    """Nothing is stored but that it was asked."""
    repeated = await caller.twice("check", {"host": host, "provider": "static"})
    assert repeated.first.json == repeated.second.json
    assert [repeated.second.status, repeated.recorded] == [200, 1]


async def revoke_device(caller: Caller, host: str) -> None:
    """Who revoked, when and why stay those of the first call."""
    repeated = await caller.twice("revokeDevice", {"device": host, "reason": "lost"})
    assert [repeated.first.status, repeated.second.status] == [201, 200]
    assert repeated.first.json == repeated.second.json
    assert repeated.recorded == 0


async def revoke_devices(caller: Caller, host: str) -> None:
    """All of them hold already."""
    body = {"revocations": [{"device": host}, {"device": f"other.{host}"}]}
    repeated = await caller.twice("revokeDevices", body)
    news = [
        [each["is_new"] for each in answer.json["items"]]
        for answer in (repeated.first, repeated.second)
    ]
    assert news == [[True, True], [False, False]]
    assert repeated.recorded == 0


async def lift(caller: Caller, host: str) -> None:
    """It is in force no longer."""
    view = await caller.operator.revoke_device(device=host)
    repeated = await caller.twice("liftDeviceRevocation", id=view["id"])
    assert [repeated.first.status, repeated.second.status] == [204, 404]
    assert repeated.recorded == 0


def operator(host: str) -> Json:
    """Return the request of an operator who is nobody else."""
    return {"name": host.partition(".")[0], "role": "viewer"}


async def add_operator(caller: Caller, host: str) -> None:
    """Whoever did not get the token rotates it."""
    repeated = await caller.twice("addOperator", operator(host))
    assert [repeated.first.status, repeated.second.status] == [201, 409]
    assert "`rotate` gives a new token" in repeated.second.json["detail"]
    assert "token" not in repeated.second.json
    assert repeated.recorded == 0


async def rotate_operator(caller: Caller, host: str) -> None:
    """The answer that arrives has the token that holds."""
    made = await caller.operator.call("POST", "/v1/operators", operator(host))
    repeated = await caller.twice("rotateOperator", name=made.json["operator"]["name"])
    tokens = [each.json["token"] for each in (repeated.first, repeated.second)]
    answers = [
        (await caller.plane.client(None, token=token).call("GET", "/v1/me")).status
        for token in tokens
    ]
    assert (answers, repeated.recorded) == ([401, 200], 1)


async def remove_operator(caller: Caller, host: str) -> None:
    """There is none any more."""
    made = await caller.operator.call("POST", "/v1/operators", operator(host))
    repeated = await caller.twice("removeOperator", name=made.json["operator"]["name"])
    assert [repeated.first.status, repeated.second.status] == [204, 404]
    assert repeated.recorded == 0


async def a_session(caller: Caller, name: str) -> str:
    """Sign an operator in at the console; return the session's id."""
    async with console_client(caller.plane, name) as browser:
        assert (await browser.get("/console/me")).status == 200
    own = caller.plane.client(name)
    listed = await own.call("GET", "/v1/sessions?limit=1")
    found: str = listed.json["items"][0]["id"]
    return found


async def end_session(caller: Caller, _: str) -> None:
    """It has ended, and is nobody's any more."""
    repeated = await caller.twice("endSession", session=await a_session(caller, "root"))
    assert [repeated.first.status, repeated.second.status] == [204, 404]
    assert repeated.recorded == 0


async def end_sessions(caller: Caller, _: str) -> None:
    """All that had begun have ended, each time: the log has both."""
    await a_session(caller, "root")
    repeated = await caller.twice("endSessions")
    assert [repeated.first.status, repeated.second.status] == [204, 204]
    assert repeated.recorded == 1


async def end_operator_session(caller: Caller, _: str) -> None:
    """As one's own."""
    session = await a_session(caller, "eve")
    repeated = await caller.twice("endOperatorSession", caller="eve", session=session)
    assert [repeated.first.status, repeated.second.status] == [204, 404]
    assert repeated.recorded == 0


async def end_operator_sessions(caller: Caller, _: str) -> None:
    """Somebody may have signed in in between: the log has both."""
    await a_session(caller, "eve")
    repeated = await caller.twice("endOperatorSessions", caller="eve")
    assert [repeated.first.status, repeated.second.status] == [204, 204]
    assert repeated.recorded == 1


CALLS: Mapping[str, Callable[[Caller, str], Awaitable[None]]] = {
    "connect": connect,
    "editConnection": edit,
    "putCredential": put_credential,
    "discardDraft": discard,
    "approve": approve,
    "sendBack": send_back,
    "revoke": revoke,
    "check": check,
    "revokeDevice": revoke_device,
    "revokeDevices": revoke_devices,
    "liftDeviceRevocation": lift,
    "addOperator": add_operator,
    "rotateOperator": rotate_operator,
    "removeOperator": remove_operator,
    "endSession": end_session,
    "endSessions": end_sessions,
    "endOperatorSession": end_operator_session,
    "endOperatorSessions": end_operator_sessions,
}


def test_every_call_that_writes_says_what_its_repetition_is_answered() -> None:
    """In the description, and here."""
    assert {each.id for each in WRITING.values() if each.repeated} == set(CALLS)
    assert set(CALLS) == set(WRITING)


@pytest.mark.parametrize("operation", CALLS)
async def test_a_call_whose_answer_was_lost_may_be_repeated(
    plane: ControlPlane, operation: str
) -> None:
    """With the answer that the description promises, and nothing done twice."""
    host = f"r-{uuid.uuid4().hex[:24]}.example"
    await CALLS[operation](Caller(plane, plane.client("root")), host)
