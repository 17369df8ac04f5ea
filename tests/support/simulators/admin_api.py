"""The admin API's lists, of any rows that a test makes up, on a real socket.

It is for rows that a real control plane would take too long to make (ten thousand connections) or
never makes (two ids that begin alike). Pages and filters are those of `openapi.json`.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from aiohttp import web
from attrs import define, field

from deploy.dev.processes import free_port

TOKEN = "rfo_alice." + "x" * 43  # of the form of an operator's token; here anybody is let in

Json = dict[str, Any]

NOTHING: Json = {
    "repository_prefix": "",
    "status": "approved",
    "draft": None,
    "google": None,
    "ecr": None,
    "username": None,
    "anonymous": True,
    "provider": "static",
    "connected_by": "alice",
    "connected_at": "2026-11-29T00:00:00.000Z",
    "approved_by": "bob",
    "approved_at": "2026-11-29T00:00:00.000Z",
    "expires_at": None,
    "description": "",
    "problem": None,
    "ca_certificate": None,
    "revoked_by": None,
    "revoked_at": None,
    "generation": 1,
    "fingerprint": "sha256:" + "0" * 64,
    "secret_version": None,
    "plain_http": False,
    "allowed_networks": [],
    "auth_realms": [],
    "repositories": [],
    "fleets": [],
    "referrers": False,
    "check": {"outcome": "skipped", "problem": None},
}
OF_DEVICES: Json = {
    "device": None,
    "serial": "abc",
    "issuer": None,
    "reason": "stolen",
    "revoked_by": "bob",
    "revoked_at": "2026-11-29T00:00:00.000Z",
    "generation": 1,
    "notes": [],
    "problem": None,
}


@define
class AdminApi:
    """A server that answers with these views, and notes how many items each page was asked for.

    Device revocations are of devices that are called as the hosts are.
    """

    views: Sequence[Json]
    port: int = 0
    limits: list[int] = field(factory=list)

    @property
    def settings(self) -> dict[str, str]:
        """What a command has in its environment."""
        return {
            "CONTROL_PLANE_URL": f"http://127.0.0.1:{self.port}",
            "CONTROL_PLANE_TOKEN": TOKEN,
        }

    @classmethod
    @asynccontextmanager
    async def serving(cls, views: Sequence[Json]) -> AsyncIterator["AdminApi"]:
        """Yield a server of these views, completed by `NOTHING`."""
        known = [NOTHING | {"id": str(UUID(int=at))} | view for at, view in enumerate(views)]
        simulated = cls(known, free_port())
        app = web.Application()
        app.router.add_get("/v1/connections", simulated._list)
        app.router.add_get("/v1/device-revocations", simulated._list)
        app.router.add_get("/v1/connections/{id}", simulated._show)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", simulated.port).start()
        try:
            yield simulated
        finally:
            await runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        found = [
            view
            for view in self.views
            if view["host"] == query.get("host", view["host"])
            and view["id"].startswith(query.get("id", ""))
            and view["status"] == query.get("status", view["status"])
        ]
        limit, start = int(query.get("limit", "50")), int(query.get("cursor", "0"))
        self.limits.append(limit)
        following = str(start + limit) if len(found) > start + limit else None
        items = found[start : start + limit]
        if request.path.endswith("device-revocations"):
            items = [OF_DEVICES | {"id": each["id"], "device": each["host"]} for each in items]
        return web.json_response({"items": items, "next_cursor": following})

    async def _show(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        return web.json_response(next(view for view in self.views if view["id"] == wanted))
