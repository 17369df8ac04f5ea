"""AWS and Google through the operator's outbound proxy, and through no other."""

import ssl
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import evolve

from deploy.dev.device_ca import CertificateAuthority
from facade.registries.aws.aws_session import AwsSession
from facade.registries.aws.ecr import EcrProvider
from shared.connection import EcrRole
from shared.environment import forget_proxies
from shared.registry_host import RegistryHost
from shared.secret import Secret
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.credentials.google import GoogleServiceAccountProvider, GoogleTokenEndpoint
from shared.upstream.credentials.google_key import GoogleServiceAccountKey
from shared.upstream.errors import ConnectError
from shared.upstream.no_proxy import NoProxy
from shared.upstream.proxy import OutboundProxy
from tests.support.simulators.aws import AwsSimulator
from tests.support.simulators.google import GoogleSimulator, ServiceAccount
from tests.support.simulators.login import basic_header
from tests.support.simulators.proxy import ProxySimulator
from tests.unit.upstream.reading import everything_said

CANARY = "canary:proxy/pass@word"
ROLE = EcrRole("arn:aws:iam::123456789012:role/puller", "123456789012", "eu-central-1", "id")
HOST = RegistryHost.parse("123456789012.dkr.ecr.eu-central-1.amazonaws.com")
DUAL_STACK = ("sts.eu-central-1.api.aws", "ecr.eu-central-1.api.aws")
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy")


@pytest.fixture
async def proxy() -> AsyncIterator[ProxySimulator]:
    """A proxy that wants a credential and reaches nothing outside."""
    async with ProxySimulator(username="user", password=CANARY) as simulator:
        yield simulator


@pytest.fixture
def outbound(proxy: ProxySimulator) -> OutboundProxy:
    """The proxy as its operator names it."""
    return evolve(
        OutboundProxy.parse(proxy.url), credential=BasicCredential("user", Secret(CANARY))
    )


@pytest.fixture(autouse=True)
def no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own AWS identity is not a test's."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[AwsSimulator]:
    """STS and ECR over TLS with the role, and the facade's identity in the environment."""
    authority = CertificateAuthority.create("AWS")
    files = authority.issue_server(dns=("localhost", "aws.invalid", *DUAL_STACK)).write(
        tmp_path, "aws"
    )
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    simulator = AwsSimulator(tls=context)
    simulator.roles[ROLE.role_arn] = ROLE.external_id
    for name, value in simulator.facade.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    async with simulator:
        yield simulator


async def mint_for_role(outbound: OutboundProxy | None, host: RegistryHost = HOST) -> None:
    """Mint for the role at AWS's own endpoint."""
    async with AwsSession.open(proxy=outbound) as aws:
        await EcrProvider(aws, ROLE, host, "session").mint()


