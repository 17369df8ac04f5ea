"""Each registry of the mission, as its public reports describe it, under its own names.

None of the real ones can be reached from a test. The simulators listen on loopback, and a name
service of the test leads there: host names, certificates, `Host`, realms and redirects are as they
are in the world, addresses are not.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from facade.registries.renewed import Lasting, Renewed
from facade.registries.token_broker import TokenBroker
from shared.oci import Digest, Kind, RepositoryName
from shared.registry_host import RegistryHost
from shared.secret import Secret
from shared.upstream.asked_range import AskedRange
from shared.upstream.authorization import OneShotAuthorizer, mint
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import BearerChallenge
from shared.upstream.check import CheckOutcome, check_login
from shared.upstream.client import RegistryClient
from shared.upstream.errors import (
    BrokenBodyError,
    CredentialRefusedError,
    NotInRegistryError,
    RateLimitedError,
    ServerError,
    Step,
    UnexpectedAnswerError,
    UpstreamError,
)
from shared.upstream.scope import Scope
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import Method, UpstreamTransport
from tests.support.simulators import registry_kinds as kinds
from tests.support.simulators.behaviour import BreaksAt
from tests.support.simulators.login import BasicLogin, basic_header
from tests.support.simulators.name_service import NameService
from tests.support.simulators.registries import (
    BLOB,
    CANARY_PASSWORD,
    TITLES,
    Estate,
    SimulatedRegistry,
)
from tests.unit.upstream.reading import UPSTREAM_TEXT, everything_said

WRONG = Secret("canary-wrong-password")
UNKNOWN_DIGEST = "sha256:" + "0" * 64
BEARER_TITLES = tuple(title for title in TITLES if title != "Amazon ECR")
REDIRECTING_TITLES = tuple(
    title for title in TITLES if title not in ("Harbor", "Google Artifact Registry")
)

OpenClient = Callable[..., Awaitable[RegistryClient]]


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """One CA for all of them."""
    return Estate.create(tmp_path_factory.mktemp("estate"))


@pytest.fixture
async def simulated(estate: Estate, title: str) -> AsyncIterator[SimulatedRegistry]:
    """The registry that the test names in `title`."""
    async with estate.started(title) as registry:
        yield registry


@pytest.fixture
def names(simulated: SimulatedRegistry) -> NameService:
    """Where its names lead to it, and no other name leads anywhere."""
    names = NameService()
    simulated.lead(names)
    return names


@pytest.fixture
async def open_client(
    simulated: SimulatedRegistry, names: NameService
) -> AsyncIterator[OpenClient]:
    """Open clients of it: with its credential or another, keeping tokens or not."""
    transports: list[UpstreamTransport] = []

    own = credential_of(simulated)

    async def open_client(
        credential: BasicCredential | None = own, *, keeps_tokens: bool = False
    ) -> RegistryClient:
        transport = await UpstreamTransport.open(target_of(simulated), lookup=names)
        transports.append(transport)
        if keeps_tokens:
            return facades_client(transport, credential)
        return RegistryClient(transport, OneShotAuthorizer(transport, credential))

    yield open_client
    for transport in transports:
        await transport.close()


def target_of(simulated: SimulatedRegistry) -> UpstreamTarget:
    """Return what a connection with its CA leads to; loopback is open, and nothing else."""
    return UpstreamTarget(
        RegistryHost.parse(simulated.host),
        ca_certificate=simulated.ca_certificate,
        allow_loopback=True,
    )


def credential_of(simulated: SimulatedRegistry) -> BasicCredential:
    """Return its right credential."""
    return BasicCredential(simulated.username, Secret(simulated.password))


def facades_client(
    transport: UpstreamTransport, credential: BasicCredential | None
) -> RegistryClient:
    """Return a client with the facade's own broker behind it."""

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

    broker = TokenBroker(Renewed(renew), exchange, prove=prove)
    client = RegistryClient(transport, broker)
    return client


async def pull(
    client: RegistryClient,
    repository: str,
    digest: str,
    *,
    kind: Kind = Kind.BLOB,
    first_byte: int = 0,
) -> bytes:
    """Return a whole content."""
    name, parsed = RepositoryName.parse(repository), Digest.parse(digest)
    async with client.fetch(kind, name, parsed, AskedRange(first_byte)) as answer:
        return b"".join([chunk async for chunk in answer.chunks()])


