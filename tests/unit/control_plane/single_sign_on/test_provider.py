"""A provider's answers and keys, and how it is asked."""

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, KeySet, OctKey, OKPKey, RSAKey

from control_plane.errors import SignOnUnavailableError
from control_plane.single_sign_on.presented_token import PresentedToken, TokenRefusedError
from control_plane.single_sign_on.provider import PACE_SECONDS, STALE_SECONDS, OpenIdProvider
from control_plane.single_sign_on.provider_http import ProviderHttp, ProviderUnreachableError
from control_plane.single_sign_on.provider_keys import ProviderKeys
from control_plane.single_sign_on.provider_metadata import (
    ProviderAnswerError,
    ProviderMetadata,
    parse_issuer,
    parse_keys,
)
from deploy.dev.device_ca import CertificateAuthority
from shared.setting_types import parse_networks
from shared.upstream.proxy import OutboundProxy
from tests.support.simulators.openid_provider import OpenIdSimulator, signing_key
from tests.support.simulators.proxy import ProxySimulator

ISSUER = "https://login.example/firm"
LOOPBACK = parse_networks("127.0.0.0/8")


@define
class Clock:
    """A clock that stands unless it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@given(st.text())
def test_any_text_is_a_presented_token_or_refused(text: str) -> None:
    """With one error, which quotes nothing."""
    with pytest.raises(TokenRefusedError) as refused:
        PresentedToken.parse(text)
    assert len(text) < 8 or text not in str(refused.value)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RSA-OAEP"},
        {"alg": "ES256", "kid": 1},
        {"alg": "ES256", "kid": ""},
        {"alg": "ES256", "kid": "a" * 300},
        {"alg": "ES256", "typ": []},
        {"alg": "ES256", "crit": ["b64"], "b64": False},
        {"alg": ["ES256"]},
        {"alg": "ES256", "x5c": [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]},
    ],
)
def test_a_header_of_another_kind_is_refused_before_a_key_is_looked_for(
    header: dict[str, Any],
) -> None:
    """Algorithms are an allow-list of those with a public key."""
    token = OpenIdSimulator().access_token()
    encoded = _part(orjson.dumps(header))
    with pytest.raises(TokenRefusedError):
        PresentedToken.parse(".".join([encoded, *token.split(".")[1:]]))


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@given(st.binary() | st.dictionaries(st.text(max_size=3), st.none()).map(orjson.dumps))
def test_any_answer_is_metadata_or_refused(body: bytes) -> None:
    """With one error."""
    with pytest.raises(ProviderAnswerError):
        ProviderMetadata.parse(body, ISSUER)


@given(
    st.binary()
    | st.lists(
        st.dictionaries(
            st.sampled_from(["kty", "kid", "use", "alg", "crv", "x", "y", "n", "e", "k"]),
            st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "AQAB", "sig", "AA"])
            | st.integers(-(2**63), 2**63 - 1)
            | st.none(),
        ),
        max_size=3,
    ).map(lambda keys: orjson.dumps({"keys": keys}))
)
def test_any_answer_is_keys_or_refused(body: bytes) -> None:
    """With one error."""
    with pytest.raises(ProviderAnswerError):
        parse_keys(body)


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": f"{ISSUER}/"},
        {"issuer": "https://login.example"},
        {"jwks_uri": None},
        {"jwks_uri": "http://login.example/keys"},
        {"jwks_uri": "https://user@login.example/keys"},
        {"token_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://login.example/#x"},
        {"end_session_endpoint": "https://login.example:0/"},
        {"token_endpoint": 7},
        {"token_endpoint": "https://[::1"},
    ],
)
def test_metadata_that_lead_elsewhere_are_refused(metadata: dict[str, Any]) -> None:
    """An endpoint is https; the issuer is the one that was asked (mix-up)."""
    good = {"issuer": ISSUER, "jwks_uri": "https://keys.example/firm"}
    assert ProviderMetadata.parse(orjson.dumps(good), ISSUER).jwks_uri == good["jwks_uri"]
    with pytest.raises(ProviderAnswerError):
        ProviderMetadata.parse(orjson.dumps(good | metadata), ISSUER)


@pytest.mark.parametrize(
    "text",
    [
        "http://login.example",
        "https://login.example/?a",
        "https://u@login.example",
        "login.example",
    ],
)
def test_an_issuer_is_an_https_url(text: str) -> None:
    """Plain HTTP is for this machine alone."""
    assert parse_issuer(ISSUER) == ISSUER
    assert parse_issuer("http://localhost:8080/realm") == "http://localhost:8080/realm"
    with pytest.raises(ValueError, match=r"issuer|URL|more than"):
        parse_issuer(text)


def test_only_public_keys_for_signatures_are_taken() -> None:
    """A shared key that a provider publishes by mistake would let anybody sign."""
    good: list[Key] = [
        RSAKey.generate_key(2048, {"kid": "rsa"}),
        signing_key("ec"),
        OKPKey.generate_key("Ed25519", {"kid": "ed"}),
    ]
    bad = [
        OctKey.generate_key(256, {"kid": "shared"}).as_dict(private=True),
        ECKey.generate_key("P-256", {"kid": "enc", "use": "enc"}).as_dict(private=False),
        {"kty": "AKP", "kid": "of tomorrow"},
        {"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "kid": "broken", "crv": "P-256", "x": "AA", "y": "AA"},
        "nothing",
    ]
    listed = [*(key.as_dict(private=False) for key in good), *bad]
    found = parse_keys(orjson.dumps({"keys": listed}))
    assert {key.kid for key in found.keys} == {"rsa", "ec", "ed"}
    with pytest.raises(ProviderAnswerError, match="no key"):
        parse_keys(orjson.dumps({"keys": bad}))


@pytest.mark.parametrize(
    "algorithm, key",
    [
        ("RS256", RSAKey.generate_key(2048, {"kid": "k"})),
        ("PS256", RSAKey.generate_key(2048, {"kid": "k"})),
        ("ES256", ECKey.generate_key("P-256", {"kid": "k"})),
        ("ES384", ECKey.generate_key("P-384", {"kid": "k"})),
        ("Ed25519", OKPKey.generate_key("Ed25519", {"kid": "k"})),
    ],
)
def test_each_algorithm_with_its_own_key_alone(algorithm: str, key: Any) -> None:
    """The header chooses neither the kind of key nor a signature of another token."""
    provider = OpenIdSimulator()
    keys = ProviderKeys(parse_keys(orjson.dumps(KeySet([key]).as_dict(private=False))))
    header = {"alg": algorithm, "kid": "k", "x5t": "unregistered", "nonce": "too"}
    token = provider.access_token(header=header, key=key)
    assert keys.verified_claims(PresentedToken.parse(token))["sub"] == "ada"
    other = "ES256" if algorithm != "ES256" else "RS256"
    head, claims, signature = token.split(".")
    of_mallory = _part(orjson.dumps({"sub": "mallory"}))
    for forged in (
        f"{head}.{of_mallory}.{signature}",
        f"{_part(orjson.dumps(header | {'alg': other}))}.{claims}.{signature}",
        f"{head}.{claims}.",
        f"{head}.{claims}.{signature[:-4]}AAAA",
    ):
        with pytest.raises(TokenRefusedError, match="signature"):
            keys.verified_claims(PresentedToken.parse(forged))


async def test_a_new_key_is_fetched_once_for_all_and_never_to_hammer() -> None:
    """Whoever invents ids of keys causes one request in a while."""
    clock = Clock()
    async with (
        OpenIdSimulator() as simulator,
        ProviderHttp.open(LOOPBACK) as http,
    ):
        provider = OpenIdProvider(simulator.issuer, http, clock)
        first = PresentedToken.parse(simulator.access_token())
        assert (await provider.verified_claims(first))["sub"] == "ada"
        assert simulator.asked == 1
        invented = [
            PresentedToken.parse(simulator.access_token(header={"kid": f"invented-{number}"}))
            for number in range(50)
        ]
        clock.now += PACE_SECONDS
        refusals = await asyncio.gather(
            *(provider.verified_claims(each) for each in invented), return_exceptions=True
        )
        assert {type(each) for each in refusals} == {TokenRefusedError}
        assert simulator.asked == 2
        simulator.rotate("second")
        second = PresentedToken.parse(simulator.access_token())
        with pytest.raises(TokenRefusedError, match="try again in 15 seconds"):
            await provider.verified_claims(second)
        assert simulator.asked == 2
        clock.now += PACE_SECONDS
        assert (await provider.verified_claims(second))["sub"] == "ada"
        with pytest.raises(TokenRefusedError, match="no key of the id"):
            await provider.verified_claims(first)
        assert simulator.asked == 3


async def test_keys_of_before_are_used_for_a_while_if_the_provider_is_away() -> None:
    """Then nobody is let in by them: they may have been withdrawn."""
    clock = Clock()
    async with OpenIdSimulator() as simulator, ProviderHttp.open(LOOPBACK) as http:
        provider = OpenIdProvider(simulator.issuer, http, clock)
        token = PresentedToken.parse(simulator.access_token())
        simulator.away = True
        with pytest.raises(SignOnUnavailableError, match="operators' tokens work all the same"):
            await provider.verified_claims(token)
        trouble = provider.trouble()
        assert trouble is not None
        assert "it answers 503; persons cannot log in" in trouble.words
        simulator.away = False
        clock.now += PACE_SECONDS
        await provider.verified_claims(token)
        assert provider.trouble() is None
        simulator.away = True
        clock.now += STALE_SECONDS - 1
        await provider.verified_claims(token)
        clock.now += 1
        with pytest.raises(SignOnUnavailableError):
            await provider.verified_claims(token)


async def test_the_egress_rule_holds_for_what_the_provider_names() -> None:
    """Its issuer is the operator's; its other endpoints are its own word."""
    async with OpenIdSimulator() as simulator, ProviderHttp.open(()) as nowhere:
        with pytest.raises(ProviderUnreachableError, match="loopback address"):
            await nowhere.get(f"{simulator.issuer}/keys")
    async with OpenIdSimulator() as simulator, ProviderHttp.open(LOOPBACK) as http:
        for url in ("http://169.254.169.254/keys", "https://[fd00:ec2::254]/keys"):
            simulator.metadata = {"jwks_uri": url.replace("http://", "https://")}
            provider = OpenIdProvider(simulator.issuer, http)
            with pytest.raises(SignOnUnavailableError):
                await provider.metadata()
            trouble = provider.trouble()
            assert trouble is not None
            assert "metadata or role-credential address" in trouble.words


