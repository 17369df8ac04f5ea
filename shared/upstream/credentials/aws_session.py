"""The facade's own AWS identity, and clients of AWS that never block the loop of devices.

The identity is what botocore finds: environment, web identity, a profile, an instance's role.
"""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, TypeVar

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from attrs import field, frozen
from typing_extensions import override

from shared.loop_thread import LoopThread
from shared.upstream.credentials.aws_endpoints import PLAIN, AwsService, EndpointVariant
from shared.upstream.errors import UnexpectedAnswerError
from shared.upstream.proxy import OutboundProxy
from shared.upstream.transport import read_bounded

MAX_ANSWER_BYTES: Final = 256 * 1024  # STS and ECR answer some KiB
THREAD_NAME: Final = "aws"

_Result = TypeVar("_Result")


@frozen
class SessionKeys:
    """Keys of an assumed role."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)


class AwsSession:
    """Makes clients of one process, at one endpoint where the facade's operator names one.

    All of it runs in a thread of its own: botocore reads models (75 to 200 ms), profiles and token
    files as it goes, on whatever loop it is called.
    """

    def __init__(self, thread: LoopThread, session: AioSession, endpoint_url: str | None) -> None:
        self._thread = thread
        self._session = session
        self._endpoint_url = endpoint_url

    @classmethod
    @asynccontextmanager
    async def open(
        cls, endpoint_url: str | None = None, *, proxy: OutboundProxy | None = None
    ) -> AsyncIterator["AwsSession"]:
        """Give the session; calls that are under way on leaving are cancelled."""
        async with LoopThread.started(THREAD_NAME) as thread:
            yield cls(thread, await thread.run(_session(proxy)), endpoint_url)

    async def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Return what work with clients returns; it may ask AWS, and nothing of the caller's."""
        return await self._thread.run(work)

    def client(
        self,
        service: AwsService,
        region: str,
        keys: SessionKeys | None = None,
        variant: EndpointVariant = PLAIN,
    ) -> Any:
        """Return a client to enter within `run`; `keys` None: of the facade's own identity."""
        return self._session.create_client(
            service,
            region_name=region,
            endpoint_url=self._endpoint_url,
            config=AioConfig(
                use_fips_endpoint=variant.use_fips, use_dualstack_endpoint=variant.use_dual_stack
            ),
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
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            body = b""  # a gateway's own page, where botocore wants XML and would not try again
        return AioAWSResponse(answer.url, answer.status_code, answer.headers, _WholeBody(body))


async def _session(proxy: OutboundProxy | None) -> AioSession:
    session = AioSession()
    # The session's default, for what it asks by itself too: STS, for a web identity.
    session.set_default_client_config(_config(proxy))
    return session


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
