"""npm's `oauth2-mock-server` as a child process: an OpenID provider that lies when it is told to.

    with LyingProvider.start(folder) as provider:
        ...  # CONTROL_PLANE_OIDC_ISSUER=provider.issuer
        await provider.lie(claims={"aud": "another"})
        token = await provider.access_token()

It is code of others that knows nothing of ours, as `oidc_provider` is, which never lies.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
from attrs import frozen

from deploy.dev.processes import free_port
from tests.support.node_program import start_node, stop_node
from tests.support.oidc_provider import AUDIENCE, CONSOLE_CLIENT_ID, environment_of_clients

TRUTH = {"email": "ada@firm.example", "email_verified": True, "roles": ["viewers"], "sub": "ada"}


@frozen
class LyingProvider:
    """One provider, ready."""

    port: int
    _process: subprocess.Popen[bytes]

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> Iterator[Self]:
        """Yield it; it ends with the block."""
        port = free_port()
        settings = {"port": port, "claims": TRUTH}
        process = start_node("lying_provider.mjs", settings, folder / f"lying-{port}.log")
        try:
            yield cls(port, process)
        finally:
            stop_node(process)

    @property
    def issuer(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self, **more: str) -> dict[str, str]:
        """Return what a control plane is told of it."""
        return {
            **environment_of_clients(self.issuer),
            "CONTROL_PLANE_OIDC_ROLES": '{"viewers":"viewer"}',
            **more,
        }

    async def lie(
        self,
        *,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        forged: str | None = None,
        redirect: Mapping[str, str | None] | None = None,
        discovery: Mapping[str, Any] | None = None,
    ) -> None:
        """Say what it lies about from now on; without anything, it tells the truth."""
        told = {
            "claims": claims,
            "header": header,
            "forged": forged,
            "redirect": redirect,
            "discovery": discovery,
        }
        await self._post("/lies", json={name: lie for name, lie in told.items() if lie is not None})

    async def access_token(self, **lies: Any) -> str:
        """Return a person's access token for our audience, but for these lies."""
        claims = {"aud": AUDIENCE, **lies.pop("claims", {})}
        await self.lie(claims=claims, **lies)
        return (await self._tokens("password", username="ada"))["access_token"]

    async def id_token(self) -> str:
        """Return an ID token of the console's, as its browser might have."""
        await self.lie()
        code = {"code": "any", "client_id": CONSOLE_CLIENT_ID}
        return (await self._tokens("authorization_code", **code))["id_token"]

    async def _tokens(self, grant: str, **form: str) -> dict[str, str]:
        found: dict[str, str] = await self._post("/token", data={"grant_type": grant, **form})
        return found

    async def _post(self, path: str, **body: Any) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.issuer}{path}", **body) as response,
        ):
            assert response.status == 200, await response.text()
            return await response.json() if path == "/token" else None
