"""A device pulls from each registry of the mission, end to end.

The facade is a real process, and is told the registries' own names; an outbound proxy that resolves
(`FACADE_PROXY_RESOLVES`) leads those names to simulators on loopback. So host names, certificates,
realms on other hosts, redirects and stores are as in the world. The real ones cannot be reached
from a test; what is real is the registry that Debian ships, in `test_registries_on_premises.py`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from attrs import frozen

from deploy.dev.device_ca import IssuedCertificate
from deploy.dev.processes import free_port
from shared.oci import OCI_INDEX, Digest
from shared.registry_host import RegistryHost
from shared.upstream.referrers import referrers_tag
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import until_accepted
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.referrers import SBOM, attached, digests_of, index_with, serve
from tests.support.simulators import registry_kinds as kinds
from tests.support.simulators.behaviour import BreaksAt
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.proxy import ProxySimulator
from tests.support.simulators.registries import (
    BLOB,
    CANARY_PASSWORD,
    TITLES,
    Estate,
    SimulatedRegistry,
)
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import WITHOUT_LIMITS

pytestmark = pytest.mark.asyncio(loop_scope="module")

WARM_PULLS = 1000
DEVICE_CONNECTIONS = 4
# A token without `expires_in` lives 60 s, and is renewed ahead after some 36 s of use.
RENEWED_AFTER_SECONDS = 30


@frozen
class World:
    """A facade that is connected to every registry, each listening."""

    device: Device
    facade: Facade
    registries: Mapping[str, SimulatedRegistry]


@pytest.fixture(scope="module")
def proxy_port() -> int:
    """Where the facade finds its outbound proxy."""
    return free_port()


@pytest.fixture(scope="module")
def facade_settings(proxy_port: int) -> Mapping[str, str]:
    """Every name is resolved by the proxy."""
    return {
        "FACADE_HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}",
        "FACADE_PROXY_RESOLVES": "true",
        **WITHOUT_LIMITS,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    proxy_port: int,
    facade: Facade,
    writer: StatementWriter,
    issued: IssuedCertificate,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[World]:
    """Everything, connected once."""
    estate = Estate.create(tmp_path_factory.mktemp("estate"))
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(ProxySimulator(port=proxy_port))
        registries = {
            title: await stack.enter_async_context(estate.started(title)) for title in TITLES
        }
        for simulated in registries.values():
            simulated.lead(proxy.leads_to)
            approval = await writer.approve(simulated.host, referrers=True, **simulated.fields)
            await until_accepted(facade, approval)
        yield World(facade.device(issued), facade, registries)


@pytest.fixture
def simulated(world: World, title: str) -> SimulatedRegistry:
    """The registry that the test names in `title`."""
    return world.registries[title]


def path_of(
    simulated: SimulatedRegistry, digest: str, *, kind: str = "blobs", repository: str | None = None
) -> str:
    """Return the path that a device asks the facade for."""
    host = RegistryHost.parse(simulated.host).path_form
    return f"/v2/{host}/{repository or simulated.repository}/{kind}/{digest}"


@pytest.mark.parametrize("title", TITLES)
async def test_a_device_pulls_an_image(world: World, simulated: SimulatedRegistry) -> None:
    """Manifest and blob, whole and verified; the size by HEAD; the store sees no credential."""
    manifest = await world.device.get(path_of(simulated, simulated.manifest, kind="manifests"))
    assert manifest.status == 200
    assert simulated.blob.encode() in manifest.body
    blob = await world.device.get(path_of(simulated, simulated.blob))
    assert (blob.status, blob.body) == (200, BLOB)
    head = await world.device.get(path_of(simulated, simulated.blob), method="HEAD")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(BLOB)))
    missing = await world.device.get(path_of(simulated, "sha256:" + "0" * 64))
    assert (missing.status, missing.error_code) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("title", TITLES)
async def test_a_device_finds_what_refers_to_an_image(
    world: World, simulated: SimulatedRegistry
) -> None:
    """At a registry that lists it at the route for it, and at one where clients keep a tag."""
    registry, repository = simulated.registry, simulated.upstream_repository
    signature, sbom = attached(simulated.manifest), attached(simulated.blob, SBOM)
    serve(registry, [signature, sbom], repository=repository)
    index = index_with([signature.claimed, sbom.claimed])
    registry.listing(simulated.manifest, index, repository=repository)
    tag = referrers_tag(Digest.parse(simulated.blob))
    registry.manifest(index, media_type=OCI_INDEX, repository=repository, digest=tag)
    for subject, referrer in ((simulated.manifest, signature), (simulated.blob, sbom)):
        answer = await world.device.get(path_of(simulated, subject, kind="referrers"))
        assert (answer.status, digests_of(answer.body)) == (200, [referrer.digest]), answer.body
        pulled = await world.device.get(path_of(simulated, referrer.digest, kind="manifests"))
        assert (pulled.status, pulled.body) == (200, referrer.content)
    none = await world.device.get(path_of(simulated, "sha256:" + "1" * 64, kind="referrers"))
    assert (none.status, digests_of(none.body)) == (200, [])


@pytest.mark.parametrize("title", TITLES)
async def test_a_thousand_warm_pulls_mint_nothing(
    world: World, simulated: SimulatedRegistry
) -> None:
    """One token is minted before, or none where the credential itself is what is sent."""
    path = path_of(simulated, simulated.manifest, kind="manifests")
    assert (await world.device.get(path)).status == 200
    first, asked = simulated.minted, len(simulated.registry.pulls)
    pulls = WARM_PULLS // DEVICE_CONNECTIONS
    await asyncio.gather(
        *(pull_again(world.device, path, pulls) for _ in range(DEVICE_CONNECTIONS))
    )
    mints = simulated.minted - first
    # Devices that ask at the same moment may share an answer.
    assert len(simulated.registry.pulls) - asked >= pulls
    row = f"| {title_of(world, simulated)} | wire simulator | {first} + {mints} |"
    print(row)  # noqa: T201 - the table of the closing note: `pytest -rP` shows it
    assert mints <= renewals_due(simulated, first)
    is_basic = isinstance(simulated.registry.login, BasicLogin)
    assert (first > 0) is not is_basic


def renewals_due(simulated: SimulatedRegistry, tokens: int) -> int:
    """Return how often a token had to be renewed by now: on a slow machine, or in a late test."""
    if isinstance(simulated.registry.login, BasicLogin):
        return 0
    newest = simulated.endpoint.minted_at[tokens - 1]
    return int((time.monotonic() - newest) / RENEWED_AFTER_SECONDS)


async def pull_again(device: Device, path: str, times: int) -> None:
    """Pull that many times on one connection."""
    async with raw_connection(device) as connection:
        for _ in range(times):
            await connection.send(request_bytes(path.encode()))
            assert (await connection.answer()).status == 200


def title_of(world: World, simulated: SimulatedRegistry) -> str:
    """Return the registry's name in the table."""
    return next(title for title, registry in world.registries.items() if registry is simulated)


