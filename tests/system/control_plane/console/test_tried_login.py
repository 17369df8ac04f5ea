"""A login that is tried from the Connect page: its steps come as they happen."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
from typing_extensions import override

from tests.support.console_client import ConsoleClient, console_client
from tests.support.control_plane import ControlPlane
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest, Wire

TRY = "/console/connect/login/try"
CANARY = "canary-of-a-tried-login"


class HoldingRegistry(RegistrySimulator):
    """Its token endpoint waits until it may answer."""

    def __init__(self) -> None:
        super().__init__(login=BearerLogin("robot", CANARY))
        self.may_answer = asyncio.Event()

    @override
    async def _give_token(self, login: BearerLogin, request: RecordedRequest, wire: Wire) -> None:
        await self.may_answer.wait()
        await super()._give_token(login, request, wire)


async def fields_of(client: ConsoleClient, registry: RegistrySimulator) -> dict[str, str]:
    """Return what the form of a registry sends."""
    token = (await client.get("/console/connect/login")).form_token
    return {
        "form_token": token,
        "host": str(registry.host),
        "username": "robot",
        "token": CANARY,
        "plain_http": "on",
        "allowed_networks": "127.0.0.0/8",
        "tried_repository": "team/app",
    }


async def lines_of(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Yield what the page's script is told."""
    async for line in answer.content:
        assert CANARY.encode() not in line
        yield orjson.loads(line)


def states(told: dict[str, Any]) -> list[str]:
    """Return the states of the steps."""
    return [each["state"] for each in told["steps"]]


async def test_steps_come_as_they_happen(plane: ControlPlane) -> None:
    """While the token endpoint does not answer, it is what is asked; then the rest comes."""
    async with HoldingRegistry() as registry, console_client(plane, "alice") as client:
        ours = {"Origin": plane.url, "Accept": "application/x-ndjson"}
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{plane.url}{TRY}",
                data=await fields_of(client, registry),
                headers=ours | {"Cookie": cookies},
            ) as answer,
        ):
            assert answer.headers["Content-Type"] == "application/x-ndjson"
            assert answer.headers["Cache-Control"] == "no-store"
            told = lines_of(answer)
            assert states(await anext(told))[0] == "asked"
            async for each in told:
                if states(each) == ["done", "done", "done", "asked", "open"]:
                    break
            registry.may_answer.set()
            *_, last = [each async for each in told]
    assert states(last) == ["done"] * 4 + ["failed"]
    assert last["steps"][-1]["words"] == "the registry has no such repository"
    assert CANARY not in plane.log.read_text()


async def test_without_the_script_the_form_is_shown_again_with_all_steps(
    plane: ControlPlane,
) -> None:
    """With what was typed, but for the secret; what is no repository's name stands beside it."""
    async with HoldingRegistry() as registry, console_client(plane, "alice") as client:
        registry.may_answer.set()
        fields = await fields_of(client, registry)
        shown = await client.post(TRY, fields)
        assert (shown.status, CANARY in shown.text) == (200, False)
        assert shown.text.count('<li class="done">') == 4
        assert str(registry.host) in shown.text
        assert "Nothing is stored" in shown.text
        wrong = await client.post(TRY, fields | {"tried_repository": "No Such"})
        assert (wrong.status, 'id="error-tried_repository"' in wrong.text) == (422, True)
