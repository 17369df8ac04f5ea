"""A registry whose login changes under a connection that uses it, with a clock that is moved.

    async with login_world(server_tls, server_ca) as world:
        assert await world.pull() == 200
        world.expire()                       # the token in hand, not the simulator's
        world.login.path = "/token2"         # and the registry names it
        assert await world.pull() == 200

Everything is real but the time: client, transport, token broker, circuit breaker, sockets.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

from attrs import define, field
from typing_extensions import override

from deploy.dev.device_ca import CertificateAuthority
from facade.pulls.failure_answers import answer_to
from facade.registries.absences import Absences
from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.renewed import Lasting, Renewed
from facade.registries.token_broker import TokenBroker
from facade.registries.upstream import Upstream
from shared.oci import Digest, Kind, RepositoryName
from shared.secret import Secret
from shared.upstream import token_exchange
from shared.upstream.authorization import mint
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import BearerChallenge
from shared.upstream.client import RegistryClient
from shared.upstream.errors import UpstreamError
from shared.upstream.scope import Scope
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import Timeouts, UpstreamTransport
from tests.support.clock import Clock
from tests.support.simulators.login import BasicLogin, BearerLogin, basic_header
from tests.support.simulators.name_service import NameService
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest, Wire

APP = "team/app"
ROBOT = BasicCredential("robot", Secret("canary-password"))
ROBOTS_HEADER = basic_header("robot", "canary-password")
LIFETIME = 300.0
# More than any wait of the breaker, of a refusal, or between forced mints.
LONG = 61.0
PATIENT = Timeouts(connect_seconds=20, first_byte_seconds=20, stall_seconds=20)
QUICK = Timeouts(connect_seconds=20, first_byte_seconds=1, stall_seconds=1)


class ManyNodes(RegistrySimulator):
    """A load balancer: while `bad_answers` are left, a bad node gives them, as 401.

    While `drops` are left, another closes the connection without an answer. `is_sticky`: a
    connection is always of one node, and the first that is made is of the bad one.
    """

    def __init__(self, login: BearerLogin) -> None:
        super().__init__(login=login)
        self.bad_answers = self.drops = 0
        self.is_sticky = False
        self._first: Wire | None = None
        self.bad_challenges: tuple[str, ...] = ()
        self.gate = asyncio.Event()
        self.gate.set()

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        if request.path.startswith("/v2/"):
            await self.gate.wait()
            if self.drops:
                self.drops -= 1
                wire.close()
                return
            self._first = self._first or wire
            if (self.is_sticky and wire is self._first) or self.bad_answers:
                self.bad_answers = max(0, self.bad_answers - 1)
                headers = [("WWW-Authenticate", value) for value in self.bad_challenges]
                await self.answer(request, wire, 401, b"upstream text", *headers)
                return
        await super().respond(request, wire)


@define
class LoginWorld:
    """See the module's docstring."""

    registry: ManyNodes
    login: BearerLogin
    elsewhere: RegistrySimulator  # a token endpoint over TLS that is an allowed realm
    names: NameService
    clock: Clock
    upstream: Upstream
    _stack: AsyncExitStack
    _numbers: Iterator[int] = field(factory=count)

    @property
    def realm_elsewhere(self) -> str:
        """The realm that `auth_realms` allows."""
        return f"{self.elsewhere.origin}/token"

    async def pull(self, repository: str = APP) -> int:
        """Return what a device is told of a blob that nobody asked for before; 200: its bytes."""
        content = b"blob %d" % next(self._numbers)
        digest = Digest.parse(self.registry.blob(content, repository=repository))
        name = RepositoryName.parse(repository)
        try:
            async with self.upstream.fetch(Kind.BLOB, name, digest) as answer:
                assert b"".join([chunk async for chunk in answer.chunks()]) == content
        except UpstreamError as error:
            return int(answer_to(error, Kind.BLOB).status)
        return 200

    async def pull_at_once(self, number: int, repository: str = APP) -> list[int]:
        """Return what so many devices are told that ask at once, each for another blob."""
        return await asyncio.gather(*(self.pull(repository) for _ in range(number)))

    async def until_served(self, seconds: int, repository: str = APP) -> int:
        """Pull once a second; return after how many there was a 200."""
        for second in range(seconds + 1):
            if await self.pull(repository) == 200:
                return second
            self.clock.advance(1.0)
        raise AssertionError(f"not served within {seconds} s")

    def expire(self) -> None:
        """Let the token in hand expire, and what was remembered be over."""
        self.clock.advance(LIFETIME + LONG)

    async def close_elsewhere(self) -> None:
        """Stop the endpoint elsewhere: nothing listens there."""
        await self._stack.aclose()

    @property
    def bare_questions(self) -> int:
        """How often the registry was asked without a login."""
        return sum(each.header("Authorization") is None for each in self.registry.pulls)

    def exchanges(self, path: str = "/token") -> int:
        """How often a token endpoint was asked, here or elsewhere."""
        requests = (*self.registry.requests, *self.elsewhere.requests)
        return sum(each.path == path for each in requests)

    @property
    def passwords_shown(self) -> int:
        """How often a password was shown to anybody."""
        requests = (*self.registry.requests, *self.elsewhere.requests)
        shown = [each.header("Authorization") or "" for each in requests]
        return sum(each.startswith("Basic") for each in shown)

    def forget_requests(self) -> None:
        """Count from here."""
        self.registry.requests.clear()
        self.elsewhere.requests.clear()


