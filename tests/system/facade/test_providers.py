"""Pulls through credentials that Google and AWS mint: how often, for how long, and for whom."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs
import orjson
import pytest

from deploy.dev.device_ca import IssuedCertificate
from deploy.dev.processes import free_port
from facade.registries.refusals import REFUSAL_SECONDS
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import (
    CANARY_TOKEN,
    USERNAME,
    connect,
    pull_path,
    until_accepted,
    write_and_wait,
)
from tests.support.forgotten import Forgotten
from tests.support.provided import EXTERNAL_ID, Provided, ProviderEstate
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.aws import KEY_CANARY, AwsSimulator, sts_error
from tests.support.simulators.behaviour import Answers, BreaksEvery, RedirectsTo
from tests.support.simulators.google import GoogleSimulator
from tests.support.simulators.login import BasicLogin, BearerLogin
from tests.support.simulators.minted import TOKEN_CANARY
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.signed_store import SignedStore
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import WITHOUT_LIMITS

WARM_PULLS = 1000
DEVICE_CONNECTIONS = 4
MIB = 1024 * 1024
LARGE = hashlib.shake_128(b"large").digest(900_000)


@pytest.fixture(scope="module")
def estate() -> ProviderEstate:
    """Where the providers will listen."""
    return ProviderEstate(free_port(), free_port())


@pytest.fixture(scope="module")
def facade_settings(estate: ProviderEstate) -> Mapping[str, str]:
    """The module's facade asks the simulated providers; a device may pull without a limit."""
    return estate.facade_settings | WITHOUT_LIMITS


@pytest.fixture(params=["google", "ecr"])
async def provided(
    request: pytest.FixtureRequest, estate: ProviderEstate
) -> AsyncIterator[Provided]:
    """Each of the two, with a registry of its own."""
    async with estate.google() if request.param == "google" else estate.ecr() as provided:
        yield provided


@pytest.fixture
def device(facade: Facade, issued: IssuedCertificate) -> Device:
    """A good device."""
    return facade.device(issued)


class Connected:
    """A registry that the facade is connected to, with a blob in it."""

    def __init__(self, provided: Provided, device: Device) -> None:
        self.digest = provided.registry.blob(b"content")
        self.path = pull_path(provided.registry, self.digest)
        self._device = device

    async def pull(self) -> int:
        """Pull the blob; return the status."""
        answer = await self._device.get(self.path)
        assert answer.status != 200 or answer.body == b"content"
        return answer.status


@pytest.fixture
async def connected(
    provided: Provided, facade: Facade, writer: StatementWriter, device: Device
) -> Connected:
    """Connect the registry."""
    await connect_to(provided, facade, writer)
    return Connected(provided, device)


async def connect_to(
    provided: Provided, facade: Facade, writer: StatementWriter, **others: Any
) -> None:
    """Approve the registry with its provider's credential."""
    fields = {"username": None, "token": None} | provided.fields | others
    await connect(facade, writer, provided.registry, **fields)


async def pull_on_one_connection(device: Device, path: str, times: int) -> None:
    """Pull that many times, one after the other."""
    async with raw_connection(device) as connection:
        for _ in range(times):
            await connection.send(request_bytes(path.encode()))
            assert (await connection.answer()).status == 200


async def test_a_hundred_first_pulls_at_once_mint_one_credential(
    provided: Provided, connected: Connected, device: Device
) -> None:
    """A fleet that starts together; the signatures are the provider's to verify."""
    await asyncio.gather(*(pull_on_one_connection(device, connected.path, 1) for _ in range(100)))
    assert len(provided.tokens) == 1
    match provided.provider:
        case GoogleSimulator() as google:
            assert (google.refused, provided.asked) == ([], 1)
        case AwsSimulator() as aws:
            assert [signed.service for signed in aws.signed] == ["sts", "ecr"]


@pytest.mark.parametrize("name", ["static Basic", "static Bearer", "Google", "ECR"])
async def test_a_thousand_warm_pulls_mint_nothing(
    name: str, estate: ProviderEstate, facade: Facade, writer: StatementWriter, device: Device
) -> None:
    """The mints of a thousand pulls: one token, or none where the password itself is sent."""
    match name:
        case "static Basic" | "static Bearer":
            bearer = BearerLogin(USERNAME, CANARY_TOKEN)
            basic = BasicLogin(USERNAME, CANARY_TOKEN)
            login = basic if name == "static Basic" else bearer
            async with RegistrySimulator(login=login) as registry:
                path = pull_path(registry, registry.blob(b"content"))
                await connect(facade, writer, registry)
                await pull_a_thousand_times(device, path)
            minted, expected = bearer.minted, 0 if name == "static Basic" else 1
        case _:
            async with estate.google() if name == "Google" else estate.ecr() as provided:
                await connect_to(provided, facade, writer)
                await pull_a_thousand_times(device, Connected(provided, device).path)
                minted, expected = len(provided.tokens), 1
    print(f"| {name} | {WARM_PULLS} | {minted} |")  # noqa: T201 - a table: `pytest -rP` shows it
    assert minted == expected


