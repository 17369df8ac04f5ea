"""How a registry is asked what refers to a digest, and which answers say that it cannot tell."""

import pytest
from yarl import URL

from shared.oci import OCI_INDEX, Digest
from shared.upstream.client import RegistryClient
from shared.upstream.errors import (
    CredentialRefusedError,
    NotInRegistryError,
    RateLimitedError,
    ServerError,
    UnexpectedStatusError,
    UpstreamError,
)
from shared.upstream.referrers import UnknownRouteError, referrers_tag
from tests.support.simulators.behaviour import Answers, RedirectsTo
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.upstream.conftest import PASSWORD, ROBOT, Connect
from tests.unit.upstream.reading import APP

SUBJECT = Digest.of(b"subject")
LIST = b'{"manifests":[]}'


def login() -> BasicLogin:
    """A registry that knows the robot."""
    return BasicLogin(ROBOT.username, PASSWORD)


async def listed(client: RegistryClient, page: URL | None = None) -> bytes:
    """Ask for a page; return its body."""
    async with client.fetch_referrers(APP, SUBJECT, page) as found:
        return b"".join([chunk async for chunk in found.answer.chunks()])


@pytest.mark.parametrize(
    "digest, tag",
    [
        (SUBJECT, f"sha256-{SUBJECT.hex}"),
        (Digest("sha512", "ab" * 64), "sha512-" + "ab" * 32),
        (Digest("a" * 40, "b" * 70), "a" * 32 + "-" + "b" * 64),
    ],
)
def test_the_tag_is_the_digest_in_a_tags_grammar(digest: Digest, tag: str) -> None:
    """At most 32 characters of the algorithm, and 64 of the digest."""
    assert referrers_tag(digest) == tag


async def test_the_route_is_asked_with_the_credential(connect: Connect) -> None:
    """For an index; the answer says where it came from."""
    async with RegistrySimulator(login=login()) as registry:
        registry.listing(str(SUBJECT), b"", get=Answers(200, (("Link", '</x>; rel="next"'),), LIST))
        client = await connect(registry, ROBOT)
        async with client.fetch_referrers(APP, SUBJECT) as found:
            assert b"".join([chunk async for chunk in found.answer.chunks()]) == LIST
        assert (
            str(found.asked) == str(found.url) == f"{registry.origin}/v2/{APP}/referrers/{SUBJECT}"
        )
        assert found.links == ('</x>; rel="next"',)
        assert registry.pulls[-1].header("Accept") == OCI_INDEX


async def test_a_store_is_shown_no_credential(connect: Connect) -> None:
    """Where a page came from may be another origin than the registry's, which is told apart."""
    async with StoreSimulator() as store, RegistrySimulator(login=login()) as registry:
        url = store.put(LIST)
        registry.listing(str(SUBJECT), b"", get=RedirectsTo(url))
        client = await connect(registry, ROBOT)
        async with client.fetch_referrers(APP, SUBJECT) as found:
            assert (found.asked.origin(), found.url.origin()) == (
                URL(registry.origin),
                URL(store.origin),
            )


@pytest.mark.parametrize("status", [400, 404, 405, 406, 410, 501])
async def test_a_registry_that_has_no_such_route(connect: Connect, status: int) -> None:
    """In whatever way it says so; it was reached, and nothing is wrong with it."""
    async with RegistrySimulator(login=login()) as registry:
        registry.listing(str(SUBJECT), b"", get=Answers(status))
        client = await connect(registry, ROBOT)
        with pytest.raises(UnknownRouteError) as error:
            await listed(client)
        assert error.value.at_registry


@pytest.mark.parametrize(
    "status, kind",
    [
        (401, CredentialRefusedError),
        (403, CredentialRefusedError),
        (409, UnexpectedStatusError),
        (429, RateLimitedError),
        (500, ServerError),
        (503, ServerError),
    ],
)
async def test_what_fails_is_no_unknown_route(
    connect: Connect, status: int, kind: type[UpstreamError]
) -> None:
    """Or an image whose signatures cannot be told would pass for one without any."""
    async with RegistrySimulator(login=login()) as registry:
        registry.listing(str(SUBJECT), b"", get=Answers(status))
        client = await connect(registry, ROBOT)
        with pytest.raises(kind) as error:
            await listed(client)
        assert not isinstance(error.value, UnknownRouteError)


async def test_a_later_page_that_is_missing_is_missing(connect: Connect) -> None:
    """The route was there a moment ago."""
    async with RegistrySimulator() as registry:
        client = await connect(registry)
        with pytest.raises(NotInRegistryError) as error:
            await listed(client, URL(f"{registry.origin}/v2/next"))
        assert not isinstance(error.value, UnknownRouteError)