@asynccontextmanager
async def login_world(
    server_tls: ssl.SSLContext,
    server_ca: CertificateAuthority,
    credential: BasicCredential | None = ROBOT,
    timeouts: Timeouts = PATIENT,
) -> AsyncIterator[LoginWorld]:
    """Give a world, with a credential or anonymous."""
    names, clock = NameService(), Clock()
    names.answer("localhost", ["127.0.0.1"])
    login = BearerLogin(lifetime_seconds=LIFETIME)
    if credential is not None:
        login.username, login.password = credential.username, credential.token.reveal_text()
    async with ManyNodes(login) as registry, AsyncExitStack() as stack:
        elsewhere = RegistrySimulator(login=login, tls=server_tls, name="localhost")
        await stack.enter_async_context(elsewhere)
        target = UpstreamTarget(
            registry.host,
            plain_http=True,
            ca_certificate=server_ca.pem.decode(),
            auth_realms=(f"{elsewhere.origin}/token",),
            allow_loopback=True,
        )
        transport = await UpstreamTransport.open(target, lookup=names, timeouts=timeouts)
        client, broker = client_and_broker_of(transport, credential, clock)
        upstream = Upstream(
            client,
            CircuitBreaker(clock),
            absences=Absences(clock),
            login_is_at_rest=lambda: broker.is_at_rest,
        )
        yield LoginWorld(registry, login, elsewhere, names, clock, upstream, stack)
        await upstream.close()


def client_of(
    transport: UpstreamTransport,
    credential: BasicCredential | None,
    clock: Clock,
    *,
    proves_to_realm: bool = False,
) -> RegistryClient:
    """Return the client alone."""
    return client_and_broker_of(transport, credential, clock, proves_to_realm=proves_to_realm)[0]


def client_and_broker_of(
    transport: UpstreamTransport,
    credential: BasicCredential | None,
    clock: Clock,
    *,
    proves_to_realm: bool = False,
) -> tuple[RegistryClient, TokenBroker]:
    """Return a client as the facade's `UpstreamConnector` makes it, by the moved clock.

    `proves_to_realm`: a 401 of a token endpoint is followed by a proof, as the connector's is. What
    is counted here is easier to follow without.
    """

    async def renew() -> Lasting[BasicCredential | None]:
        return Lasting(credential, None)

    async def exchange(
        challenge: BearerChallenge, scope: Scope, basic: BasicCredential | None
    ) -> Lasting[Secret]:
        minted = await mint(transport, challenge, scope, basic)
        return Lasting(minted.header, minted.lifetime_seconds)

    async def prove(authorization: Secret) -> bool:
        await client.prove(authorization)
        return await client.is_closed_to_strangers()

    async def prove_to_realm(challenge: BearerChallenge, basic: BasicCredential) -> None:
        await token_exchange.exchange(transport, challenge, None, basic)

    async def login_of_strangers() -> BearerChallenge | None:
        return await client.login_of_strangers()

    broker = TokenBroker(
        Renewed(renew, clock),
        exchange,
        None,
        prove,
        clock,
        prove_to_realm=prove_to_realm if proves_to_realm else None,
        ask_for_login=login_of_strangers if proves_to_realm else None,
    )
    client = RegistryClient(transport, broker)
    return client, broker


def basic_login() -> BasicLogin:
    """The same registry, once it asks for user name and password."""
    return BasicLogin(ROBOT.username, ROBOT.token.reveal_text())
