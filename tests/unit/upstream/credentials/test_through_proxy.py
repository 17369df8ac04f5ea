"""AWS and Google through the operator's outbound proxy, and through no other."""

import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import evolve

from shared.connection import EcrRole
from shared.environment import forget_proxies
from shared.registry_host import RegistryHost
from shared.secret import Secret
from shared.upstream.credentials.aws_session import AwsSession
from shared.upstream.credentials.ecr import EcrProvider
from shared.upstream.credentials.google import GoogleServiceAccountProvider, GoogleTokenEndpoint
from shared.upstream.credentials.google_key import GoogleServiceAccountKey
from shared.upstream.credentials.static import BasicCredential
from shared.upstream.errors import ConnectError
from shared.upstream.proxy import OutboundProxy
from tests.support.simulators.google import GoogleSimulator, ServiceAccount
from tests.support.simulators.login import basic_header
from tests.support.simulators.proxy import ProxySimulator
from tests.unit.upstream.reading import everything_said

CANARY = "canary:proxy/pass@word"
ROLE = EcrRole("arn:aws:iam::123456789012:role/puller", "123456789012", "eu-central-1", "id")
HOST = RegistryHost.parse("123456789012.dkr.ecr.eu-central-1.amazonaws.com")
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
    proxy: ProxySimulator, outbound: OutboundProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dual-stack endpoint, and still through the proxy, with the bounds of every call."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-aws-secret")
    proxy.statuses["sts.eu-central-1.api.aws:443"] = 502
    with pytest.raises(ConnectError):
        await mint_for_role(
            outbound, RegistryHost.parse("123456789012.dkr-ecr.eu-central-1.on.aws")
        )
    assert set(proxy.targets) == {"sts.eu-central-1.api.aws:443"}
    assert proxy.requests[0].header("Proxy-Authorization") == basic_header("user", CANARY)


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
    assert urllib.request.getproxies()
    forget_proxies()
    assert urllib.request.getproxies() == {}
