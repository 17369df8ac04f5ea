"""Connection checks, against real registries."""

import asyncio
import uuid
from urllib.parse import quote

import pytest

from control_plane.operators.rate_limit import CHECK_BURST
from deploy.dev.device_ca import CertificateAuthority, CertificateFiles
from deploy.dev.processes import free_port
from deploy.dev.registry import Registry
from deploy.dev.token_server import TokenServer
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.support.control_plane import ControlPlane, Json, Operator
from tests.support.simulators.behaviour import RedirectsTo
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.proxy import ProxySimulator
from tests.support.simulators.registry import RegistrySimulator
from tests.system.control_plane.conftest import StartPlane

WRONG = "canary-wrong-password"


async def check(operator: Operator, host: str, **fields: object) -> Json:
    """Return what a check says."""
    body = {"host": host, "provider": "static", **fields}
    answer = await operator.call("POST", "/v1/connection-checks", body)
    assert answer.status == 200, answer.body
    assert WRONG.encode() not in answer.body
    return dict(answer.json)


async def test_a_right_password_passes_and_a_wrong_one_fails(
    own_plane: ControlPlane, htpasswd_registry: Registry
) -> None:
    """Said before anything is stored."""
    alice, host = own_plane.client("alice"), htpasswd_registry.host
    right = await check(alice, host, username=ROBOT, token=ROBOT_PASSWORD, plain_http=True)
    assert (right["outcome"], right["auth_scheme"], right["problem"]) == ("passed", "basic", None)
    wrong = await check(alice, host, username=ROBOT, token=WRONG, plain_http=True)
    assert (wrong["outcome"], wrong["problem"]) == ("failed", "credential_refused")
    body = {"host": host, "provider": "static", "plain_http": True, "username": ROBOT}
    for name, status, problem in (
        ("no/such", 200, "repository_unknown"),
        ("No Such", 422, None),
    ):
        path = f"/v1/connection-checks?repository={quote(name)}"
        answer = await alice.call("POST", path, body | {"token": ROBOT_PASSWORD})
        assert (answer.status, answer.json.get("problem")) == (status, problem)
    assert await alice.list() == []


async def test_creating_asks_the_registry_first(
    own_plane: ControlPlane, htpasswd_registry: Registry
) -> None:
    """A wrong password is a wrong field, and nothing is stored; the refusal is in the log."""
    alice, host = own_plane.client("alice"), htpasswd_registry.host
    problem = await alice.connect(
        host, check=True, expect=422, username=ROBOT, token=WRONG, plain_http=True
    )
    assert [error["pointer"] for error in problem["errors"]] == ["/token"]
    assert problem["check"]["problem"] == "credential_refused"
    assert await alice.list() == []
    view = await alice.connect(
        host, check=True, username=ROBOT, token=ROBOT_PASSWORD, plain_http=True
    )
    assert view["check"] == {"outcome": "passed", "problem": None}
    approved = await own_plane.client("bob").approve(view)
    assert approved["check"] == view["check"]
    entries = (await alice.call("GET", "/v1/audit?after=4")).json["items"]
    assert [entry["action"] for entry in entries] == [
        "connection.refuse",
        "connection.connect",
        "connection.approve",
    ]
    assert WRONG not in str(entries)


async def test_an_anonymous_connection_is_checked_too(
    own_plane: ControlPlane, registry: Registry, htpasswd_registry: Registry
) -> None:
    """Open is open; a registry that wants a login says so."""
    alice = own_plane.client("alice")
    assert (await check(alice, registry.host, plain_http=True))["outcome"] == "passed"
    problem = await alice.connect(htpasswd_registry.host, check=True, expect=422, plain_http=True)
    assert [error["pointer"] for error in problem["errors"]] == ["/username"]


async def test_a_foreign_realm_is_named_and_sent_nothing(
    own_plane: ControlPlane,
    token_registry: Registry,
    token_server: TokenServer,
    server_ca: CertificateAuthority,
) -> None:
    """Repeated with the realm in `auth_realms`, the login is tried."""
    alice, host = own_plane.client("alice"), token_registry.host.replace("127.0.0.1", "localhost")
    fields: Json = {
        "username": ROBOT,
        "token": ROBOT_PASSWORD,
        "ca_certificate": server_ca.pem.decode(),
    }
    refused = await alice.connect(host, check=True, expect=422, **fields)
    assert [error["pointer"] for error in refused["errors"]] == ["/auth_realms"]
    assert refused["check"]["problem"] == "realm_not_allowed"
    assert refused["check"]["realm"] == token_server.realm
    assert token_server.requests == []
    view = await alice.connect(host, check=True, auth_realms=[token_server.realm], **fields)
    assert view["check"]["outcome"] == "passed"
    assert token_server.requests


async def test_no_realm_is_advised_that_would_be_refused(own_plane: ControlPlane) -> None:
    """No entry allows plain HTTP, so the field is not at fault: the registry is."""
    alice = own_plane.client("alice")
    login = BearerLogin(ROBOT, ROBOT_PASSWORD, realm="http://auth.invalid/token")
    async with RegistrySimulator(login=login) as registry:
        fields: Json = {"username": ROBOT, "token": ROBOT_PASSWORD, "plain_http": True}
        host = str(registry.host)
        refused = await alice.connect(host, check=True, expect=422, **fields)
        [error] = refused["errors"]
        assert error["pointer"] == "/host"
        assert "auth_realms" not in error["detail"]
        login.realm = "https://auth.invalid/token?service=x"
        refused = await alice.connect(host, check=True, expect=422, **fields)
        [error] = refused["errors"]
        assert error["pointer"] == "/auth_realms"
        assert "add https://auth.invalid/token to" in error["detail"]
        await alice.connect(host, auth_realms=["https://auth.invalid/token"], **fields)


