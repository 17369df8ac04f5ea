"""Google's token endpoint on a real socket, which believes no assertion that it did not verify.

    account = ServiceAccount.create()
    async with GoogleSimulator(account) as google:
        registry = ArtifactRegistry(google.tokens)
        ...  # FACADE_GOOGLE_TOKEN_URL=google.token_url, and account.key_json() for the connection
        assert len(google.tokens) == 1

- `refused`: why assertions were not believed (`[]` if all were).
- `expires_in`, `fields`: what the answer says of a token; `instead`: answers for the next requests;
  `always`: the answer to every request; `delay_seconds`: before each answer.
"""

import asyncio
import secrets
import time
from typing import Any, Final, Self
from urllib.parse import parse_qs

import orjson
from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from typing_extensions import override

from tests.support.simulators.behaviour import Answers
from tests.support.simulators.body import write_plain
from tests.support.simulators.minted import MintedTokens
from tests.support.simulators.wire import RecordedRequest, Wire, WireServer

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCE: Final = "https://oauth2.googleapis.com/token"  # wherever the assertion is sent to
SCOPES: Final = {
    "https://www.googleapis.com/auth/cloud-platform.read-only",
    "https://www.googleapis.com/auth/devstorage.read_only",
}
CLOCK_SKEW_SECONDS: Final = 300
MAX_ASSERTION_SECONDS: Final = 3600
INVALID_GRANT: Final = Answers(
    400,
    (("Content-Type", "application/json; charset=utf-8"),),
    b'{"error":"invalid_grant","error_description":"upstream text that nobody may see"}',
)
JSON: Final = ("Content-Type", "application/json; charset=utf-8")


@frozen
class ServiceAccount:
    """An account with one key, as Google's console hands it out."""

    client_email: str
    project_id: str
    private_key_id: str
    private_key: RSAPrivateKey = field(repr=False)

    @classmethod
    def create(cls, name: str = "puller", project: str = "factory-1") -> Self:
        """Return an account with a new key."""
        email = f"{name}@{project}.iam.gserviceaccount.com"
        return cls(email, project, secrets.token_hex(20), generate_private_key(65537, 2048))

    @property
    def private_pem(self) -> str:
        """The key as its file has it."""
        return self.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()

    @property
    def public_key(self) -> RSAKey:
        """What Google verifies with."""
        return RSAKey.import_key(
            self.private_key.public_key().public_bytes(
                Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
            )
        )

    def key_json(self, **others: Any) -> dict[str, Any]:
        """Return the key file's object, with other fields over it."""
        return {
            "type": "service_account",
            "project_id": self.project_id,
            "private_key_id": self.private_key_id,
            "private_key": self.private_pem,
            "client_email": self.client_email,
            "client_id": "104242424242424242424",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": AUDIENCE,
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/puller",
            "universe_domain": "googleapis.com",
        } | others


class GoogleSimulator(WireServer):
    """See the module's docstring."""

    def __init__(self, *accounts: ServiceAccount, port: int = 0) -> None:
        super().__init__(port=port)
        self._accounts = {account.client_email: account for account in accounts}
        self.tokens = MintedTokens("oauth2accesstoken")
        self.expires_in: Any = 3599
        self.fields: dict[str, Any] = {}
        self.instead: list[Answers] = []
        self.always: Answers | None = None
        self.delay_seconds = 0.0
        self.refused: list[str] = []

    @property
    def token_url(self) -> str:
        """Where assertions are exchanged."""
        return f"{self.origin}/token"

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Exchange an assertion, or answer as told."""
        await asyncio.sleep(self.delay_seconds)
        answer = self.always or (self.instead.pop(0) if self.instead else None)
        if answer is None:
            answer = self._exchange(request)
        await write_plain(wire, answer.status, answer.body, answer.headers)

    def _exchange(self, request: RecordedRequest) -> Answers:
        problem = self._problem(request)
        if problem is not None:
            self.refused.append(problem)
            return INVALID_GRANT
        fields = {
            "access_token": self.tokens.mint(),
            "expires_in": self.expires_in,
            "token_type": "Bearer",
        } | self.fields
        kept = {name: value for name, value in fields.items() if value is not None}
        return Answers(200, (JSON,), orjson.dumps(kept))

    def _problem(self, request: RecordedRequest) -> str | None:
        """Return what is wrong with an exchange; None if it is as RFC 7523 wants it."""
        if (request.method, request.target) != ("POST", "/token"):
            return f"{request.method} {request.target}"
        if request.header("Authorization") or request.header("Cookie"):
            return "a credential beside the assertion"
        form = parse_qs(request.body.decode(), strict_parsing=True)
        if form.keys() != {"grant_type", "assertion"} or form["grant_type"] != [GRANT_TYPE]:
            return f"form of {sorted(form)}"
        return self._problem_of_assertion(form["assertion"][0])

    def _problem_of_assertion(self, assertion: str) -> str | None:
        unverified_claims = orjson.loads(jws.extract_compact(assertion.encode()).payload)
        account = self._accounts.get(unverified_claims["iss"])
        if account is None:
            return "issuer"
        try:
            token = jwt.decode(assertion, account.public_key, algorithms=["RS256"])
        except JoseError as error:
            return f"signature: {error.error}"
        if token.header != {"typ": "JWT", "alg": "RS256", "kid": account.private_key_id}:
            return f"header {token.header}"
        claims, now = token.claims, time.time()
        lifetime = claims["exp"] - claims["iat"]
        wrong = {
            "claims": claims.keys() != {"iss", "aud", "scope", "iat", "exp"},
            "aud": claims.get("aud") != AUDIENCE,
            "scope": set(str(claims.get("scope")).split(" ")) != SCOPES,
            "iat": abs(now - claims["iat"]) > CLOCK_SKEW_SECONDS,
            "exp": not 0 < lifetime <= MAX_ASSERTION_SECONDS or claims["exp"] < now,
        }
        return next((name for name, is_wrong in wrong.items() if is_wrong), None)
