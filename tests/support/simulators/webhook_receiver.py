"""A receiver of webhooks on a real socket, which believes what the standard's library verifies.

    async with WebhookReceiver.open() as receiver:
        ...  # receiver.target("pager") in the file of targets
        await eventually(lambda: receiver.kinds == ["connection.draft_waits"])

- `answer`: what it says to an event, a status or a whole response; `None` resets the connection.
- `received`: what it has verified and answered with a success, in that order; `tried`: all that it
  has verified. What does not verify is in `refused`.
- `stop` and `start` are a restart: between them nobody listens.
"""

import base64
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import orjson
from aiohttp import web
from attrs import define, field, frozen
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it ships no types
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from deploy.dev.debian import REPOSITORY
from deploy.dev.processes import free_port

SCHEMA = Draft202012Validator(
    orjson.loads((REPOSITORY / "docs" / "webhook-payload.schema.json").read_bytes())
)
Json = dict[str, Any]


def new_secret() -> str:
    """Return a secret, as it is written in the file."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


@frozen
class ReceivedWebhook:
    """A verified event."""

    id: str
    body: bytes

    @property
    def json(self) -> Json:
        """The payload."""
        parsed: Json = orjson.loads(self.body)
        return parsed

    @property
    def kind(self) -> str:
        """Its type."""
        return str(self.json["type"])

    @property
    def data(self) -> Json:
        """Its data."""
        return dict(self.json["data"])

    @property
    def about(self) -> str:
        """What its order is kept of."""
        return str(self.data.get("about") or self.data.get("connection", {}).get("id", ""))


Answer = Callable[[ReceivedWebhook], int | web.StreamResponse | None]


def accepts(_: ReceivedWebhook) -> int:
    """Take everything."""
    return 204


@define(eq=False)
class WebhookReceiver:
    """A receiver; it listens from `start` to `stop`."""

    secrets: list[str] = field(factory=lambda: [new_secret()])
    port: int = field(factory=free_port)
    answer: Answer = accepts
    tls: ssl.SSLContext | None = None
    received: list[ReceivedWebhook] = field(factory=list, init=False)
    tried: list[ReceivedWebhook] = field(factory=list, init=False)
    refused: list[str] = field(factory=list, init=False)
    _runner: web.AppRunner | None = field(default=None, init=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        """Yield a receiver that listens."""
        receiver = cls(tls=tls)
        await receiver.start()
        try:
            yield receiver
        finally:
            await receiver.stop()

    def target(self, name: str, **fields: object) -> Json:
        """Return what the file of targets says of it."""
        scheme, host = ("https", "localhost") if self.tls else ("http", "127.0.0.1")
        return {
            "name": name,
            "url": f"{scheme}://{host}:{self.port}/hooks/{name}?key=canary-of-a-url",
            "secrets": self.secrets[:1],
            "plain_http": self.tls is None,
            "allowed_networks": ["127.0.0.0/8"],
            **fields,
        }

    @property
    def kinds(self) -> list[str]:
        """The types of what was received, each event once."""
        return [each.kind for each in self.once]

    @property
    def once(self) -> list[ReceivedWebhook]:
        """What was received, each id once: as a receiver does that remembers ids."""
        return list({each.id: each for each in reversed(self.received)}.values())[::-1]

    def of(self, kind: str) -> list[ReceivedWebhook]:
        """Return the received events of a type, each once."""
        return [each for each in self.once if each.kind == kind]

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/hooks/{name}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=self.tls
        )
        await site.start()

    async def stop(self) -> None:
        """Listen no more, and close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if (why := self._why_not(body, request)) is not None:
            self.refused.append(why)
            return web.Response(status=400)
        event = ReceivedWebhook(request.headers["webhook-id"], body)
        self.tried.append(event)
        answer = self.answer(event)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        response = web.Response(status=answer) if isinstance(answer, int) else answer
        if 200 <= response.status < 300:
            self.received.append(event)
        return response

    def _why_not(self, body: bytes, request: web.Request) -> str | None:
        try:
            payload = Webhook(self.secrets[0]).verify(body, dict(request.headers))
        except WebhookVerificationError as error:
            return str(error)
        problems = [error.message for error in SCHEMA.iter_errors(payload)]
        return "; ".join(problems) or None


def write_targets(path: Path, *targets: Json) -> None:
    """Replace the file of targets as a whole; nobody else may read it."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(orjson.dumps({"targets": list(targets)}))
    unfinished.rename(path)
