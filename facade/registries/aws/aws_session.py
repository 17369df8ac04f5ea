"""The facade's own AWS identity, and clients of AWS that never block the loop of devices.

The identity is what botocore finds: environment, web identity, a profile, an instance's role.
"""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from facade.registries.aws.aws_endpoints import PLAIN, AwsService, EndpointVariant
from facade.registries.aws.loop_thread import LoopThread
from facade.registries.aws.session_keys import SessionKeys
from shared.upstream.proxy import OutboundProxy

if TYPE_CHECKING:
    from facade.registries.aws.aws_clients import AwsClients

THREAD_NAME: Final = "aws"

_Result = TypeVar("_Result")


class AwsSession:
    """Makes clients of one process, at one endpoint where the facade's operator names one.

    All of it runs in a thread of its own: at first botocore is imported there (a tenth of a
    second), and it reads models (75 to 200 ms), profiles and token files as it goes, on whatever
    loop it is called.
    """

    def __init__(
        self, thread: LoopThread, endpoint_url: str | None, proxy: OutboundProxy | None
    ) -> None:
        self._thread = thread
        self._endpoint_url = endpoint_url
        self._proxy = proxy
        self._clients: AwsClients | None = None  # the thread's alone

    @classmethod
    @asynccontextmanager
    async def open(
        cls, endpoint_url: str | None = None, *, proxy: OutboundProxy | None = None
    ) -> AsyncIterator["AwsSession"]:
        """Give the session; calls that are under way on leaving are cancelled."""
        async with LoopThread.started(THREAD_NAME) as thread:
            yield cls(thread, endpoint_url, proxy)

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
        if self._clients is None:
            from facade.registries.aws.aws_clients import AwsClients

            self._clients = AwsClients(self._endpoint_url, self._proxy)
        return self._clients.client(service, region, keys, variant)