async def test_a_certificate_that_is_not_believed_fails(
    plane: ControlPlane, token_registry: Registry
) -> None:
    """Without its CA a private registry is not who it says."""
    answer = await check(plane.client("alice"), token_registry.host)
    assert (answer["outcome"], answer["problem"]) == ("failed", "tls_failed")
    problem = await plane.client("alice").connect(token_registry.host, check=True, expect=422)
    assert "ca_certificate (--ca-certificate FILE)" in problem["errors"][0]["detail"]


async def test_a_registrys_own_certificate_is_believed_under_any_comment(
    plane: ControlPlane, token_registry: Registry, server_certificate: CertificateFiles
) -> None:
    """It goes into the connection as it lies about; what is kept is the certificate alone."""
    own = server_certificate.certificate.read_text()
    alice, host = plane.client("alice"), token_registry.host.replace("127.0.0.1", "localhost")
    answer = await check(alice, host, ca_certificate=f"# Größe: 証明書\n{own}")
    assert answer["problem"] == "realm_not_allowed"  # TLS was passed, and the next step refused
    prefix = uuid.uuid4().hex
    view = await alice.connect(host, repository_prefix=prefix, ca_certificate=f"\ufeff# ü\n{own}")
    assert view["ca_certificate"] == own


async def test_what_is_not_reachable_from_here_is_skipped(plane: ControlPlane) -> None:
    """The facade may stand elsewhere; metadata and private addresses are not even tried."""
    alice = plane.client("alice")
    for host, problem in (
        ("no-such-name.invalid", "not_resolved"),
        ("10.255.255.1", "address_not_allowed"),
        ("169.254.169.254", "address_not_allowed"),
        (f"127.0.0.1:{free_port()}", "not_reachable"),
    ):
        answer = await check(alice, host, allowed_networks=["10.0.0.0/8", "169.254.0.0/16"])
        assert (answer["outcome"], answer["problem"]) == ("skipped", problem)
        prefix = uuid.uuid4().hex
        view = await alice.connect(host, check=True, repository_prefix=prefix)
        assert view["check"] == {"outcome": "skipped", "problem": problem}


async def test_checks_reach_no_private_network_that_was_not_opened(
    start_plane: StartPlane, registry: Registry
) -> None:
    """By default a connector cannot map the control plane's own network."""
    own_plane = await start_plane({"CONTROL_PLANE_CHECK_NETWORKS": None})
    answer = await check(
        own_plane.client("alice"),
        registry.host,
        plain_http=True,
        allowed_networks=["127.0.0.0/8"],
    )
    assert (answer["outcome"], answer["problem"]) == ("skipped", "address_not_allowed")
    alice = own_plane.client("alice")
    inside = await check(alice, "localhost", allowed_networks=["127.0.0.0/8"])
    nowhere = await check(alice, "no-such-name.invalid", allowed_networks=["127.0.0.0/8"])
    assert inside == nowhere
    assert (nowhere["outcome"], nowhere["problem"]) == ("skipped", "not_resolved")
    literals = [await check(alice, host) for host in ("10.0.0.1", "127.0.0.1", "169.254.169.254")]
    assert literals == [literals[0]] * 3


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_a_registry_cannot_have_the_inside_looked_through(
    own_plane: ControlPlane, name: str
) -> None:
    """A redirect to a private address, to metadata, to a name that is not there: one word."""
    async with RegistrySimulator() as registry:
        host = f"{name}:{registry.host.port}"
        told = []
        for place in ("10.255.255.1", "169.254.169.254", "no-such-name.invalid"):
            registry.ping = RedirectsTo(f"http://{place}/")
            told.append(
                await check(
                    own_plane.client("alice"),
                    host,
                    plain_http=True,
                    allowed_networks=["127.0.0.0/8"],
                )
            )
    assert told == [told[0]] * len(told)
    assert told[0]["outcome"] == "skipped"
    assert told[0]["problem"] in {"address_not_allowed", "not_resolved"}


async def test_checks_go_through_the_operators_proxy_but_for_its_exceptions(
    start_plane: StartPlane, registry: Registry
) -> None:
    """Which addresses a check may reach is the same on either way."""
    async with ProxySimulator() as proxy:
        own_plane = await start_plane(
            {"CONTROL_PLANE_HTTPS_PROXY": proxy.url, "CONTROL_PLANE_NO_PROXY": "*"}
        )
        alice = own_plane.client("alice")
        fields = {"plain_http": True, "allowed_networks": ["127.0.0.0/8"]}
        assert (await check(alice, registry.host, **fields))["outcome"] == "passed"
        refused = await check(alice, "169.254.169.254", **fields)
        assert refused["problem"] == "address_not_allowed"
        assert proxy.connections_made == 0
        own_plane.stop()
        own_plane.environment["CONTROL_PLANE_NO_PROXY"] = ".corp.example"
        await own_plane.restart()
        alice = own_plane.client("alice")
        assert (await check(alice, registry.host, **fields))["outcome"] == "passed"
        assert set(proxy.targets) == {str(registry.host)}


async def test_checks_are_limited_for_each_operator(own_plane: ControlPlane) -> None:
    """Nobody guesses passwords through us; others are not slowed down."""
    body = {"host": f"127.0.0.1:{free_port()}", "provider": "static"}
    alice = own_plane.client("alice")
    answers = await asyncio.gather(
        *(alice.call("POST", "/v1/connection-checks", body) for _ in range(CHECK_BURST + 10))
    )
    limited = [answer for answer in answers if answer.status == 429]
    assert limited
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in limited)
    other = await own_plane.client("root").call("POST", "/v1/connection-checks", body)
    assert other.status == 200
