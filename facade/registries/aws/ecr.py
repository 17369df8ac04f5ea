"""A role in the customer's account becomes an authorization token for their Amazon ECR.

The facade's own AWS identity assumes the role that the customer granted, narrowed by a session
policy, and asks ECR for a token in its name. The token is good until the earlier of both expiries.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from attrs import frozen

from facade.registries.aws.aws_endpoints import AwsService, endpoint_variant
from facade.registries.aws.aws_errors import aws_error
from facade.registries.aws.aws_session import AwsSession
from facade.registries.aws.session_keys import SessionKeys
from shared.connection import EcrRole
from shared.ecr_permissions import LOGIN_ACTION, PULL_ACTIONS, PULL_THROUGH_CACHE_ACTIONS
from shared.registry_host import RegistryHost
from shared.secret import Secret
from shared.structured_log import get_logger
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.credentials.short_lived import ShortLivedCredential
from shared.upstream.errors import Step

# STS's default, which every role allows, and the most that role chaining does. It ends before
# ECR's 12 h, and beyond it no expiry is believed.
ROLE_SESSION_SECONDS: Final = 3600
LIFETIME_WITHOUT_SENSE_SECONDS: Final = 60.0  # expired by our clock: a short use, no mint storm
CALL_SECONDS: Final = 60.0  # finding the identity, three tries, and waiting in between
# base64 of `AWS:<password>`; real ones have some 2,500 characters.
_TOKEN_USERNAME: Final = "AWS"  # noqa: S105 - the user name that goes with a token
_PASSWORD: Final = re.compile(r"[!-~]{1,65536}", re.ASCII)
_log = get_logger("shared.upstream.credentials.ecr")


@frozen
class AssumedRole:
    """What STS gave for a role: short-lived keys, and until when."""

    keys: SessionKeys
    expires_at: datetime


@frozen
class EcrProvider:
    """Mints authorization tokens of one role."""

    _session: AwsSession
    _role: EcrRole
    _host: RegistryHost
    _session_name: str  # the connection's id: what the customer's CloudTrail shows
    _now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def mint(self) -> ShortLivedCredential:
        """Return a new authorization token.

        Raises `CredentialRefusedError` of the step `assume_role` or `exchange`, and
        `UpstreamError` if AWS cannot be asked.
        """
        return await self._session.run(self._mint())

    async def assume_role(self, external_id: str | None) -> AssumedRole:
        """Return the role's short-lived keys; `external_id` may differ, to see it refused."""
        return await self._session.run(self._assume_role(external_id))

    async def _mint(self) -> ShortLivedCredential:
        assumed = await self._assume_role(self._role.external_id)
        credential, expires_at = await self._authorization_token(assumed.keys)
        left = (min(expires_at, assumed.expires_at) - self._now()).total_seconds()
        lifetime = min(left, ROLE_SESSION_SECONDS) if left > 0 else LIFETIME_WITHOUT_SENSE_SECONDS
        return ShortLivedCredential(credential, lifetime)

    async def _assume_role(self, external_id: str | None) -> AssumedRole:
        request: dict[str, Any] = {
            "RoleArn": self._role.role_arn,
            "RoleSessionName": self._session_name,
            "Policy": session_policy(self._role),
            "DurationSeconds": ROLE_SESSION_SECONDS,
        }
        if external_id is not None:
            request["ExternalId"] = external_id
        async with self._asking("sts", Step.ASSUME_ROLE) as sts:
            credentials = (await sts.assume_role(**request))["Credentials"]
            keys = SessionKeys(
                credentials["AccessKeyId"],
                credentials["SecretAccessKey"],
                credentials["SessionToken"],
            )
            return AssumedRole(keys, _aware(credentials["Expiration"]))

    async def _authorization_token(self, keys: SessionKeys) -> tuple[BasicCredential, datetime]:
        async with self._asking("ecr", Step.EXCHANGE, keys) as ecr:
            data = (await ecr.get_authorization_token())["authorizationData"][0]
            return _basic(data["authorizationToken"]), _aware(data["expiresAt"])

    @asynccontextmanager
    async def _asking(
        self, service: AwsService, step: Step, keys: SessionKeys | None = None
    ) -> AsyncIterator[Any]:
        """Give a client for one call; what it raises becomes our error of the step."""
        try:
            variant = endpoint_variant(service, self._host)
            async with (
                asyncio.timeout(CALL_SECONDS),
                self._session.client(service, self._role.region, keys, variant) as client,
            ):
                yield client
        except Exception as error:  # noqa: BLE001 - botocore's parsers raise what an answer makes them
            _log.info("AWS call failed", step=step, error=type(error).__name__)
            raise aws_error(error, step) from None


def session_policy(role: EcrRole) -> str:
    """Return the JSON that narrows a role to pulling, whatever its own policy says.

    Filling pull through caches is a second statement, for this registry's repositories alone.
    """
    _, partition, *_ = role.role_arn.split(":")
    repositories = f"arn:{partition}:ecr:{role.region}:{role.account}:repository/*"
    statements = [_allow((LOGIN_ACTION, *PULL_ACTIONS), "*")]
    if role.pull_through_cache:
        statements.append(_allow(PULL_THROUGH_CACHE_ACTIONS, repositories))
    return orjson.dumps({"Version": "2012-10-17", "Statement": statements}).decode()


def _allow(actions: tuple[str, ...], resource: str) -> dict[str, object]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def _basic(token: str) -> BasicCredential:
    """Return the credential of `base64("AWS:<password>")`; raise `ValueError`."""
    try:
        username, _, password = (
            base64.b64decode(token, validate=True).decode("ascii").partition(":")
        )
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("no base64 of ASCII") from None
    if username != _TOKEN_USERNAME or not _PASSWORD.fullmatch(password):
        raise ValueError("another user name, or no password")
    return BasicCredential(username, Secret(password))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
