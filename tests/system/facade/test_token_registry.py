"""Tokens: a real registry over TLS with its own CA and a token server, and tokens that end."""

import asyncio
import ssl
import time
from typing import Any, Literal

import aiohttp
import pytest
from attrs import frozen
from typing_extensions import override

from deploy.dev.device import Reference, pull
from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from deploy.dev.image import Destination, Image, push
from deploy.dev.registry import Registry
from deploy.dev.token_server import SERVICE, TokenServer
from facade.registries.refusals import REFUSAL_SECONDS
from facade.registries.renewed import EXPIRY_MARGIN_SHARE, RENEW_AHEAD_SHARE
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.support.device_stream import End
from tests.support.eventually import eventually
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import (
    CANARY_TOKEN,
    USERNAME,
    connect,
    pull_path,
    write_and_wait,
)
from tests.support.forgotten import Forgotten
from tests.support.simulators.behaviour import BreaksAt, Honest
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest, Wire
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import outcome_of

PULLS = 50
LARGE = b"a large blob" * 100_000


@pytest.fixture
def device(facade: Facade, issued: IssuedCertificate) -> Device:
    """A good device."""
    return facade.device(issued)


@frozen
class Tokens:
    """A real registry over TLS that takes tokens, with an image in it."""

    server: TokenServer
    reference: Reference
    facade: Facade
    writer: StatementWriter
    ca: CertificateAuthority

    async def approve(self, **fields: Any) -> None:
        """Connect the registry; return once the facade knows."""
        approved: dict[str, Any] = {
            "username": ROBOT,
            "token": ROBOT_PASSWORD,
            "auth_realms": (self.server.realm,),
            "ca_certificate": self.ca.pem.decode(),
        }
        approval = self.writer.approval(self.reference.host, **(approved | fields))
        await write_and_wait(self.facade, self.writer, approval)

    @property
    def path(self) -> str:
        """Where the facade has the image's manifest."""
        return f"/v2/{self.reference.facade_path}/manifests/{self.reference.digest}"


@pytest.fixture
async def reference(
    token_registry: Registry,
    token_server: TokenServer,
    client_tls: ssl.SSLContext,
    repository: str,
    image: Image,
) -> Reference:
    """An image in a repository of its own."""
    token = token_server.mint(repository, "pull", "push")
    login = {"Authorization": f"Bearer {token}"}
    await push(image, Destination(token_registry.url, repository, login, client_tls))
    return Reference(token_registry.host, repository, image.digest)


@pytest.fixture
def tokens(
    token_server: TokenServer,
    reference: Reference,
    facade: Facade,
    writer: StatementWriter,
    server_ca: CertificateAuthority,
) -> Tokens:
    """Everything but the approval."""
    return Tokens(token_server, reference, facade, writer, server_ca)


async def test_an_image_is_pulled_with_one_token(
    tokens: Tokens, device: Device, image: Image
) -> None:
    """Asked for this repository and to pull, with the password shown to nobody else."""
    await tokens.approve()
    url = f"https://localhost:{device.facade.port}"
    pulled = await pull(url, tokens.reference, device.tls())
    assert (pulled.manifests, pulled.blobs) == (1, len(image.blobs))
    [request] = tokens.server.requests
    assert request.scopes == (f"repository:{tokens.reference.repository}:pull",)
    assert request.service == SERVICE
    assert request.authorization == aiohttp.encode_basic_auth(ROBOT, ROBOT_PASSWORD)


async def test_fifty_first_pulls_at_once_mint_one_token(
    tokens: Tokens, device: Device, image: Image
) -> None:
    """And what comes later mints none."""
    await tokens.approve()
    for _ in range(2):
        pulls = [device.get(tokens.path) for _ in range(PULLS)]
        assert {answer.body for answer in await asyncio.gather(*pulls)} == {image.manifest.body}
    assert len(tokens.server.requests) == 1


@pytest.mark.parametrize("token_field", ["token", "access_token"])
@pytest.mark.parametrize("expires_in", [None, 300])
async def test_every_form_of_the_answer_is_understood(
    token_field: Literal["token", "access_token"],
    expires_in: int | None,
    tokens: Tokens,
    device: Device,
) -> None:
    """Some registries say `access_token`; no expiry means a minute."""
    tokens.server.token_field = token_field
    tokens.server.expires_in = expires_in
    await tokens.approve()
    for _ in range(3):
        assert (await device.get(tokens.path)).status == 200
    assert len(tokens.server.requests) == 1


async def test_a_wrong_password_is_refused_without_hammering(
    tokens: Tokens, device: Device, facade: Facade
) -> None:
    """Two logins for fifty pulls: for the repository, and for none. So it is the password."""
    await tokens.approve(token="canary-of-a-wrong-one")
    forgotten = Forgotten.after(REFUSAL_SECONDS / 2)
    pulls = [device.get(tokens.path) for _ in range(PULLS)]
    for answer in await asyncio.gather(*pulls):
        assert (answer.status, answer.error_code) == (502, "DENIED")
    asked_for = [len(request.scopes) for request in tokens.server.requests]
    assert asked_for[:2] == [1, 0]
    assert len(asked_for) <= 2 * (1 + forgotten.times)
    assert "canary-of-a-wrong-one" not in facade.log_text


