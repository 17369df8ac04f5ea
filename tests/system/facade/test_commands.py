"""`facade check`, `tags` and `resolve` as processes, beside a facade that serves."""

import asyncio

import pytest
import yaml

from deploy.dev.image import Destination, Image, make_image, make_index, push
from deploy.dev.registry import Registry
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.support.facade_command import facade_command
from tests.support.facade_process import Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path, write_and_wait
from tests.support.simulators.behaviour import Answers
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.proxy import ProxySimulator
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.warm.program import Finished
from tests.system.facade.conftest import StartFacade

PROXY_PASSWORD = "canary-proxy-password"
NEEDED = (
    "FACADE_ALLOW_LOOPBACK",
    "FACADE_DATABASE_URL",
    "FACADE_SEALING_PRIVATE_KEY_FILE",
    "FACADE_STATEMENT_PUBLIC_KEY_FILE",
)


async def run(facade: Facade, *arguments: str, **settings: str) -> Finished:
    """Run a command with the serving facade's own environment; see that nothing leaks."""
    finished = await facade_command({**facade.environment, **settings}, *arguments)
    said = finished.output + finished.words
    for secret in (CANARY_TOKEN, ROBOT_PASSWORD, PROXY_PASSWORD, "own password", "Traceback"):
        assert secret not in said
    return finished


