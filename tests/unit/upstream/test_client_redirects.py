"""Redirects, followed by hand. The stores here fail the test if they see a credential."""

import pytest

from shared.oci import Digest, Kind
from shared.upstream.errors import (
    EgressRefusedError,
    NotInRegistryError,
    RedirectRefusedError,
    UnexpectedAnswerError,
    UpstreamError,
)
from shared.upstream.target import UpstreamTarget
from tests.support.simulators.behaviour import Answers, BreaksAt, RedirectsTo
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.upstream.conftest import PASSWORD, ROBOT, Connect
from tests.unit.upstream.reading import APP, read

CONTENT = b"0123456789" * 1000


def login() -> BasicLogin:
    """A registry that knows the robot."""
    return BasicLogin(ROBOT.username, PASSWORD)


async def test_a_store_gets_the_request_without_the_credential(connect: Connect) -> None:
    """Only what is on the allow-list crosses an origin, and the signed URL arrives verbatim."""
    async with StoreSimulator() as store, RegistrySimulator(login=login()) as registry:
        url = store.put(CONTENT)
        digest = registry.blob(CONTENT, get=RedirectsTo(url))
        client = await connect(registry, ROBOT)
        assert await read(client, digest) == CONTENT
        [request] = store.requests
        assert store.origin + request.target == url
        assert {name for name, _ in request.headers} == {
            "Host",
            "Accept",
            "Accept-Encoding",
            "User-Agent",
        }


async def test_a_range_crosses_to_the_store(connect: Connect) -> None:
    """A broken body resumes there."""
    async with StoreSimulator() as store, RegistrySimulator(login=login()) as registry:
        digest = registry.blob(CONTENT, get=RedirectsTo(store.put(CONTENT, get=BreaksAt(0))))
        client = await connect(registry, ROBOT)
        assert await read(client, digest, first_byte=42) == CONTENT[42:]


async def test_a_credential_does_not_come_back_in_a_chain(connect: Connect) -> None:
    """Registry, store, registry: the last one is asked anonymously."""
    async with StoreSimulator() as store, RegistrySimulator(login=login()) as registry:
        final = registry.blob(CONTENT)
        home = f"{registry.origin}/v2/team/app/blobs/{final}"
        digest = registry.blob(b"other", get=RedirectsTo(store.put(b"x", get=RedirectsTo(home))))
        client = await connect(registry, ROBOT)
        with pytest.raises(UnexpectedAnswerError):
            await read(client, digest)
        assert [request.header("Authorization") is None for request in registry.requests] == [
            True,
            False,
            True,
        ]


async def test_a_redirect_within_the_registry_keeps_the_credential(connect: Connect) -> None:
    """The same scheme, host and port."""
    async with RegistrySimulator(login=login()) as registry:
        final = registry.blob(CONTENT)
        digest = registry.blob(b"other", get=RedirectsTo(f"/v2/team/app/blobs/{final}"))
        client = await connect(registry, ROBOT)
        assert await read(client, digest) == CONTENT


@pytest.mark.parametrize(
    "reference",
    ["./{digest}", "../blobs/{digest}", "/v2/x/../team/app/blobs/{digest}#f", "//{host}/v2/{path}"],
)
async def test_a_location_may_be_any_relative_reference(connect: Connect, reference: str) -> None:
    """RFC 9110 section 10.2.2; within the registry the credential is kept."""
    async with RegistrySimulator(login=login()) as registry:
        final = registry.blob(CONTENT)
        location = reference.format(
            digest=final, host=registry.authority, path=f"team/app/blobs/{final}"
        )
        digest = registry.blob(b"other", get=RedirectsTo(location))
        client = await connect(registry, ROBOT)
        assert await read(client, digest) == CONTENT