async def test_a_provider_of_a_private_ca_is_reached_through_the_proxy(tmp_path: Path) -> None:
    """As registries are; without the CA it is nobody's, and nothing goes past the proxy."""
    authority = CertificateAuthority.create("CA of the firm")
    files = authority.issue_server().write(tmp_path, "provider")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    async with OpenIdSimulator(tls=tls) as simulator, ProxySimulator() as proxy:
        keys = f"{simulator.issuer}/keys"
        through = OutboundProxy.parse(proxy.url)
        for ca, other in ((authority.pem.decode(), None), (None, through)):
            opened = ProviderHttp.open(LOOPBACK, ca_certificate=ca, proxy=other)
            async with opened as http:
                if ca is None:
                    with pytest.raises(ProviderUnreachableError, match="certificate"):
                        await http.get(keys)
                else:
                    assert parse_keys(await http.get(keys)).keys
        assert proxy.targets == [f"127.0.0.1:{simulator.port}"]
        opened = ProviderHttp.open((), ca_certificate=authority.pem.decode(), proxy=through)
        async with opened as http:
            with pytest.raises(ProviderUnreachableError, match="loopback"):
                await http.get(keys)
        opened = ProviderHttp.open(LOOPBACK, ca_certificate=authority.pem.decode(), proxy=through)
        async with opened as http:
            assert parse_keys(await http.get(keys)).keys
        assert proxy.targets == [f"127.0.0.1:{simulator.port}"] * 2


async def test_an_answer_that_is_too_long_is_not_read() -> None:
    """Nor is a redirect followed."""
    async with OpenIdSimulator() as simulator, ProviderHttp.open(LOOPBACK) as http:
        simulator.metadata = {"padding": "x" * 300_000}
        with pytest.raises(ProviderAnswerError, match="more than 262144 bytes"):
            await http.get(f"{simulator.issuer}/.well-known/openid-configuration")
        with pytest.raises(ProviderAnswerError, match="it answers 404"):
            await http.get(f"{simulator.issuer}/nothing")
