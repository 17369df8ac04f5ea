"""What becomes of a plan whose calls are refused, put off, or not answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from attrs import define, field

from control_plane.commands.api_client import ApiClient
from control_plane.commands.applying import Applying, Ended, Outcome
from control_plane.declared.plan import Plan, plan
from control_plane.prefix import PREFIX
from control_plane.serving.config import ClientSettings
from deploy.dev.processes import free_port
from shared.environment import load
from tests.support.simulators.admin_api import NOTHING, TOKEN
from tests.unit.control_plane.declared.test_declared_set import declared

MADE = NOTHING | {
    "id": "1",
    "host": "a.example",
    "status": "pending",
    "fingerprint": "sha256:1",
    "plain_http": False,
    "notes": [],
    "check": {"outcome": "skipped", "problem": "not_asked"},
}
PROBLEM = {"title": "No", "detail": "not now", "status": 0}
FILES = (
    "connections: {a: {host: a.example, provider: static}, b: {host: b.example, provider: static}}"
)
Answer = tuple[int, dict[str, Any], dict[str, str]] | None


@define
class RefusingApi:
    """A server that gives its answers one after another, to whatever is made; None: it hangs up."""

    answers: list[Answer]
    asked: list[str] = field(factory=list)

    async def connect(self, request: web.Request) -> web.Response:
        """Answer a new connection."""
        self.asked.append((await request.json())["host"])
        answer = self.answers.pop(0)
        if answer is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        status, body, headers = answer
        return web.json_response(body, status=status, headers=headers)

    async def review(self, _request: web.Request) -> web.Response:
        """Answer with a review in which nothing stands out."""
        return web.json_response({"highlights": []})


@asynccontextmanager
async def refusing(*answers: Answer) -> AsyncIterator[tuple[RefusingApi, ApiClient]]:
    """Yield such a server, and a client of it."""
    api, port = RefusingApi([*answers]), free_port()
    app = web.Application()
    app.router.add_post("/v1/connections", api.connect)
    app.router.add_get("/v1/connections/{id}/review", api.review)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    environment = {
        "CONTROL_PLANE_URL": f"http://127.0.0.1:{port}",
        "CONTROL_PLANE_TOKEN": TOKEN,
    }
    try:
        async with ApiClient.open(load(ClientSettings, PREFIX, environment)) as client:
            yield api, client
    finally:
        await runner.cleanup()


async def outcomes(client: ApiClient, said: list[str]) -> list[Outcome]:
    """Apply two new connections."""
    wanted: Plan = plan(declared(FILES), [])
    applying = Applying(client, {}, check=True, wait=said.append)
    return await applying.outcomes(wanted, lambda _: None)


async def test_a_call_that_is_put_off_is_made_again() -> None:
    """Registries are asked to log in thirty at once, and then one in two seconds."""
    said: list[str] = []
    made: Answer = (201, MADE, {})
    async with refusing((429, PROBLEM, {"Retry-After": "0"}), made, made) as (api, client):
        ended = await outcomes(client, said)
    assert [each.ended for each in ended] == [Ended.DONE, Ended.DONE]
    assert api.asked == ["a.example", "a.example", "b.example"]
    assert said == ["too many checks of registries; going on in 0 s (--no-check)"]


async def test_a_call_that_is_put_off_for_long_fails() -> None:
    """Nobody waits an hour for one of a thousand."""
    said: list[str] = []
    made: Answer = (201, MADE, {})
    async with refusing((429, PROBLEM, {"Retry-After": "3600"}), made) as (_, client):
        ended = await outcomes(client, said)
    assert [each.ended for each in ended] == [Ended.FAILED, Ended.DONE]
    assert "next: try again in 3600 s" in ended[0].words
    assert said == []


@pytest.mark.parametrize(
    "answer, words",
    [
        ((503, PROBLEM, {"Retry-After": "1"}), "503 No: not now"),
        ((401, PROBLEM, {}), "next: `control-plane operators rotate NAME`"),
        (None, "there was no answer: whether it was done shows the next plan"),
    ],
)
async def test_what_works_for_nobody_ends_the_run(answer: Answer, words: str) -> None:
    """The rest is not tried, and told."""
    async with refusing(answer) as (api, client):
        first, second = await outcomes(client, [])
    assert (first.ended, second.ended) == (Ended.FAILED, Ended.NOT_TRIED)
    assert words in first.words
    assert api.asked == ["a.example"]


async def test_what_is_refused_to_one_is_done_for_the_next() -> None:
    """They do not depend on one another; fields are named as files spell them."""
    wrong = PROBLEM | {"errors": [{"pointer": "/allowed_networks/0", "detail": "no network"}]}
    async with refusing((422, wrong, {}), (201, MADE, {})) as (_, client):
        first, second = await outcomes(client, [])
    assert (first.ended, second.ended) == (Ended.FAILED, Ended.DONE)
    assert "  allowedNetworks/0: no network" in first.words