@pytest.mark.parametrize("title", ["GHCR", "Amazon ECR", "ACR"])
async def test_a_body_that_breaks_goes_on_from_a_new_signed_url(
    world: World, simulated: SimulatedRegistry
) -> None:
    """The device notices nothing, though the first URL was used up."""
    assert simulated.store is not None
    content = BLOB[::-1]
    digest = simulated.registry.blob(
        content, repository=simulated.upstream_repository, get=BreaksAt(100_000)
    )
    signed = simulated.store.signed
    answer = await world.device.get(path_of(simulated, digest))
    assert (answer.status, answer.body) == (200, content)
    assert simulated.store.signed == signed + 2


@pytest.mark.parametrize("title", ["Docker Hub"])
async def test_docker_hubs_rate_limit_reaches_the_device_as_one(
    world: World, simulated: SimulatedRegistry
) -> None:
    """429 with the delay that was asked for, and nothing of its text."""
    hub = simulated.registry
    assert isinstance(hub, kinds.DockerHub)
    digest = hub.manifest(b"{}", repository="library/limited")
    limit, hub.limit = hub.limit, 0
    path = path_of(simulated, digest, kind="manifests", repository="limited")
    limited = await world.device.get(path)
    hub.limit = limit
    assert (limited.status, limited.error_code) == (429, "TOOMANYREQUESTS")
    assert limited.headers["Retry-After"] == "17"
    assert b"upstream text" not in limited.body


@pytest.mark.parametrize("title", ["Harbor"])
async def test_invented_repositories_mint_little_and_harm_nobody(
    world: World, simulated: SimulatedRegistry
) -> None:
    """Harbor answers 401 for what does not exist: one token for each name, however often asked."""
    before = simulated.minted
    for _ in range(5):
        path = path_of(simulated, simulated.blob, repository="proxy/library/invented")
        refused = await world.device.get(path)
        assert (refused.status, refused.error_code) == (502, "DENIED")
    assert simulated.minted <= before + 1
    assert (await world.device.get(path_of(simulated, simulated.blob))).status == 200


@pytest.mark.parametrize("title", ["Artifactory"])
async def test_repositories_of_one_artifactory_do_not_disturb_each_other(
    world: World, simulated: SimulatedRegistry
) -> None:
    """Each has a token endpoint of its own, and its tokens are worth nothing at the other."""
    other = simulated.registry.blob(b"other", repository="docker-remote/app")
    own_path = path_of(simulated, simulated.blob)
    other_path = path_of(simulated, other, repository="docker-remote/app")
    asked = len(simulated.endpoint.asked)
    for _ in range(3):
        assert (await world.device.get(own_path)).status == 200
        assert (await world.device.get(other_path)).body == b"other"
    keys = [request.path.split("/")[4] for request in simulated.endpoint.asked[asked:]]
    assert keys.count("docker-remote") == 1


async def test_no_secret_is_in_the_facades_log(world: World) -> None:
    """Passwords, tokens, cookies and signed URLs of all that was pulled above."""
    log = world.facade.log_text
    assert CANARY_PASSWORD not in log
    assert "canary" not in log
    assert "X-Signature" not in log
    for simulated in world.registries.values():
        login = simulated.registry.login
        for token in getattr(login, "tokens", ()):
            assert token not in log