async def test_a_check_passes_beside_a_facade_that_serves(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """With its whole environment, state folder included, or with no more than a check needs."""
    digest = upstream.manifest(b"{}")
    await connect(facade, writer, upstream)
    needed = {name: facade.environment[name] for name in NEEDED}
    at_host, of_digest = await asyncio.gather(
        facade_command(needed, "check", upstream.host.path_form),
        run(facade, "check", f"{upstream.host}/team/app@{digest}", "--json"),
    )
    assert (at_host.status, at_host.output) == (0, "passed\n")
    assert "ok:      the approval: verified, by bob" in at_host.words
    assert "ok:      logging in" in at_host.words
    assert "note: the login alone was tried" in at_host.words
    assert "the login alone" not in of_digest.words
    assert of_digest.status == 0
    assert of_digest.result["outcome"] == "passed"
    (connection,) = of_digest.result["connections"]
    assert connection["steps"][-1]["step"] == "pull"
    assert facade.is_ready()


async def test_a_failed_check_names_the_step(facade: Facade, writer: StatementWriter) -> None:
    """Exit status 1, and the words on standard error."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, "another")) as registry:
        await connect(facade, writer, registry)
        finished, barred = await asyncio.gather(
            run(facade, "check", str(registry.host)),
            run(facade, "check", str(registry.host), FACADE_ALLOW_LOOPBACK="false"),
        )
    assert (finished.status, finished.output) == (1, "failed\n")
    assert "failed:  logging in: the registry refuses the credential" in finished.words
    assert "note: the login alone was tried" in finished.words
    assert (barred.status, barred.output) == (1, "failed\n")
    assert "failed:  resolving the host" in barred.words
    assert "the login alone" not in barred.words


async def test_what_is_not_approved_is_not_asked(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Never connected, revoked, out of scope, and approved by nobody whom we believe."""
    digest = upstream.manifest(b"{}")
    asked = f"{upstream.host}/team/app@{digest}"
    stranger = StatementWriter(writer.owner_url, sealing_key=writer.sealing_key)
    forged = stranger.approval(str(upstream.host), plain_http=True)
    await writer.write_row(forged.subject, stranger.sign(forged), forged.generation)
    unknown, repository = await asyncio.gather(
        run(facade, "check", str(upstream.host), "--json"),
        run(facade, "tags", f"{upstream.host}/team/app"),
    )
    assert (unknown.status, unknown.result["outcome"]) == (1, "failed")
    assert unknown.result["connections"] == []
    assert "is not believed" in unknown.words
    for each in (unknown, repository):
        assert f"control-plane connections show {upstream.host}`" in each.words
    assert (repository.status, repository.output) == (1, "")
    approval = await connect(facade, writer, upstream, repository_prefix=None)
    await writer.revoke(approval.connection_id)
    revoked = await run(facade, "check", asked)
    assert (revoked.status, revoked.output) == (1, "failed\n")
    assert upstream.requests == []


async def test_every_connection_of_a_host_is_checked(
    facade: Facade, writer: StatementWriter
) -> None:
    """A digest through the one that serves it; of the host, each, and one that fails fails all."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as registry:
        digest = registry.manifest(b"{}")
        await connect(facade, writer, registry, token="canary-wrong")
        await connect(facade, writer, registry, repository_prefix=RepositoryName("team"))
        whole, served = await asyncio.gather(
            run(facade, "check", str(registry.host), "--json"),
            run(facade, "check", f"{registry.host}/team/app@{digest}", "--json"),
        )
    outcomes = [
        (each["repository_prefix"], each["outcome"]) for each in whole.result["connections"]
    ]
    assert outcomes == [("team", "passed"), ("", "failed")]
    assert (whole.status, whole.result["outcome"]) == (1, "failed")
    assert (served.status, served.result["outcome"]) == (0, "passed")


@pytest.fixture
async def pushed(
    htpasswd_registry: Registry, repository: str, robot_login: dict[str, str], image: Image
) -> dict[str, str]:
    """A real registry's repository with two tags: an image and an index; their digests."""
    to = Destination(htpasswd_registry.url, repository, robot_login)
    index = make_index([make_image({"a": b"a"}), make_image({"a": b"b"}, architecture="arm64")])
    return {
        "1.0": await push(image, to, tag="1.0"),
        "multi": await push(index, to, tag="multi"),
    }


async def test_a_real_registrys_tags_become_digests(
    facade: Facade,
    writer: StatementWriter,
    htpasswd_registry: Registry,
    repository: str,
    pushed: dict[str, str],
) -> None:
    """Tags one a line; a digest alone on standard output, to pin."""
    approval = writer.approval(
        htpasswd_registry.host, username=ROBOT, token=ROBOT_PASSWORD, plain_http=True
    )
    await write_and_wait(facade, writer, approval)
    at = f"{htpasswd_registry.host}/{repository}"
    form = RegistryHost.parse(htpasswd_registry.host).path_form
    tags, as_yaml, listed, plain, multi, missing = await asyncio.gather(
        run(facade, "tags", at),
        run(facade, "tags", at, "--yaml"),
        run(facade, "tags", f"{form}/{repository}", "--json"),
        run(facade, "resolve", f"{at}:1.0"),
        run(facade, "resolve", f"{at}:multi", "--json"),
        run(facade, "resolve", f"{at}:none"),
    )
    assert (tags.status, sorted(tags.output.splitlines())) == (0, ["1.0", "multi"])
    assert listed.result["tags"] == tags.output.splitlines()
    assert yaml.safe_load(as_yaml.output) == listed.result
    assert listed.result["clipped"] is None
    assert (plain.status, plain.output) == (0, f"{at}@{pushed['1.0']}\n")
    assert "size:" in plain.words
    assert multi.result["digest"] == pushed["multi"]
    assert multi.result["facade_reference"] == f"{form}/{repository}@{pushed['multi']}"
    platforms = {each["platform"]: each["size_bytes"] for each in multi.result["platforms"]}
    assert platforms.keys() == {"linux/amd64", "linux/arm64"}
    assert all(size > 0 for size in platforms.values())
    assert (missing.status, missing.output) == (1, "")
    assert "does not have it" in missing.words
    await writer.revoke(approval.connection_id)


async def test_a_list_whose_link_cannot_be_read_says_that_it_is_not_whole(
    facade: Facade, writer: StatementWriter
) -> None:
    """On standard error and under `clipped`: nobody takes it for the end."""
    async with RegistrySimulator() as registry:
        link = ("Link", "</v2/team/app/tags/list?last=a>; rel=")
        registry.paths["/v2/team/app/tags/list"] = Answers(200, (link,), b'{"tags":["a"]}')
        await connect(facade, writer, registry, username=None, token=None)
        listed = await run(facade, "tags", f"{registry.host}/team/app", "--json")
    assert (listed.status, listed.result["tags"]) == (0, ["a"])
    assert listed.result["clipped"] == "a Link header of its answer cannot be read"
    assert "the list is not whole: a Link header of its answer cannot be read" in listed.words


async def test_a_wrong_call_and_a_wrong_configuration_are_told_apart_from_a_failure(
    facade: Facade,
) -> None:
    """Exit status 2, before anything is asked."""
    wrong_call, wrong_proxy, empty, away = await asyncio.gather(
        run(facade, "resolve", "ghcr.io/team/app"),
        run(facade, "check", "ghcr.io", FACADE_HTTPS_PROXY=f"ftp://user:{PROXY_PASSWORD}@proxy"),
        facade_command({}, "tags", "ghcr.io/team/app"),
        run(facade, "check", "ghcr.io", FACADE_DATABASE_URL="postgresql://127.0.0.1:1/none"),
    )
    assert wrong_call.status == wrong_proxy.status == empty.status == 2
    assert "HOST/REPOSITORY:TAG" in wrong_call.words
    assert wrong_proxy.words.startswith("FACADE_HTTPS_PROXY: expected")
    assert len(empty.words.splitlines()) == 3
    assert away.status == 1
    refused = "ConnectionRefusedError: nothing listens at that host and port"
    assert f"the database cannot be read: {refused}" in away.words


async def test_everything_goes_through_the_operators_proxy_and_no_other(
    writer: StatementWriter,
    facade: Facade,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """The commands and the facade itself; a proxy of the environment is not asked."""
    digest = upstream.blob(b"content")
    await connect(facade, writer, upstream)
    async with (
        ProxySimulator(username="user", password=PROXY_PASSWORD) as proxy,
        ProxySimulator() as foreign,
    ):
        settings = {
            "FACADE_HTTPS_PROXY": proxy.url.replace("//", f"//user:{PROXY_PASSWORD}@"),
            "HTTP_PROXY": foreign.url,
            "https_proxy": foreign.url,
        }
        finished = await run(facade, "check", str(upstream.host), **settings)
        assert (finished.status, finished.output) == (0, "passed\n")
        asked = len(proxy.requests)
        assert asked > 0
        behind = start_facade(writer, facade.environment["FACADE_DATABASE_URL"], settings)
        answer = await behind.device().get(pull_path(upstream, digest))
        assert (answer.status, answer.body) == (200, b"content")
        assert len(proxy.requests) > asked
        assert set(proxy.targets) == {f"127.0.0.1:{upstream.port}"}
        assert PROXY_PASSWORD not in behind.log_text
        assert foreign.connections_made == 0


async def test_what_the_operator_excepts_is_reached_beside_the_proxy(
    writer: StatementWriter,
    facade: Facade,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """The commands, which say so, and the facade itself; the network is the one of its address."""
    digest = upstream.blob(b"content")
    await connect(facade, writer, upstream)
    async with ProxySimulator() as proxy:
        settings = {
            "FACADE_HTTPS_PROXY": proxy.url,
            "FACADE_NO_PROXY": ".corp.example, 127.0.0.0/8",
        }
        finished = await run(facade, "check", str(upstream.host), **settings)
        assert (finished.status, finished.output) == (0, "passed\n")
        assert f"to {upstream.authority} directly, beside the outbound proxy" in finished.words
        behind = start_facade(writer, facade.environment["FACADE_DATABASE_URL"], settings)
        answer = await behind.device().get(pull_path(upstream, digest))
        assert (answer.status, answer.body) == (200, b"content")
        assert proxy.connections_made == 0
        settings["FACADE_NO_PROXY"] = "10.0.0.0/8"
        finished = await run(facade, "check", str(upstream.host), **settings)
        assert f"to {upstream.authority} through the outbound proxy" in finished.words
        assert proxy.connections_made > 0