async def test_aws_is_asked_through_the_proxy(
    proxy: ProxySimulator, outbound: OutboundProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own name, with the proxy's credential, which no error repeats."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-aws-secret")
    proxy.statuses["sts.eu-central-1.amazonaws.com:443"] = 502
    with pytest.raises(ConnectError) as failure:
        await mint_for_role(outbound)
    assert set(proxy.targets) == {"sts.eu-central-1.amazonaws.com:443"}
    assert proxy.requests[0].method == "CONNECT"
    assert proxy.requests[0].header("Proxy-Authorization") == basic_header("user", CANARY)
    assert "canary" not in everything_said(failure.value)


async def test_aws_is_asked_over_ipv6_for_a_registry_over_ipv6(
    proxy: ProxySimulator, outbound: OutboundProxy, aws: AwsSimulator
) -> None:
    """The dual-stack endpoints, and still through the proxy."""
    for name in DUAL_STACK:
        proxy.leads_to[f"{name}:443"] = ("127.0.0.1", aws.port)
    host = RegistryHost.parse("123456789012.dkr-ecr.eu-central-1.on.aws")
    await mint_for_role(outbound, host)
    assert proxy.targets == [f"{name}:443" for name in DUAL_STACK]
    assert len(aws.tokens) == 1


async def test_the_facades_own_identity_is_asked_for_through_the_proxy(
    proxy: ProxySimulator,
    outbound: OutboundProxy,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Botocore exchanges a web identity by itself, and without this would go by itself too."""
    token = tmp_path / "token"
    token.write_text("canary-web-identity")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/facade")
    proxy.statuses["sts.eu-central-1.amazonaws.com:443"] = 502
    with pytest.raises(ConnectError):
        await mint_for_role(outbound)
    assert set(proxy.targets) == {"sts.eu-central-1.amazonaws.com:443"}


@pytest.mark.parametrize(
    "host, text, resolves_names, is_direct",
    [
        ("127.0.0.1", "127.0.0.1", False, True),
        ("localhost", "localhost", False, True),
        ("localhost", "127.0.0.0/8,::1", False, True),
        ("localhost", "localhost", True, True),
        ("localhost", "*", True, True),
        ("localhost", "other.example,10.0.0.0/8", False, False),
        ("localhost", "localhost:1", False, False),
        ("localhost", "127.0.0.0/8", True, False),
        # The proxy alone may resolve the world's names: a network in its list is no hindrance.
        ("aws.invalid", "127.0.0.0/8", False, False),
    ],
)
async def test_aws_is_asked_beside_the_proxy_where_its_operator_says(
    proxy: ProxySimulator,
    outbound: OutboundProxy,
    aws: AwsSimulator,
    host: str,
    text: str,
    resolves_names: bool,  # noqa: FBT001 - a parameter of the test
    is_direct: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """STS and ECR's API alike; a VPC's endpoints are private addresses behind AWS's own names."""
    proxy.leads_to[f"{host}:{aws.port}"] = ("127.0.0.1", aws.port)
    listed = evolve(outbound, no_proxy=NoProxy.parse(text), resolves_names=resolves_names)
    async with AwsSession.open(f"https://{host}:{aws.port}", proxy=listed) as session:
        await EcrProvider(session, ROLE, HOST, "session").mint()
    assert len(aws.tokens) == 1
    assert set(proxy.targets) == (set() if is_direct else {f"{host}:{aws.port}"})


@pytest.mark.parametrize("text, is_direct", [("127.0.0.0/8", True), ("10.0.0.0/8", False)])
async def test_google_is_asked_beside_the_proxy_where_its_operator_says(
    proxy: ProxySimulator,
    outbound: OutboundProxy,
    text: str,
    is_direct: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Its token endpoint may be a private one."""
    account = ServiceAccount.create()
    beside = evolve(outbound, no_proxy=NoProxy.parse(text))
    async with (
        GoogleSimulator(account) as google,
        GoogleTokenEndpoint.open(google.token_url, proxy=beside) as endpoint,
    ):
        key = GoogleServiceAccountKey.parse(account.key_json())
        await GoogleServiceAccountProvider(key, endpoint).mint()
        assert len(google.tokens) == 1
    assert bool(proxy.connections_made) != is_direct


async def test_google_is_asked_through_the_proxy(
    proxy: ProxySimulator, outbound: OutboundProxy
) -> None:
    """In a tunnel: the proxy sees no assertion."""
    account = ServiceAccount.create()
    async with GoogleSimulator(account) as google:
        async with GoogleTokenEndpoint.open(google.token_url, proxy=outbound) as endpoint:
            key = GoogleServiceAccountKey.parse(account.key_json())
            await GoogleServiceAccountProvider(key, endpoint).mint()
        assert len(google.tokens) == 1
        assert proxy.targets == [f"127.0.0.1:{google.port}"]
    assert [each.method for each in proxy.requests] == ["CONNECT"]
    assert proxy.requests[0].header("Proxy-Authorization") == basic_header("user", CANARY)


def test_no_library_finds_a_proxy_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore was seen to ask the metadata service through `HTTP_PROXY`."""
    for name in PROXY_VARIABLES:
        monkeypatch.setenv(name, "http://elsewhere.example:3128")
    for name in ("no_proxy", "NO_PROXY"):  # is no proxy, and may be there
        monkeypatch.delenv(name, raising=False)
    assert urllib.request.getproxies()
    forget_proxies()
    assert urllib.request.getproxies() == {}
