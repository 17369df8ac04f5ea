"""An operator of the development stack: connects a registry and approves it, through the API."""

from typing import Any

import aiohttp
from attrs import frozen

REFUSED = 400


class OperatorError(Exception):
    """The control plane refused; the message bears its answer."""


@frozen
class Operator:
    """Speaks to the control plane at `url` with `token`."""

    url: str
    token: str

    async def connect_and_approve(self, connection: dict[str, Any]) -> dict[str, Any]:
        """The connection of this host, approved: found as an earlier start left it, or made."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            view = await self._find(session, connection["host"])
            if view is None:
                view = await self._call(session, "POST", "/v1/connections", connection)
            if view["status"] == "pending":
                fingerprint = {"fingerprint": view["fingerprint"]}
                path = f"/v1/connections/{view['id']}/approve"
                view = await self._call(session, "POST", path, fingerprint)
        return view

    async def _find(self, session: aiohttp.ClientSession, host: str) -> dict[str, Any] | None:
        cursor = None
        while True:
            query = f"?cursor={cursor}" if cursor else ""
            answer = await self._call(session, "GET", f"/v1/connections{query}")
            for view in answer["items"]:
                same = (view["host"], view["repository_prefix"]) == (host, "")
                if same and view["status"] != "revoked":
                    return dict(view)
            cursor = answer["next_cursor"]
            if cursor is None:
                return None

    async def _call(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        async with session.request(method, f"{self.url}{path}", json=body) as answer:
            if answer.status >= REFUSED:
                raise OperatorError(f"{method} {path}: {answer.status} {await answer.text()}")
            return dict(await answer.json())
