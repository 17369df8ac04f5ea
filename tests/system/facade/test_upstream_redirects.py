"""Where a registry redirects to: followed with nothing of ours, and not everywhere."""

import ssl
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from facade.registries.upstream import LINKS
from tests.support.device_stream import End
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksAt,
    Honest,
    InTurn,
    RedirectsTo,
)
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import outcome_of

CONTENT = b"the content of a blob" * 40_000  # more than one piece
MAX_HOPS = 6  # the request itself and five redirects
SENT_TO_STORES = {"host", "accept", "accept-encoding", "user-agent", "range"}


@pytest.fixture
async def store() -> AsyncIterator[StoreSimulator]:
    """A store on another port; it fails the test if it is shown a credential."""
    async with StoreSimulator() as store:
        yield store


@pytest.fixture
def device(facade: Facade, issued: IssuedCertificate) -> Device:
    """A good device."""
    return facade.device(issued)


async def pull(device: Device, upstream: RegistrySimulator, location: str) -> Answer:
    """Pull a blob that the registry says is elsewhere."""
    digest = upstream.blob(location.encode(), get=RedirectsTo(location))
    return await device.get(pull_path(upstream, digest))


def assert_refused(answer: Answer) -> None:
    """Assert that the facade did not go where it was sent."""
    assert (answer.status, answer.error_code) == (502, "UNAVAILABLE")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_store_gets_the_request_and_no_credential(
    status: int,
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    store: StoreSimulator,
) -> None:
    """Of ours it sees an allow-list of headers, and the URL's signature as it was."""
    url = store.put(CONTENT)
    cookies = (("Set-Cookie", "session=canary"), ("X-JFrog-Art-Api", "canary"))
    redirect = Answers(status, (("Location", url), *cookies))
    digest = upstream.blob(CONTENT, get=redirect)
    await connect(facade, writer, upstream)
    for _ in range(2):
        outcome = await outcome_of(device, pull_path(upstream, digest))
        assert (outcome.status, outcome.end, outcome.digest) == (200, End.WHOLE, digest)
    assert any(request.header("Authorization") for request in upstream.pulls)
    assert len(store.requests) == 2
    for request in store.requests:
        assert {name.lower() for name, _ in request.headers} <= SENT_TO_STORES
        assert request.target == url.removeprefix(store.origin)
        assert request.header("Accept-Encoding") == "identity"


async def test_a_resumed_body_is_asked_of_the_store_by_way_of_the_registry(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    store: StoreSimulator,
) -> None:
    """A signed URL lives for minutes: it is resolved again, and the range is asked of the store."""
    digest = upstream.blob(CONTENT, get=RedirectsTo(store.put(CONTENT, get=BreaksAt(300_000))))
    await connect(facade, writer, upstream)
    outcome = await outcome_of(device, pull_path(upstream, digest))
    assert (outcome.end, outcome.digest) == (End.WHOLE, digest)
    rest = f"bytes=300000-{len(CONTENT) - 1}"
    assert [request.header("Range") for request in store.requests] == [None, rest]
    assert [request.header("Range") for request in upstream.pulls][-1] == rest


