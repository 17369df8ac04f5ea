"""An OpenID provider on a real socket that publishes its keys, and signs whatever a test wants.

    async with OpenIdSimulator() as provider:
        ...  # CONTROL_PLANE_OIDC_ISSUER=provider.issuer
        token = provider.access_token(sub="ada", roles=["approvers"])

It is for tokens that no good provider would give. A real one is `tests/support/oidc_provider.py`.

- `rotate()`: it signs with another key, and publishes that one alone.
- `away`: it answers 503. `nonsense`: it answers that to whoever asks for its keys.
- `id_token`, `renewed_token`: what it gives for any code or refresh token.
- `token_requests`: how it was asked for them.
- `asked`: how often its keys were fetched. `metadata`: what its discovery document says besides.
"""

import ssl
import time
from typing import Any, Final, Self

from aiohttp import web
from attrs import define, field
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet

AUDIENCE: Final = "https://registry.example/api"
CLIENT_ID: Final = "console"
CLI_CLIENT_ID: Final = "cli"


def signing_key(name: str) -> ECKey:
    """Return a new key."""
    return ECKey.generate_key("P-256", {"kid": name, "use": "sig", "alg": "ES256"})


@define(eq=False)
class OpenIdSimulator:
    """One issuer."""

    key: ECKey = field(factory=lambda: signing_key("first"))
    away: bool = False
    nonsense: bytes | None = None
    asked: int = 0
    metadata: dict[str, Any] = field(factory=dict)
    id_token: str = ""
    renewed_token: str = ""
    token_requests: list[dict[str, str]] = field(factory=list)
    tls: ssl.SSLContext | None = None
    _runner: web.AppRunner = field(init=False)
    port: int = field(default=0, init=False)

    async def __aenter__(self) -> Self:
        """Listen on loopback."""
        app = web.Application()
        app.router.add_get("/firm/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/firm/keys", self._keys)
        app.router.add_post("/firm/token", self._token)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    @property
    def issuer(self) -> str:
        """Its URL."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/firm"

    def settings(self, **more: str) -> dict[str, str]:
        """Return what a control plane is told of it."""
        return {
            "CONTROL_PLANE_OIDC_ISSUER": self.issuer,
            "CONTROL_PLANE_OIDC_CLIENT_ID": CLIENT_ID,
            "CONTROL_PLANE_OIDC_CLI_CLIENT_ID": CLI_CLIENT_ID,
            "CONTROL_PLANE_OIDC_AUDIENCE": AUDIENCE,
            "CONTROL_PLANE_OIDC_ROLES": '{"viewers":"viewer","approvers":"approver"}',
            "CONTROL_PLANE_OIDC_NETWORKS": "127.0.0.0/8",
            **more,
        }

    def rotate(self, name: str) -> None:
        """Sign with a new key from now on."""
        self.key = signing_key(name)

    def access_token(
        self,
        *,
        header: dict[str, Any] | None = None,
        key: Any = None,
        without: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        """Return a good access token, but for what is given."""
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "ada",
            "client_id": CLI_CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "email": "ada@firm.example",
            "email_verified": True,
            "roles": ["approvers"],
        }
        said = {name: value for name, value in {**usual, **claims}.items() if name not in without}
        return self.signed(said, header={"typ": "at+jwt"} | (header or {}), key=key)

    def signed(self, claims: dict[str, Any], *, header: dict[str, Any], key: Any = None) -> str:
        """Return the claims, signed."""
        key = key or self.key
        whole = {"alg": "ES256", "kid": self.key.kid} | header
        registry = jws.JWSRegistry(algorithms=[whole["alg"]], strict_check_header=False)
        return jwt.encode(whole, claims, key, registry=registry, default_type=None)

    async def _discovery(self, _: web.Request) -> web.Response:
        if self.away:
            return web.Response(status=503)
        return web.json_response(
            {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/keys",
                "authorization_endpoint": f"{self.issuer}/auth",
                "token_endpoint": f"{self.issuer}/token",
                **self.metadata,
            }
        )

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        shown = request.headers.get("Authorization", "")
        self.token_requests.append(form | {"Authorization": shown})
        tokens = {"access_token": self.renewed_token or "a", "id_token": self.id_token}
        return web.json_response({name: token for name, token in tokens.items() if token})

    async def _keys(self, _: web.Request) -> web.Response:
        if self.away:
            return web.Response(status=503)
        self.asked += 1
        if self.nonsense is not None:
            return web.Response(body=self.nonsense, content_type="application/json")
        return web.json_response(KeySet([self.key]).as_dict(private=False))
