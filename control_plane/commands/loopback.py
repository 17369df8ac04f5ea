"""The page on this machine to which the browser comes back after a login (RFC 8252 section 7.3).

It listens on loopback, on a port that the system chooses, until the one answer has come that
belongs to the login. Whatever else asks is answered 400 or 404 and changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from attrs import define, field

CALLBACK_PATH: Final = "/callback"
WAIT_SECONDS: Final = 300.0  # for a person who logs in, perhaps with a second factor
MAX_STRANGE_ANSWERS: Final = 100  # of other programs of this machine, before nobody waits any more
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
_PAGE: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>control-plane</title>'
    "<p>{words} You can close this page and go back to the terminal.</p>"
)


@define(eq=False)
class LoopbackPage:
    """Waits for the browser."""

    port: int = 0
    _state: str = field(default="", init=False)
    _answer: asyncio.Future[Mapping[str, str]] | None = field(default=None, init=False)
    _strange: int = field(default=0, init=False)

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["LoopbackPage"]:
        """Yield it, listening; raise `OSError` if this machine has no loopback."""
        page = cls()
        app = web.Application()
        app.router.add_get(CALLBACK_PATH, page.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            page.port = runner.addresses[0][1]
            yield page
        finally:
            await runner.cleanup()

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends the browser back to."""
        return f"http://127.0.0.1:{self.port}{CALLBACK_PATH}"

    async def wait(self, state: str) -> Mapping[str, str]:
        """Return the answer to the login with this state; raise `TimeoutError`."""
        self._state, self._answer = state, asyncio.get_running_loop().create_future()
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._answer

    async def answer(self, request: web.Request) -> web.Response:
        """Take an answer to the login, and tell the browser that the terminal goes on."""
        query = request.query
        is_once = all(len(query.getall(name)) == 1 for name in query)
        waiting = self._answer is not None and not self._answer.done()
        if not is_once or not waiting or query.get("state") != self._state:
            self._strange += 1
            if self._strange >= MAX_STRANGE_ANSWERS and self._answer and not self._answer.done():
                self._answer.set_exception(TimeoutError())
            return _page(400, "This is no answer to the login that waits.")
        if self._answer is not None:
            self._answer.set_result(dict(query))
        return _page(200, "The provider has answered.")


def _page(status: int, words: str) -> web.Response:
    return web.Response(
        status=status, text=_PAGE.format(words=words), content_type="text/html", headers=_HEADERS
    )