async def test_the_registry_s_own_origin_keeps_the_credential(
    device: Device, facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A relative redirect stays with whom the credential is for."""
    target = upstream.blob(CONTENT)
    digest = upstream.blob(
        CONTENT, repository="team/moved", get=RedirectsTo(f"/v2/team/app/blobs/{target}")
    )
    await connect(facade, writer, upstream)
    path = pull_path(upstream, digest, repository="team/moved")
    outcome = await outcome_of(device, path)
    assert (outcome.end, outcome.digest) == (End.WHOLE, digest)
    assert all(request.header("Authorization") for request in upstream.pulls[1:])


async def test_a_credential_once_dropped_does_not_come_back(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    store: StoreSimulator,
) -> None:
    """Whoever is in the middle of a chain does not choose where our credential goes."""
    secret = upstream.blob(CONTENT, repository="team/secret")
    back = f"{upstream.origin}/v2/team/secret/blobs/{secret}"
    digest = upstream.blob(
        b"chained", get=RedirectsTo(store.put(b"chained", get=RedirectsTo(back)))
    )
    await connect(facade, writer, upstream)
    assert_refused(await device.get(pull_path(upstream, digest)))
    returned = [request for request in upstream.pulls if request.path.endswith(secret)]
    assert [request.header("Authorization") for request in returned] == [None]


async def test_wrong_bytes_of_a_store_are_wrong_bytes(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    store: StoreSimulator,
) -> None:
    """It is the digest that decides, not who sends."""
    digest = upstream.blob(b"right", get=RedirectsTo(store.put(b"wrong")))
    await connect(facade, writer, upstream)
    assert_refused(await device.get(pull_path(upstream, digest)))


@pytest.mark.parametrize("status", [401, 403])
async def test_a_store_s_refusal_is_not_our_credential_s(
    status: int,
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    store: StoreSimulator,
) -> None:
    """It is answered as trouble, and mints or remembers nothing."""
    challenge = Answers(status, (("WWW-Authenticate", 'Basic realm="give"'),))
    digest = upstream.blob(b"denied", get=RedirectsTo(store.put(b"denied", get=challenge)))
    good = upstream.blob(b"good")
    await connect(facade, writer, upstream)
    assert_refused(await device.get(pull_path(upstream, digest)))
    assert len(store.requests) == LINKS
    assert (await device.get(pull_path(upstream, good))).status == 200


@pytest.mark.parametrize("status", [403, 404])
async def test_a_link_that_a_store_refuses_once_is_no_answer(
    status: int,
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    store: StoreSimulator,
) -> None:
    """It has expired, or a node lags behind: the registry gives another one."""
    content = b"%d %b" % (status, CONTENT)
    link = store.put(content, get=InTurn((Answers(status), Honest())))
    digest = upstream.blob(content, get=RedirectsTo(link))
    await connect(facade, writer, upstream)
    outcome = await outcome_of(device, pull_path(upstream, digest))
    assert (outcome.status, outcome.end, outcome.digest) == (200, End.WHOLE, digest)


async def test_redirects_that_go_round_are_left(
    device: Device, facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """After five."""
    digest = upstream.blob(b"round")
    upstream.blob(b"round", get=RedirectsTo(f"/v2/team/app/blobs/{digest}"))
    await connect(facade, writer, upstream)
    assert_refused(await device.get(pull_path(upstream, digest)))
    with_credential = [request for request in upstream.pulls if request.header("Authorization")]
    assert len(with_credential) <= MAX_HOPS


FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://169.254.170.2/v2/credentials",
    "http://168.63.129.16/metadata",
    "http://100.100.100.200/latest/meta-data",
    "http://[fd00:ec2::254]/latest/meta-data",
    "http://[fd20:ce::254]/computeMetadata",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[::169.254.169.254]/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.169.254.:80/",
    "http://169.254.1.1/",
    "http://[fe80::1]/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
]
PRIVATE_LOCATIONS = [
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://192.0.2.1/",
    "http://[fd00::1]/",
    "http://[::ffff:10.0.0.1]/",
]
UNUSABLE = [
    "",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:11211/",
    "http://user:password@127.0.0.1/",
    "http://",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:99999/",
    "http://\u2460\u2461\u2466.0.0.1/",
    "\\\\127.0.0.1\\x",
    "http://127.0.0.1\\@169.254.169.254/",
    "http://a b/",
    "x" * 9000,
]


async def test_no_redirect_leads_to_an_inside_address(
    device: Device, facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Metadata services, link-local and private ones, in every way to write them."""
    await connect(facade, writer, upstream)
    for location in (*FORBIDDEN, *PRIVATE_LOCATIONS, *UNUSABLE):
        answer = await pull(device, upstream, location)
        assert (answer.status, answer.error_code) == (502, "UNAVAILABLE"), location
        assert b"169.254" not in answer.body


async def test_metadata_is_forbidden_whatever_is_allowed(
    device: Device, facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Not even an approver can let a registry point there."""
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    await connect(facade, writer, upstream, allowed_networks=everything)
    for location in FORBIDDEN:
        answer = await pull(device, upstream, location)
        assert (answer.status, answer.error_code) == (502, "UNAVAILABLE"), location


async def test_https_does_not_lead_to_http(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    store: StoreSimulator,
    server_tls: ssl.SSLContext,
    server_ca: CertificateAuthority,
) -> None:
    """What was asked for in secret is not answered in the clear."""
    async with (
        RegistrySimulator(login=_login(), tls=server_tls) as upstream,
        StoreSimulator(tls=server_tls) as secret_store,
    ):
        trusting: dict[str, Any] = {
            "plain_http": False,
            "ca_certificate": server_ca.pem.decode(),
        }
        await connect(facade, writer, upstream, **trusting)
        plain = upstream.blob(b"plain", get=RedirectsTo(store.put(b"plain")))
        assert_refused(await device.get(pull_path(upstream, plain)))
        assert store.connections_made == 0
        secret = upstream.blob(b"secret", get=RedirectsTo(secret_store.put(b"secret")))
        assert (await device.get(pull_path(upstream, secret))).body == b"secret"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_loopback_is_for_development_alone(
    name: str,
    writer: StatementWriter,
    facade: Facade,
    start_facade: Any,
    facade_database: Any,
    issued: IssuedCertificate,
) -> None:
    """Without FACADE_ALLOW_LOOPBACK neither a registry nor a redirect leads there, by any name."""
    async with RegistrySimulator(login=_login(), name=name) as upstream:
        digest = upstream.blob(b"here")
        approval = await connect(facade, writer, upstream)
        device = facade.device(issued)
        assert (await device.get(pull_path(upstream, digest))).status == 200
        made = upstream.connections_made
        strict = start_facade(
            writer, facade_database.facade_url, {"FACADE_ALLOW_LOOPBACK": "false"}
        )
        assert strict.log_lines(subject=approval.subject)
        assert_refused(await strict.device().get(pull_path(upstream, digest)))
        assert upstream.connections_made == made


async def test_a_private_redirect_says_nothing_of_where_it_led(
    device: Device, facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A device could otherwise map the inside by a registry of its own."""
    await connect(facade, writer, upstream)
    behaviours: list[Behaviour] = [
        RedirectsTo("http://10.1.2.3:8080/secret-path?token=canary-in-a-url"),
        RedirectsTo("http://169.254.169.254/secret-path?token=canary-in-a-url"),
    ]
    for number, behaviour in enumerate(behaviours):
        digest = upstream.blob(b"%d" % number, get=behaviour)
        answer = await device.get(pull_path(upstream, digest))
        assert_refused(answer)
        assert b"10.1.2.3" not in answer.body
    assert "canary-in-a-url" not in facade.log_text
    assert "secret-path" not in facade.log_text


def _login() -> BasicLogin:
    return BasicLogin(USERNAME, CANARY_TOKEN)


def _registry() -> RegistrySimulator:
    return RegistrySimulator(login=_login())