async def test_a_token_server_that_is_away_is_trouble(tokens: Tokens, device: Device) -> None:
    """And found again."""
    tokens.server.refusal = 503
    await tokens.approve()
    answer = await device.get(tokens.path)
    assert (answer.status, answer.error_code) == (503, "UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) > 0
    tokens.server.refusal = None

    async def is_served() -> bool:
        return (await device.get(tokens.path)).status == 200

    await eventually(is_served)


@pytest.mark.parametrize("ca", ["none", "another"])
async def test_a_registry_whose_certificate_is_not_trusted_is_sent_nothing(
    ca: str, tokens: Tokens, device: Device, other_ca: CertificateAuthority
) -> None:
    """The CA that an approver saw is the one that is believed."""
    await tokens.approve(ca_certificate=other_ca.pem.decode() if ca == "another" else None)
    answer = await device.get(tokens.path)
    assert (answer.status, answer.error_code) == (503, "UNAVAILABLE")
    assert tokens.server.requests == []


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_in": None},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": "300"},
        {"expires_in": "soon"},
        {"expires_in": True},
        {"expires_in": 10**12},
        {"expires_in": 1e300},
        {"expires_in": {"seconds": 5}},
        {"issued_at": "1970-01-01T00:00:00Z"},
        {"issued_at": "2999-01-01T00:00:00Z"},
        {"issued_at": "yesterday"},
        {"issued_at": 5},
        {"token": None, "access_token": ""},
        {"refresh_token": "x", "scope": "none"},
    ],
    ids=str,
)
async def test_odd_times_are_no_reason_to_mint_for_every_pull(
    fields: dict[str, Any], device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """A token taken as expired would be a login for every request (goharbor/harbor#23753)."""
    login = BearerLogin(USERNAME, CANARY_TOKEN, answer_fields=fields)
    async with RegistrySimulator(login=login) as upstream:
        digest = upstream.blob(b"blob")
        await connect(facade, writer, upstream)
        for _ in range(10):
            assert (await device.get(pull_path(upstream, digest))).status == 200
    assert login.minted == 1


async def test_a_token_that_ended_is_minted_anew(
    device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """Before it is presented, for pulls that go on for longer than it lives."""
    login = BearerLogin(USERNAME, CANARY_TOKEN, lifetime_seconds=3)
    used_seconds = 3 * (1 - EXPIRY_MARGIN_SHARE) * RENEW_AHEAD_SHARE
    async with RegistrySimulator(login=login) as upstream:
        digest = upstream.blob(b"blob")
        await connect(facade, writer, upstream)
        began, pulls = time.monotonic(), 0
        while login.minted < 2:
            assert (await device.get(pull_path(upstream, digest))).status == 200
            pulls += 1
        assert login.minted - 1 <= (time.monotonic() - began) / used_seconds
        with_token = [request for request in upstream.pulls if request.header("Authorization")]
        assert len(with_token) == pulls


class RevokingRegistry(RegistrySimulator):
    """Forgets every token behind each answer."""

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        await super().respond(request, wire)
        if "/blobs/" in request.path and isinstance(self.login, BearerLogin):
            self.login.revoke_tokens()


async def test_a_pull_outlives_its_token(
    device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """What breaks after the token's end is resumed with a new one."""
    login = BearerLogin(USERNAME, CANARY_TOKEN)
    async with RevokingRegistry(login=login) as upstream:
        digest = upstream.blob(LARGE, get=BreaksAt(600_000))
        await connect(facade, writer, upstream)
        outcome = await outcome_of(device, pull_path(upstream, digest))
        assert (outcome.status, outcome.end, outcome.digest) == (200, End.WHOLE, digest)
    assert login.minted == 2


async def test_tokens_that_end_all_the_time_are_not_minted_all_the_time(
    device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """A registry that refuses what its own endpoint just gave is asked once more a minute."""
    login = BearerLogin(USERNAME, CANARY_TOKEN)
    async with RevokingRegistry(login=login) as upstream:
        digest = upstream.blob(b"blob", get=Honest())
        await connect(facade, writer, upstream)
        answers = [await device.get(pull_path(upstream, digest)) for _ in range(20)]
        assert [answer.status for answer in answers[:2]] == [200, 200]
        assert {answer.status for answer in answers} <= {200, 502}
    assert login.minted <= 3


async def test_each_repository_has_a_token_of_its_own(
    device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """One that is good for two would be more than was asked for."""
    login = BearerLogin(USERNAME, CANARY_TOKEN)
    async with RegistrySimulator(login=login) as upstream:
        await connect(facade, writer, upstream)
        for name in ("team/a", "team/b", "team/a"):
            digest = upstream.blob(b"blob", repository=name)
            path = pull_path(upstream, digest, repository=name)
            assert (await device.get(path)).status == 200
        scopes = [dict(request.query)["scope"] for request in upstream.requests if request.query]
        assert scopes == ["repository:team/a:pull", "repository:team/b:pull"]
    tokens = {request.header("Authorization") for request in upstream.pulls} - {None}
    assert len(tokens) == 2