async def beginning(client: RegistryClient, repository: str, digest: str) -> bytearray:
    """Return what comes of a blob until it breaks."""
    received = bytearray()
    with suppress(BrokenBodyError):
        async with client.fetch(
            Kind.BLOB, RepositoryName.parse(repository), Digest.parse(digest)
        ) as answer:
            async for chunk in answer.chunks():
                received += chunk
    return received


async def size_of(
    client: RegistryClient, repository: str, digest: str, method: Method = "HEAD"
) -> int | None:
    """Return a blob's length without its bytes."""
    name, parsed = RepositoryName.parse(repository), Digest.parse(digest)
    async with client.fetch(Kind.BLOB, name, parsed, method=method) as answer:
        return answer.content_length


@pytest.mark.parametrize("title", TITLES)
async def test_a_manifest_and_a_blob_come_whole(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """Challenge, token, redirect: everything that a pull meets; stores see no credential."""
    client = await open_client(keeps_tokens=True)
    manifest = await pull(client, simulated.repository, simulated.manifest, kind=Kind.MANIFEST)
    assert simulated.blob.encode() in manifest
    assert await pull(client, simulated.repository, simulated.blob) == BLOB
    assert simulated.minted == (0 if isinstance(simulated.registry.login, BasicLogin) else 1)
    assert simulated.registry.requests[0].header("Authorization") is None
    if simulated.store is not None:
        assert len(simulated.store.requests) == 1


@pytest.mark.parametrize("title", BEARER_TITLES)
async def test_the_token_endpoint_is_asked_as_it_wants_to_be(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """The user name literally (`robot$name`, `team+robot`), the service, one scope, to pull."""
    await pull(await open_client(), simulated.repository, simulated.blob)
    [request] = simulated.endpoint.asked
    assert request.header("Authorization") == basic_header(simulated.username, CANARY_PASSWORD)
    assert request.query == [
        ("service", simulated.endpoint.service),
        ("scope", f"repository:{simulated.upstream_repository}:pull"),
    ]


@pytest.mark.parametrize("title", TITLES)
async def test_the_size_of_a_blob_is_found_whatever_its_head_answers(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """404 (Harbor), 401 (public ECR), 403 (a signature for GET): then its first byte tells."""
    client = await open_client(keeps_tokens=True)
    assert await size_of(client, simulated.repository, simulated.blob) == len(BLOB)
    assert simulated.minted <= 1


@pytest.mark.parametrize("title", TITLES)
async def test_a_wrong_password_is_shown_once_and_never_told(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """By twenty at once and again: every try could lock the account (goharbor/harbor#22569)."""
    client = await open_client(BasicCredential(simulated.username, WRONG), keeps_tokens=True)
    for _ in range(2):
        pulls = [pull(client, simulated.repository, simulated.blob) for _ in range(20)]
        for refusal in await asyncio.gather(*pulls, return_exceptions=True):
            assert isinstance(refusal, CredentialRefusedError)
            said = everything_said(refusal)
            assert "canary" not in said
            assert UPSTREAM_TEXT not in said
    wrong = basic_header(simulated.username, WRONG.reveal_text())
    requests = [request for server in simulated.servers.values() for request in server.requests]
    assert [request.header("Authorization") for request in requests].count(wrong) == 1


@pytest.mark.parametrize("refusal_status", [401, 403])
@pytest.mark.parametrize("title", BEARER_TITLES)
async def test_an_anonymous_pull_of_a_private_repository_fails_at_the_token_endpoint(
    simulated: SimulatedRegistry, open_client: OpenClient, refusal_status: int
) -> None:
    """GHCR answers 401 or 403 there; the step says so."""
    simulated.endpoint.refusal_status = refusal_status
    client = await open_client(None, keeps_tokens=True)
    with pytest.raises(CredentialRefusedError) as refusal:
        await pull(client, simulated.repository, simulated.blob)
    assert (refusal.value.step, refusal.value.status) == (Step.EXCHANGE, refusal_status)


@pytest.mark.parametrize("title", TITLES)
async def test_a_digest_that_is_not_there_is_not_found(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """By GET and by HEAD, without another token."""
    client = await open_client(keeps_tokens=True)
    assert await pull(client, simulated.repository, simulated.blob) == BLOB
    minted = simulated.minted
    with pytest.raises(NotInRegistryError):
        await pull(client, simulated.repository, UNKNOWN_DIGEST)
    with pytest.raises(NotInRegistryError):
        await size_of(client, simulated.repository, UNKNOWN_DIGEST)
    assert simulated.minted == minted


@pytest.mark.parametrize("title", TITLES)
async def test_a_check_logs_in_and_names_the_realm(
    simulated: SimulatedRegistry, names: NameService
) -> None:
    """What an operator sees before the connection is stored."""
    check = await check_login(target_of(simulated), credential_of(simulated), lookup=names)
    assert check.outcome is CheckOutcome.PASSED
    if isinstance(simulated.registry.login, BasicLogin):
        assert (check.auth_scheme, check.realm) == ("basic", None)
    else:
        assert check.auth_scheme == "bearer"
        assert check.realm is not None
        assert check.realm.startswith("https://")
    wrong = BasicCredential(simulated.username, WRONG)
    refused = await check_login(target_of(simulated), wrong, lookup=names)
    assert refused.problem is not None
    assert (refused.outcome, refused.problem.code) == (CheckOutcome.FAILED, "credential_refused")


@pytest.mark.parametrize("title", ["Docker Hub"])
async def test_docker_hub_is_asked_under_its_own_name_for_the_library(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """`docker.io/busybox` is `library/busybox` of `registry-1.docker.io`, without a port."""
    await pull(await open_client(), "busybox", simulated.blob)
    first = simulated.registry.requests[0]
    assert first.path == f"/v2/library/busybox/blobs/{simulated.blob}"
    assert first.header("Host") == "registry-1.docker.io"


@pytest.mark.parametrize("title", ["Docker Hub"])
async def test_docker_hubs_limit_counts_manifests_and_is_told_as_such(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """A blob and a HEAD cost nothing; beyond the limit the delay that it asks for is kept."""
    hub = simulated.registry
    assert isinstance(hub, kinds.DockerHub)
    hub.limit = 2
    client = await open_client(keeps_tokens=True)
    name, digest = RepositoryName.parse("busybox"), Digest.parse(simulated.manifest)
    for _ in range(2):
        await pull(client, "busybox", simulated.manifest, kind=Kind.MANIFEST)
        await pull(client, "busybox", simulated.blob)
        async with client.fetch(Kind.MANIFEST, name, digest, method="HEAD"):
            pass
    assert hub.pulled == 2
    with pytest.raises(RateLimitedError) as limited:
        await pull(client, "busybox", simulated.manifest, kind=Kind.MANIFEST)
    assert limited.value.retry_after == 17


@pytest.mark.parametrize("title", ["Docker Hub"])
async def test_a_401_without_a_challenge_is_answered_with_a_new_token(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """docker/hub-feedback#2530: drop the token, mint once, try once."""
    hub = simulated.registry
    assert isinstance(hub, kinds.DockerHub)
    client = await open_client(keeps_tokens=True)
    await pull(client, "busybox", simulated.blob)
    hub.omits_challenge = True
    simulated.endpoint.revoke_tokens()
    assert await pull(client, "busybox", simulated.blob) == BLOB
    assert simulated.minted == 2


@pytest.mark.parametrize("title", REDIRECTING_TITLES)
async def test_a_signed_url_is_used_once_and_never_kept(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """It lives for minutes: a body that broke goes on from a new one."""
    assert simulated.store is not None
    broken = simulated.registry.blob(
        BLOB, repository=simulated.upstream_repository, get=BreaksAt(100_000)
    )
    client = await open_client(keeps_tokens=True)
    received = await beginning(client, simulated.repository, broken)
    assert 0 < len(received) < len(BLOB)
    simulated.store.expire()
    received += await pull(client, simulated.repository, broken, first_byte=len(received))
    assert received == BLOB
    assert simulated.store.signed == 2


@pytest.mark.parametrize("title", ["Quay"])
async def test_quays_ping_is_no_web_page(simulated: SimulatedRegistry, names: NameService) -> None:
    """`true` as `text/html`, with the header of a registry."""
    check = await check_login(target_of(simulated), credential_of(simulated), lookup=names)
    assert check.outcome is CheckOutcome.PASSED
    assert (check.auth_scheme, check.realm) == ("bearer", "https://quay.io/v2/auth")


@pytest.mark.parametrize("title", ["Harbor"])
async def test_harbors_401_for_a_missing_repository_mints_once_and_harms_no_other(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """goharbor/harbor#22363: a device that invents repositories causes no storm."""
    client = await open_client(keeps_tokens=True)
    await pull(client, simulated.repository, simulated.blob)
    for _ in range(5):
        with pytest.raises(CredentialRefusedError):
            await pull(client, "proxy/library/invented", simulated.blob)
    assert await pull(client, simulated.repository, simulated.blob) == BLOB
    assert simulated.minted == 2


@pytest.mark.parametrize("title", ["Artifactory"])
async def test_artifactorys_repositories_each_have_their_token_endpoint(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """Pulled from in turn, neither is asked for the other's tokens, and none is minted twice."""
    other = simulated.registry.blob(b"other", repository="docker-remote/app")
    client = await open_client(keeps_tokens=True)
    for _ in range(4):
        assert await pull(client, simulated.repository, simulated.blob) == BLOB
        assert await pull(client, "docker-remote/app", other) == b"other"
    keys = [request.path.split("/")[4] for request in simulated.endpoint.asked]
    assert keys == ["docker-local", "docker-remote"]
    refused = [r for r in simulated.registry.pulls if r.header("Authorization") is None]
    assert len(refused) == 2


@pytest.mark.parametrize("title", ["Amazon ECR"])
async def test_ecrs_expired_token_is_replaced_once(
    simulated: SimulatedRegistry, names: NameService
) -> None:
    """403 in plain text, for GET; its HEAD carries no text and is looked through."""
    registry = simulated.registry
    assert isinstance(registry, kinds.ElasticContainerRegistry)
    passwords = iter(["canary-first", "canary-second", "canary-third"])

    async def renew() -> Lasting[BasicCredential | None]:
        return Lasting(BasicCredential("AWS", Secret(next(passwords))), 12 * 3600)

    async def exchange(*_: object) -> Lasting[Secret]:
        raise AssertionError("there is no token endpoint")

    registry.expire("canary-first")
    transport = await UpstreamTransport.open(target_of(simulated), lookup=names)
    try:
        client = RegistryClient(transport, TokenBroker(Renewed(renew), exchange))
        assert await pull(client, simulated.repository, simulated.blob) == BLOB
        registry.expire("canary-second")
        assert await size_of(client, simulated.repository, simulated.blob) == len(BLOB)
        assert await pull(client, simulated.repository, simulated.blob) == BLOB
    finally:
        await transport.close()
    assert next(passwords) == "canary-third"


@pytest.mark.parametrize("title", ["Amazon ECR Public"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_public_ecrs_400_for_an_unknown_token_is_answered_with_a_new_one(
    simulated: SimulatedRegistry, open_client: OpenClient, method: Method
) -> None:
    """oras-project/oras-go#1227: no challenge, no 401, only a sentence."""
    client = await open_client(keeps_tokens=True)
    await pull(client, simulated.repository, simulated.blob)
    simulated.endpoint.revoke_tokens()
    assert await size_of(client, simulated.repository, simulated.blob, method) == len(BLOB)
    assert simulated.minted == 2


@pytest.mark.parametrize("title", ["Docker Hub"])
async def test_a_registry_that_is_unavailable_is_not_a_missing_blob(
    simulated: SimulatedRegistry, open_client: OpenClient
) -> None:
    """project-zot/zot#4352: trouble never becomes 404."""
    simulated.endpoint.answer = (503, (("Retry-After", "7"),), b"upstream text")
    with pytest.raises(ServerError) as trouble:
        await pull(await open_client(), "busybox", simulated.blob)
    assert (trouble.value.step, trouble.value.retry_after) == (Step.EXCHANGE, 7)
    simulated.endpoint.answer = (404, (), b"upstream text")
    with pytest.raises(UpstreamError) as missing:
        await pull(await open_client(), "busybox", simulated.blob)
    assert not isinstance(missing.value, NotInRegistryError | UnexpectedAnswerError)
