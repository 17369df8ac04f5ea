"""The facade's own AWS identity, and clients of AWS that never block the loop.

The identity is what botocore finds: environment, web identity, a profile, an instance's role.
"""

import asyncio
from typing import Any, Final

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from attrs import field, frozen
from typing_extensions import override

from shared.upstream.errors import UnexpectedAnswerError
from shared.upstream.proxy import OutboundProxy
from shared.upstream.transport import read_bounded

MAX_ANSWER_BYTES: Final = 256 * 1024  # STS and ECR answer some KiB
SERVICES: Final = ("sts", "ecr")


@frozen
class SessionKeys:
    """Keys of an assumed role."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)


class AwsSession:
    """Makes clients of one process, at one endpoint where the facade's operator names one."""

    def __init__(
        self, endpoint_url: str | None = None, *, proxy: OutboundProxy | None = None
    ) -> None:
        self._session = AioSession()
        # The session's default, for what it asks by itself too: STS, for a web identity.
        self._session.set_default_client_config(_config(proxy))
        self._endpoint_url = endpoint_url
        self._warming: asyncio.Task[None] | None = None

    async def client(self, service: str, region: str, keys: SessionKeys | None = None) -> Any:
        """Return a client for the caller to enter; `keys` None: of the facade's own identity.

        The first client of a service reads its model, which takes 75 to 200 ms: in a thread, with
        all that later ones take from the session's cache; they take 3 ms each.
        """
        if self._warming is None or _failed(self._warming):
            self._warming = asyncio.create_task(asyncio.to_thread(self._read_models, region))
        await asyncio.shield(self._warming)
        return self._create(service, region, keys, endpoint_url=self._endpoint_url)

    def _read_models(self, region: str) -> None:
        asyncio.run(self._enter_clients(region))

    async def _enter_clients(self, region: str) -> None:
        keys = SessionKeys("unused", "unused", "unused")  # nothing is asked
        for service in SERVICES:
            async with self._create(service, region, keys):
                pass

    def _create(
        self, service: str, region: str, keys: SessionKeys | None, endpoint_url: str | None = None
    ) -> Any:
        return self._session.create_client(
            service,
            region_name=region,
            endpoint_url=endpoint_url,
            aws_access_key_id=keys.access_key_id if keys else None,
            aws_secret_access_key=keys.secret_access_key if keys else None,
            aws_session_token=keys.session_token if keys else None,
        )


@frozen
class _WholeBody:
    """A body that was read, as aiobotocore reads one."""

    _content: bytes

    async def read(self) -> bytes:
        return self._content


class _BoundedSession(AIOHTTPSession):  # type: ignore[misc] # aiobotocore ships no types
    """aiobotocore's HTTP, which would read into memory whatever comes."""

    @override
    async def send(self, request: Any) -> AioAWSResponse:
        request.stream_output = True  # leaves the body to be read here
        answer = await super().send(request)
        body = await read_bounded(answer.raw, MAX_ANSWER_BYTES)
        answer.raw.close()
        if body is None:
            raise UnexpectedAnswerError("AWS answers more than was asked for")
        return AioAWSResponse(answer.url, answer.status_code, answer.headers, _WholeBody(body))


def _config(proxy: OutboundProxy | None) -> AioConfig:
    # The proxy is told AWS's names: they are ours, from no record, and their addresses unjudged.
    url = proxy and proxy.url.reveal_text()
    return AioConfig(
        connect_timeout=5,
        read_timeout=15,
        retries={"mode": "standard", "total_max_attempts": 3},
        # not None: the environment's proxies are not ours to use
        proxies={"https": url, "http": url} if url else {},
        http_session_cls=_BoundedSession,
    )


def _failed(warming: "asyncio.Task[None]") -> bool:
    return warming.done() and (warming.cancelled() or warming.exception() is not None)
