"""A role in the customer's account becomes an authorization token for their Amazon ECR.

The facade's own AWS identity (environment, web identity, instance role) assumes the role that the
customer granted, narrowed by a session policy, and asks ECR for a token in its name. The token is
good until the earlier of both expiries.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from attrs import field, frozen
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)

from shared.connection import EcrRole
from shared.secret import Secret
from shared.upstream.credentials.short_lived import ShortLivedCredential
from shared.upstream.credentials.static import BasicCredential
from shared.upstream.errors import (
    ConnectError,
    CredentialRefusedError,
    RateLimitedError,
    ServerError,
    Step,
    TokenExchangeError,
    UpstreamError,
    UpstreamTimeoutError,
)

ROLE_SESSION_SECONDS: Final = (
    3600  # STS's default, which every role allows; and role chaining's most
)
MAX_TOKEN_SECONDS: Final = 12 * 3600.0  # ECR's own; beyond it nothing is believed
LIFETIME_WITHOUT_SENSE_SECONDS: Final = 60.0  # expired by our clock: a short use, no mint storm
# Nothing of the role but pulling, whatever its own policy says.
SESSION_POLICY: Final = orjson.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    "ecr:GetAuthorizationToken",
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                ],
                "Resource": "*",
            }
        ],
    }
).decode()

_CONFIG: Final = AioConfig(
    connect_timeout=5,
    read_timeout=15,
    retries={"mode": "standard", "total_max_attempts": 3},
    proxies={},  # not None: the environment's proxies are not ours to use
)
_TOKEN: Final = re.compile(r"[!-~]{1,65536}", re.ASCII)
_THROTTLING: Final = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException"})


class AwsSession:
    """The facade's own AWS identity, and the service models that clients are made from."""

    def __init__(self, endpoint_url: str | None = None) -> None:
        """Ask this endpoint for everything, where the facade's operator names one."""
        self._session = AioSession()
        self._endpoint_url = endpoint_url
        self._warming: asyncio.Task[None] | None = None

    async def client(
        self, service: str, region: str, credentials: Mapping[str, str] | None = None
    ) -> Any:
        """Return an entered-by-the-caller client, made without blocking the loop.

        Making the first client of a service parses its model: 75 to 200 ms, so in a thread.
        """
        if self._warming is None:
            self._warming = asyncio.create_task(asyncio.to_thread(self._warm, region))
        await asyncio.shield(self._warming)
        keys = credentials or {}
        return self._session.create_client(
            service,
            region_name=region,
            endpoint_url=self._endpoint_url,
            config=_CONFIG,
            aws_access_key_id=keys.get("AccessKeyId"),
            aws_secret_access_key=keys.get("SecretAccessKey"),
            aws_session_token=keys.get("SessionToken"),
        )

    def _warm(self, region: str) -> None:
        async def make_clients() -> None:
            for service in ("sts", "ecr"):
                made = self._session.create_client(
                    service,
                    region_name=region,
                    aws_access_key_id="warm-up",
                    aws_secret_access_key="warm-up",  # noqa: S106 - nothing is asked with it
                )
                async with made:
                    pass

        asyncio.run(make_clients())


@frozen
class AssumedRole:
    """What STS gave for a role: short-lived keys, and until when."""

    keys: Mapping[str, str] = field(repr=False)
    expires_at: datetime


@frozen
class EcrProvider:
    """Mints authorization tokens of one role."""

    _session: AwsSession
    _role: EcrRole
    _session_name: str  # the connection's id: what the customer's CloudTrail shows
    _now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def mint(self) -> ShortLivedCredential:
        """Return a new authorization token.

        Raises `CredentialRefusedError` of the step `assume_role` or `exchange`, and
        `UpstreamError` where AWS cannot be asked.
        """
        assumed = await self.assume_role(self._role.external_id)
        credential, expires_at = await self._authorization_token(assumed)
        left = (min(expires_at, assumed.expires_at) - self._now()).total_seconds()
        lifetime = min(left, MAX_TOKEN_SECONDS) if left > 0 else LIFETIME_WITHOUT_SENSE_SECONDS
        return ShortLivedCredential(credential, lifetime)

    async def assume_role(self, external_id: str | None) -> AssumedRole:
        """Return the role's short-lived keys; `external_id` may differ, to see it refused."""
        request: dict[str, Any] = {
            "RoleArn": self._role.role_arn,
            "RoleSessionName": self._session_name,
            "Policy": SESSION_POLICY,
            "DurationSeconds": ROLE_SESSION_SECONDS,
        }
        if external_id is not None:
            request["ExternalId"] = external_id
        try:
            async with await self._session.client("sts", self._role.region) as sts:
                credentials = (await sts.assume_role(**request))["Credentials"]
            keys = {
                name: str(credentials[name])
                for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
            }
            return AssumedRole(keys, _aware(credentials["Expiration"]))
        except (ClientError, BotoCoreError, KeyError, OSError) as error:
            raise _our_error(error, Step.ASSUME_ROLE) from None

    async def _authorization_token(self, assumed: AssumedRole) -> tuple[BasicCredential, datetime]:
        try:
            async with await self._session.client("ecr", self._role.region, assumed.keys) as ecr:
                data = (await ecr.get_authorization_token())["authorizationData"][0]
            return _basic(data["authorizationToken"]), _aware(data["expiresAt"])
        except (ClientError, BotoCoreError, LookupError, OSError) as error:
            raise _our_error(error, Step.EXCHANGE) from None


def _basic(token: object) -> BasicCredential:
    """Return the credential of `base64("AWS:<password>")`."""
    try:
        pair = base64.b64decode(str(token), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        pair = ""
    username, colon, password = pair.partition(":")
    if not colon or not username or not _TOKEN.fullmatch(password):
        raise TokenExchangeError("ECR answers without a usable token", status=200)
    return BasicCredential(username, Secret(password))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _our_error(error: Exception, step: Step) -> UpstreamError:
    """Return our error for one of botocore's, whose text may quote keys and answers."""
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            return CredentialRefusedError("the facade has no AWS identity of its own", step=step)
        case ClientError():
            return _service_error(error, step)
        case ConnectTimeoutError() | ReadTimeoutError():
            return UpstreamTimeoutError("AWS did not answer in time", step=step)
        case HTTPClientError() | OSError():
            return ConnectError("AWS cannot be reached", step=step)
        case _:
            return TokenExchangeError("AWS answers in another form than expected", status=0)


def _service_error(error: ClientError, step: Step) -> UpstreamError:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if error.response.get("Error", {}).get("Code") in _THROTTLING:
        return RateLimitedError(retry_after=None, step=step)
    if status >= 500:  # noqa: PLR2004 - HTTP's class of server errors
        return ServerError(status, step=step)
    message = (
        "the role does not let the facade's identity assume it, or not with this external id"
        if step is Step.ASSUME_ROLE
        else "the assumed role may not ask ECR for a token"
    )
    return CredentialRefusedError(message, status=status, step=step)