async def pull_a_thousand_times(device: Device, path: str) -> None:
    """Pull over a few connections at once, the first pull before all others."""
    await pull_on_one_connection(device, path, 1)
    times = WARM_PULLS // DEVICE_CONNECTIONS
    await asyncio.gather(
        *(pull_on_one_connection(device, path, times) for _ in range(DEVICE_CONNECTIONS))
    )


@pytest.fixture
async def both(estate: ProviderEstate) -> AsyncIterator[tuple[Provided, Provided]]:
    """The two at once, for what takes time."""
    async with estate.google() as google, estate.ecr() as ecr:
        yield google, ecr


async def test_a_pull_outlasts_its_token(
    both: tuple[Provided, Provided], facade: Facade, writer: StatementWriter, device: Device
) -> None:
    """Tokens of 2 s, a pull of 6 s that breaks twice: each part is asked for with a live one."""

    async def outlast(provided: Provided) -> None:
        provided.live_for(2)
        provided.registry.pause_seconds = 2.0
        digest = provided.registry.blob(LARGE, get=BreaksEvery(len(LARGE) // 3))
        await connect_to(provided, facade, writer)
        answer = await device.get(pull_path(provided.registry, digest))
        assert (answer.status, answer.body) == (200, LARGE)
        assert len(provided.tokens) == len(provided.registry.pulls) == 3

    await asyncio.gather(*map(outlast, both))


async def test_a_token_that_ended_before_its_time_is_minted_anew_once(
    provided: Provided, connected: Connected
) -> None:
    """ECR's 403 in plain text, Google's 401: drop, mint, retry, stop; at most once a minute."""
    assert await connected.pull() == 200
    provided.tokens.expire()
    assert await connected.pull() == 200
    assert len(provided.tokens) == 2
    provided.tokens.expire()
    statuses = {await connected.pull() for _ in range(20)}
    assert statuses == {502}
    assert len(provided.tokens) == 2


async def test_invented_repositories_and_digests_mint_nothing(
    provided: Provided, connected: Connected, device: Device
) -> None:
    """The credential is for the whole host."""
    assert await connected.pull() == 200
    for number in range(20):
        invented = pull_path(provided.registry, connected.digest, repository=f"team/x{number}")
        assert (await device.get(invented)).status == 404
        assert (await device.get(invented, method="HEAD")).status == 404
    assert len(provided.tokens) == 1


async def test_every_repository_of_a_host_is_pulled_with_one_credential(
    provided: Provided, connected: Connected, device: Device
) -> None:
    """What Google and ECR give is not for a repository."""
    assert await connected.pull() == 200
    for number in range(20):
        repository = f"team/app{number}"
        digest = provided.registry.blob(b"other", repository=repository)
        path = pull_path(provided.registry, digest, repository=repository)
        assert (await device.get(path)).body == b"other"
    assert len(provided.tokens) == 1


async def test_what_a_provider_refuses_is_remembered(
    provided: Provided, connected: Connected, facade: Facade
) -> None:
    """A deleted key, a role that may not be assumed: one try for fifty pulls, and it says why."""
    provided.answers(provided.refusal)
    forgotten = Forgotten.after(REFUSAL_SECONDS / 2)
    assert {await connected.pull() for _ in range(50)} == {502}
    assert 1 <= provided.asked <= 1 + forgotten.times
    assert provided.registry.requests == []
    reasons = {line["reason"] for line in facade.log_lines(event="answered", status=502)}
    assert any("refuses the service account's key" in reason for reason in reasons) or any(
        "does not let the facade's identity assume it" in reason for reason in reasons
    )


async def test_a_limit_reaches_the_device_as_one(
    provided: Provided, connected: Connected, device: Device
) -> None:
    """429 with a delay, and nobody is asked meanwhile."""
    provided.answers(
        Answers(429, (("Retry-After", "17"),))
        if isinstance(provided.provider, GoogleSimulator)
        else sts_error(400, "Throttling")
    )
    forgotten = Forgotten.after(REFUSAL_SECONDS / 2)
    answer = await device.get(connected.path)
    assert (answer.status, answer.error_code) == (429, "TOOMANYREQUESTS")
    if isinstance(provided.provider, GoogleSimulator):
        assert answer.headers["Retry-After"] == "17"
    asked = provided.asked
    assert {await connected.pull() for _ in range(20)} == {429}
    assert provided.asked - asked <= 3 * forgotten.times  # of three tries each


async def test_pulls_go_on_while_the_provider_is_away(
    both: tuple[Provided, Provided], facade: Facade, writer: StatementWriter, device: Device
) -> None:
    """With the token in hand, as long as it lives; afterwards it is trouble, and found again."""

    async def be_away(provided: Provided) -> None:
        provided.live_for(8)  # renewed from 4.8 s on, used until 6.4 s: a pull comes between them
        await connect_to(provided, facade, writer)
        connected = Connected(provided, device)
        assert await connected.pull() == 200
        provided.answers(Answers(503))
        asked, status, after_a_refusal = provided.asked, 200, []
        while status == 200:
            is_away = provided.asked > asked
            status = await connected.pull()
            if is_away:
                after_a_refusal.append(status)
            await asyncio.sleep(0.05)
        assert (after_a_refusal[0], status) == (200, 503)
        assert provided.asked - asked <= 2 * 3  # ahead, and for the last: of three tries each
        provided.live_for(3600)
        provided.answers(None)
        assert await connected.pull() == 200

    async with asyncio.timeout(60):
        await asyncio.gather(*map(be_away, both))


async def test_a_rotation_mints_anew_and_a_revocation_ends_it(
    provided: Provided, facade: Facade, writer: StatementWriter, device: Device
) -> None:
    """Tokens live no longer than the approval that they were minted for."""
    connected = Connected(provided, device)
    host = str(provided.registry.host)
    approval = writer.approval(host, plain_http=True, **provided.fields)
    await write_and_wait(facade, writer, approval)
    assert [await connected.pull() for _ in range(2)] == [200, 200]
    rotated = writer.approval(
        host, plain_http=True, connection_id=approval.connection_id, **provided.other_fields
    )
    await write_and_wait(facade, writer, rotated)
    assert [await connected.pull() for _ in range(2)] == [200, 200]
    assert len(provided.tokens) == 2
    assert provided.registry.pulls[-1].header("Authorization") != (
        provided.registry.pulls[0].header("Authorization")
    )
    revocation = writer.revocation(approval.connection_id)
    await writer.write(revocation)
    await until_accepted(facade, revocation)
    asked = provided.asked, len(provided.registry.requests)
    assert await connected.pull() == 404
    assert (provided.asked, len(provided.registry.requests)) == asked


async def test_heads_that_are_refused_mint_nothing(
    facade: Facade, writer: StatementWriter, device: Device
) -> None:
    """public.ecr.aws answers 401 to the HEAD of a blob whose GET it redirects."""
    login = BearerLogin(USERNAME, CANARY_TOKEN)
    async with SignedStore() as store, RegistrySimulator(login=login) as registry:
        challenge = ("WWW-Authenticate", f'Bearer realm="{registry.origin}/token"')
        digest = registry.blob(
            b"content",
            get=RedirectsTo(store.sign(b"content")),
            head=Answers(401, (challenge,)),
        )
        await connect(facade, writer, registry)
        path = pull_path(registry, digest)
        for _ in range(20):
            head = await device.get(path, method="HEAD")
            assert (head.status, head.headers["Content-Length"]) == (200, "7")
        assert (await device.get(path)).body == b"content"
    assert login.minted == 1


@pytest.mark.parametrize("expires_in", [0, -1, 10**12, None, "3599", 1e308, {"seconds": 1}])
async def test_an_odd_lifetime_is_no_reason_to_mint_for_every_pull(
    expires_in: object,
    estate: ProviderEstate,
    facade: Facade,
    writer: StatementWriter,
    device: Device,
) -> None:
    """Nor is it believed for ever."""
    async with estate.google() as provided:
        assert isinstance(provided.provider, GoogleSimulator)
        provided.provider.expires_in = expires_in
        await connect_to(provided, facade, writer)
        connected = Connected(provided, device)
        assert {await connected.pull() for _ in range(10)} == {200}
        assert len(provided.tokens) == 1


async def test_the_role_is_assumed_in_the_connections_name(
    estate: ProviderEstate, facade: Facade, writer: StatementWriter, device: Device
) -> None:
    """So the customer's CloudTrail tells one connection from another."""
    async with estate.ecr() as provided:
        assert isinstance(provided.provider, AwsSimulator)
        approval = writer.approval(str(provided.registry.host), plain_http=True, **provided.fields)
        await write_and_wait(facade, writer, approval)
        assert await Connected(provided, device).pull() == 200
        (asked,) = provided.provider.assumed
        assert asked["RoleSessionName"] == str(approval.connection_id)
        assert asked["ExternalId"] == EXTERNAL_ID


@pytest.mark.parametrize("external_id", [None, "another"])
async def test_a_wrong_or_missing_external_id_is_refused(
    external_id: str | None,
    estate: ProviderEstate,
    facade: Facade,
    writer: StatementWriter,
    device: Device,
) -> None:
    """And the registry is not asked at all."""
    async with estate.ecr() as provided:
        role = attrs.evolve(provided.fields["credential"], external_id=external_id)
        await connect_to(provided, facade, writer, credential=role)
        answer = await device.get(Connected(provided, device).path)
        assert (answer.status, answer.error_code) == (502, "DENIED")
        assert provided.registry.requests == []


async def test_a_key_of_another_account_than_was_approved_is_not_used(
    estate: ProviderEstate, facade: Facade, writer: StatementWriter, device: Device
) -> None:
    """The approver saw an account; the sealed key must be its."""
    async with estate.google() as provided:
        account = attrs.evolve(provided.fields["credential"], client_email="a@b")
        await connect_to(provided, facade, writer, credential=account)
        answer = await device.get(Connected(provided, device).path)
        assert (answer.status, answer.error_code) == (502, "DENIED")
        assert provided.asked == 0


async def test_huge_token_answers_and_challenges_leave_memory_alone(
    estate: ProviderEstate, facade: Facade, writer: StatementWriter, device: Device
) -> None:
    """5 MiB in place of a token, 64 KiB in place of a challenge: refused before they are read."""
    async with estate.google() as provided, RegistrySimulator() as registry:
        await connect_to(provided, facade, writer)
        connected = Connected(provided, device)
        challenge = ("WWW-Authenticate", 'Bearer realm="' + "a" * 64 * 1024 + '"')
        digest = registry.blob(b"x", get=Answers(401, (challenge,)))
        await connect(facade, writer, registry)
        provided.answers(Answers(200, (), b'{"access_token": "' + b"a" * 5 * MIB + b'"}'))
        await connected.pull()
        before = peak_memory(facade)
        for _ in range(20):
            assert await connected.pull() in {502, 503}
            assert (await device.get(pull_path(registry, digest))).status in {502, 503}
        assert peak_memory(facade) - before < 16 * MIB


def peak_memory(facade: Facade) -> int:
    """Return the most bytes that the facade ever held."""
    with open(f"/proc/{facade.child.pid}/status") as status:  # noqa: PTH123 - not a file on disk
        (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


async def test_no_secret_of_a_provider_is_anywhere(
    provided: Provided,
    estate: ProviderEstate,
    facade: Facade,
    writer: StatementWriter,
    device: Device,
) -> None:
    """Keys, minted tokens, external ids, signed URLs: in no answer, log, metric or state."""
    host, refused = str(provided.registry.host), provided.refusal
    approval = writer.approval(host, plain_http=True, **provided.fields)
    await write_and_wait(facade, writer, approval)
    async with SignedStore() as store:
        url = store.sign(b"content")
        path = pull_path(
            provided.registry, provided.registry.blob(b"content", get=RedirectsTo(url))
        )
        answers = [await device.get(path)]
        store.expire()
        answers.append(await device.get(path))
        provided.tokens.expire()
        answers += [await device.get(path) for _ in range(2)]
    provided.answers(refused)
    rotated = writer.approval(
        host, plain_http=True, connection_id=approval.connection_id, **provided.other_fields
    )
    await write_and_wait(facade, writer, rotated)
    answers.append(await device.get(path))
    assert [answer.status for answer in answers] == [200, 502, 502, 502, 502]
    signature = url.partition("X-Signature=")[2]
    private_key = estate.account.private_pem.splitlines()
    secrets = [TOKEN_CANARY, KEY_CANARY, signature, CANARY_TOKEN, private_key[1], private_key[-2]]
    shown = [f"{answer.headers} {answer.body!r}" for answer in answers]
    shown += [facade.log_text, facade.operations("/metrics")[1], facade.operations("/readyz")[1]]
    for text in shown:
        assert not [secret for secret in [*secrets, EXTERNAL_ID] if secret in text]
    for file in sorted((facade.files.folder / "state").rglob("*")):
        content = file.read_bytes() if file.is_file() else b""
        assert not [secret for secret in secrets if secret.encode() in content]


async def test_a_facade_without_an_aws_identity_says_so(
    estate: ProviderEstate,
    own_writer: StatementWriter,
    own_database: Any,
    start_facade: Any,
) -> None:
    """In its log, for its operator; a device learns no more than that it is refused."""
    settings = dict(estate.facade_settings)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del settings[name]
    nowhere = {"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_CONFIG_FILE": "/nonexistent"}
    facade = start_facade(own_writer, own_database.facade_url, settings | nowhere)
    async with estate.ecr() as provided:
        await connect_to(provided, facade, own_writer)
        answer = await facade.device().get(Connected(provided, facade.device()).path)
        assert (answer.status, answer.error_code) == (502, "DENIED")
        assert provided.asked == 0
    (line,) = facade.log_lines(event="answered", status=502)
    assert line["reason"] == "the facade has no AWS identity"
    assert b"identity" not in answer.body
    assert orjson.loads(answer.body)["errors"][0]["code"] == "DENIED"