async def test_a_stores_challenge_is_not_answered(connect: Connect) -> None:
    """Its 401 is not about our credential."""
    refusal = Answers(401, (("WWW-Authenticate", 'Basic realm="store"'),))
    async with StoreSimulator() as store, RegistrySimulator(login=login()) as registry:
        digest = registry.blob(CONTENT, get=RedirectsTo(store.put(CONTENT, get=refusal)))
        client = await connect(registry, ROBOT)
        with pytest.raises(UnexpectedAnswerError):
            await read(client, digest)
        assert len(store.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 405])
async def test_a_store_that_refuses_head_gives_its_first_byte(
    connect: Connect, status: int
) -> None:
    """A URL signed for GET answers 403 to HEAD; the registry signs another one."""
    async with StoreSimulator() as store, RegistrySimulator(login=login()) as registry:
        url = store.put(CONTENT, head=Answers(status))
        digest = registry.blob(CONTENT, get=RedirectsTo(url))
        client = await connect(registry, ROBOT)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest), method="HEAD") as answer:
            assert answer.content_length == len(CONTENT)
        assert [request.header("Range") for request in store.requests] == [None, "bytes=0-0"]


async def test_what_a_store_does_not_have_is_not_found(connect: Connect) -> None:
    """Some registries redirect without looking."""
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=RedirectsTo(f"{store.origin}/nothing"))
        client = await connect(registry)
        with pytest.raises(NotInRegistryError):
            await read(client, digest)


async def test_a_loop_of_redirects_ends(connect: Connect) -> None:
    """After five."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=RedirectsTo("/v2/"))
        path = f"/v2/team/app/blobs/{digest}"
        registry.blob(CONTENT, get=RedirectsTo(path), digest=digest)
        client = await connect(registry)
        with pytest.raises(RedirectRefusedError):
            await read(client, digest)
        assert len(registry.requests) == 6


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_every_redirect_status_is_followed_with_the_same_method(
    connect: Connect, status: int
) -> None:
    """HEAD stays HEAD."""
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=RedirectsTo(store.put(CONTENT), status))
        client = await connect(registry)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest), method="HEAD") as answer:
            assert answer.content_length == len(CONTENT)
        assert store.requests[0].method == "HEAD"


@pytest.mark.parametrize(
    "location, error",
    [
        ("http://169.254.169.254/latest/meta-data/", EgressRefusedError),
        ("http://169.254.10.10/", EgressRefusedError),
        ("http://10.0.0.1/", EgressRefusedError),
        ("http://0.0.0.0/", EgressRefusedError),
        ("http://168.63.129.16/", EgressRefusedError),
        ("http://[::ffff:169.254.169.254]/", RedirectRefusedError),
        ("http://2852039166/", RedirectRefusedError),
        ("http://user:password@127.0.0.1/", RedirectRefusedError),
        ("ftp://127.0.0.1/", RedirectRefusedError),
        ("", RedirectRefusedError),
    ],
)
async def test_a_redirect_inwards_is_refused(
    connect: Connect, location: str, error: type[UpstreamError]
) -> None:
    """Metadata, link-local and private addresses, in any notation."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=RedirectsTo(location))
        client = await connect(registry, ROBOT)
        with pytest.raises(error):
            await read(client, digest)


async def test_a_name_that_resolves_inwards_is_refused(connect: Connect) -> None:
    """`localhost` without the flag for loopback: judged where it resolves to."""
    async with RegistrySimulator(name="localhost") as registry:
        digest = registry.blob(CONTENT)
        refused = await connect(UpstreamTarget(registry.host, plain_http=True))
        with pytest.raises(EgressRefusedError) as refusal:
            await read(refused, digest)
        assert "127.0.0.1" not in str(refusal.value)
        assert registry.connections_made == 0
        allowed = await connect(registry)
        assert await read(allowed, digest) == CONTENT


async def test_a_literal_host_is_judged_before_it_is_connected_to(connect: Connect) -> None:
    """Aiohttp resolves names only, and connects to a literal as it stands."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT)
        client = await connect(UpstreamTarget(registry.host, plain_http=True))
        with pytest.raises(EgressRefusedError):
            await read(client, digest)
        assert registry.connections_made == 0
