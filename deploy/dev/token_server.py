"""A token server as Docker's registries have one: Basic in, a signed ES256 token out.

It speaks the distribution token protocol and records every request, so that a test can count and
read them. A real registry verifies the tokens.
"""

import base64
import hashlib
import secrets
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import encode_basic_auth, web
from attrs import field, frozen
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from deploy.dev.processes import free_port
from deploy.dev.registry import TokenAuth

SERVICE = "development-registry"
ISSUER = "development-token-server"
KEY_ID_BYTES = 30  # libtrust's key id: so many bytes of the SHA-256 over the SPKI, in base32
KEY_ID_GROUP = 4
DEFAULT_EXPIRY_SECONDS = 300


@frozen
class TokenRequest:
    """One request as it came."""

    authorization: str | None = field(repr=False)
    service: str | None
    scopes: tuple[str, ...]


class TokenServer:
    """Tokens for `users` (name to password); an empty mapping gives them to anybody.

    A test may change `expires_in` (None leaves it out of the answer; tokens live as long as it
    says), `token_field`, and `refusal` (a status for every answer) at any time.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        *,
        tls: ssl.SSLContext | None = None,
        expires_in: int | None = DEFAULT_EXPIRY_SECONDS,
        token_field: Literal["token", "access_token"] = "token",  # noqa: S107 a field's name
    ) -> None:
        self.users = dict(users)
        self.expires_in = expires_in
        self.token_field = token_field
        self.refusal: int | None = None
        self.requests: list[TokenRequest] = []
        self.port = free_port()
        self._tls = tls
        self._signer = CertificateAuthority.create(ISSUER).issue(common_name=ISSUER)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/token", self._answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is None:
            return
        for connection in self._runner.server.connections if self._runner.server else ():
            if connection.transport is not None:
                connection.transport.abort()  # a TLS peer that keeps its connection closes it late
        await self._runner.cleanup()

    @property
    def realm(self) -> str:
        """Where tokens are asked for."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}/token"

    @property
    def authentication(self) -> TokenAuth:
        """What a registry that believes this server is started with."""
        certificate = self._signer.certificate.public_bytes(Encoding.PEM)
        return TokenAuth(self.realm, SERVICE, ISSUER, certificate)

    def mint(self, repository: str, *actions: str, seconds: int = DEFAULT_EXPIRY_SECONDS) -> str:
        """A token for `actions` on `repository`, asked by nobody: to push with, or to expire."""
        access = [{"type": "repository", "name": repository, "actions": list(actions)}]
        return self._sign("mint", access, seconds)

    async def _answer(self, request: web.Request) -> web.Response:
        presented = request.headers.get("Authorization")
        scopes = tuple(request.query.getall("scope", []))
        self.requests.append(TokenRequest(presented, request.query.get("service"), scopes))
        if self.refusal is not None:
            return web.json_response({"errors": [{"code": "DENIED"}]}, status=self.refusal)
        if self.users and not self._knows(presented):
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401)
        seconds = self.expires_in if self.expires_in is not None else 60  # the protocol's default
        access = [entry for scope in scopes if (entry := _access(scope))]
        answer: dict[str, Any] = {self.token_field: self._sign("robot", access, seconds)}
        if self.expires_in is not None:
            answer["expires_in"] = self.expires_in
        return web.json_response(answer)

    def _knows(self, presented: str | None) -> bool:
        return presented in [encode_basic_auth(*user) for user in self.users.items()]

    def _sign(self, subject: str, access: list[dict[str, Any]], seconds: int) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": SERVICE,
            "iat": now,
            "nbf": now - 10,
            "exp": now + seconds,
            "jti": secrets.token_hex(16),
            "access": access,
        }
        header = {"alg": "ES256", "typ": "JWT", "kid": _key_id(self._signer)}
        return jwt.encode(header, claims, ECKey.import_key(self._signer.key))


def _access(scope: str) -> dict[str, Any] | None:
    """`repository:<name>:<action>,...`, of which only pull is given; None for other scopes."""
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    if kind != "repository" or "pull" not in actions.split(","):
        return None
    return {"type": kind, "name": name, "actions": ["pull"]}


def _key_id(signer: IssuedCertificate) -> str:
    spki = signer.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(spki).digest()[:KEY_ID_BYTES]).decode()
    return ":".join(text[at : at + KEY_ID_GROUP] for at in range(0, len(text), KEY_ID_GROUP))
