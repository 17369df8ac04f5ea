"""STS and ECR on one real socket: their wire protocols, and who may assume which role.

    aws = AwsSimulator()
    aws.roles[ROLE_ARN] = "external id"                # None: the role asks for none
    async with aws:
        registry = EcrRegistry(aws.tokens)
        ...  # FACADE_AWS_ENDPOINT_URL=aws.origin, and aws.facade.environment for the facade
        assert len(aws.tokens) == 1

It refuses what moto lets pass: a missing external id, an unknown role, a wrong signature, an
expired session.

- `assumed`: the parameters of every AssumeRole; `signed`: every request's verified signature.
- `instead[service]`: answers for the next requests, `always[service]`: to every one.
- `delay_seconds`: before each answer.
- `role_seconds`, `token_seconds`: the expiries that are told, from now on.
"""

import asyncio
import base64
import secrets
import ssl
import time
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import orjson
from attrs import field, frozen
from typing_extensions import override

from tests.support.simulators.aws_signature import SignedRequest
from tests.support.simulators.behaviour import Answers
from tests.support.simulators.body import write_plain
from tests.support.simulators.minted import MintedTokens
from tests.support.simulators.wire import RecordedRequest, Wire, WireServer

ECR_TARGET: Final = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
STS_NAMESPACE: Final = "https://sts.amazonaws.com/doc/2011-06-15/"
UPSTREAM_TEXT: Final = "upstream text that nobody may see"
KEY_CANARY: Final = "canary-aws-secret-"


@frozen
class Identity:
    """Keys that a request may be signed with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_at: float = float("inf")  # Unix seconds

    @classmethod
    def create(cls, prefix: str = "AKIA") -> "Identity":
        """Return new keys of a user, or with `ASIA` of a session."""
        key = prefix + "".join(secrets.choice("ABCDEFGHIJ234567") for _ in range(16))
        return cls(key, KEY_CANARY + secrets.token_hex(12))

    @property
    def environment(self) -> dict[str, str]:
        """How a process is given this identity."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


class AwsSimulator(WireServer):
    """See the module's docstring."""

    def __init__(
        self,
        *,
        facade: Identity | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(port=port, tls=tls)
        self.facade = facade or Identity.create()
        self.roles: dict[str, str | None] = {}
        self.tokens = MintedTokens("AWS")
        self.assumed: list[dict[str, str]] = []
        self.signed: list[SignedRequest] = []
        self.instead: dict[str, list[Answers]] = {"sts": [], "ecr": []}
        self.always: dict[str, Answers] = {}
        self.delay_seconds = 0.0
        self.role_seconds = 3600.0
        self.token_seconds = 12 * 3600.0
        self._identities = {self.facade.access_key_id: self.facade}

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Answer as STS or ECR, or as told."""
        await asyncio.sleep(self.delay_seconds)
        service = "ecr" if request.header("X-Amz-Target") else "sts"
        answer = self.always.get(service)
        if answer is None and self.instead[service]:
            answer = self.instead[service].pop(0)
        if answer is None:
            answer = self._sts(request) if service == "sts" else self._ecr(request)
        await write_plain(wire, answer.status, answer.body, answer.headers)

    def _sts(self, request: RecordedRequest) -> Answers:
        form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        self.assumed.append(form)
        if self._identity(request, "sts") is not self.facade:
            return sts_error(403, "InvalidClientTokenId")
        if (request.target, form["Action"], form["Version"]) != (
            "/",
            "AssumeRole",
            "2011-06-15",
        ):
            return sts_error(400, "InvalidAction")
        role_arn = form["RoleArn"]
        if role_arn not in self.roles:
            return sts_error(403, "AccessDenied")
        if self.roles[role_arn] not in (None, form.get("ExternalId")):
            return sts_error(403, "AccessDenied")
        return self._assumed_role()

    def _assumed_role(self) -> Answers:
        keys, expires_at = Identity.create("ASIA"), time.time() + self.role_seconds
        session = Identity(
            keys.access_key_id, keys.secret_access_key, KEY_CANARY + "session", expires_at
        )
        self._identities[session.access_key_id] = session
        fields = {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "SessionToken": str(session.session_token),
            "Expiration": datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        told = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
        result = f"<AssumeRoleResult><Credentials>{told}</Credentials></AssumeRoleResult>"
        return sts_answer(200, f"<AssumeRoleResponse xmlns='{STS_NAMESPACE}'>{result}")

    def _ecr(self, request: RecordedRequest) -> Answers:
        if (request.method, request.target, request.header("X-Amz-Target")) != (
            "POST",
            "/",
            ECR_TARGET,
        ):
            return ecr_error(400, "UnknownOperationException")
        identity = self._identity(request, "ecr")
        if identity is None or identity.session_token is None:
            return ecr_error(400, "UnrecognizedClientException")
        if identity.expires_at <= time.time():
            return ecr_error(400, "ExpiredTokenException")
        token = base64.b64encode(f"AWS:{self.tokens.mint()}".encode()).decode()
        return ecr_answer(token, time.time() + self.token_seconds)

    def _identity(self, request: RecordedRequest, service: str) -> Identity | None:
        """Return who signed the request."""
        signed = SignedRequest.parse(request)
        identity = self._identities.get(signed.access_key_id) if signed else None
        if signed is None or identity is None or signed.service != service:
            return None
        if not signed.is_signed_with(identity.secret_access_key):
            return None
        if request.header("X-Amz-Security-Token") != identity.session_token:
            return None
        self.signed.append(signed)
        return identity


def sts_answer(status: int, opened: str) -> Answers:
    """Return an answer in STS's XML; `opened` lacks its root's end."""
    root = opened[1:].partition(" ")[0]
    request_id = "<ResponseMetadata><RequestId>0</RequestId></ResponseMetadata>"
    body = f"{opened}{request_id}</{root}>".encode()
    return Answers(status, (("Content-Type", "text/xml"),), body)


def sts_error(status: int, code: str) -> Answers:
    """Return an error of STS."""
    error = (
        f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{UPSTREAM_TEXT}</Message></Error>"
    )
    return sts_answer(status, f"<ErrorResponse xmlns='{STS_NAMESPACE}'>{error}")


def ecr_answer(token: object, expires_at: object) -> Answers:
    """Return an answer of ECR with this token."""
    data = {
        "authorizationToken": token,
        "expiresAt": expires_at,
        "proxyEndpoint": "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    }
    body = orjson.dumps({"authorizationData": [data]})
    return Answers(200, (("Content-Type", "application/x-amz-json-1.1"),), body)


def ecr_error(status: int, code: str) -> Answers:
    """Return an error of ECR."""
    body = orjson.dumps({"__type": code, "message": UPSTREAM_TEXT})
    return Answers(status, (("Content-Type", "application/x-amz-json-1.1"),), body)
