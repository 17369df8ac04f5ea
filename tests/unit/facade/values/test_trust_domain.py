"""A CA whose certificate names a trust domain issues devices of that domain alone."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.device_ca import CertificateAuthority
from facade.devices.device_trust import DeviceTrust
from facade.values.device_identity import IdentityRule, UnidentifiedDeviceError
from facade.values.trust_domain import may_issue, names_none, trust_domains
from shared.identity_form import DEFAULT_URI_PATTERN, IdentityKind, compile_uri_pattern

ACME = CertificateAuthority.create("acme", trust_domain="acme.example")
EVIL = CertificateAuthority.create("evil", trust_domain="evil.example")
ANY = CertificateAuthority.create("any")
RULE = IdentityRule(IdentityKind.SPIFFE, compile_uri_pattern(DEFAULT_URI_PATTERN))


def _identify(*chain: CertificateAuthority, domain: str) -> str:
    """Return the id that the first CA's device gets, below all of them."""
    issued = chain[0].issue_device(trust_domain=domain)
    return RULE.identify(issued.certificate, [each.certificate for each in chain]).id


def test_a_ca_issues_devices_of_its_own_domain() -> None:
    """Whatever stands above it."""
    below = ANY.make_intermediate(trust_domain="acme.example")
    assert _identify(ACME, domain="acme.example").startswith("spiffe://acme.example/")
    assert _identify(below, ANY, domain="acme.example").startswith("spiffe://acme.example/")


@pytest.mark.parametrize(
    "chain",
    [
        (EVIL,),
        (EVIL.make_intermediate(), EVIL),
        (ANY.make_intermediate(trust_domain="evil.example"), ANY),
        (ACME.make_intermediate(trust_domain="evil.example"), ACME),
        (ACME.make_intermediate(trust_domain="acme.example.evil.example"), ACME),
    ],
    ids=["root", "root above", "intermediate", "below another", "longer name"],
)
def test_no_ca_issues_devices_of_another_domain(chain: tuple[CertificateAuthority, ...]) -> None:
    """One of the chain is enough."""
    with pytest.raises(UnidentifiedDeviceError, match="another SPIFFE trust domain"):
        _identify(*chain, domain="acme.example")


def test_a_ca_without_a_domain_may_name_any() -> None:
    """As most are."""
    assert names_none(ANY.certificate)
    assert _identify(ANY, domain="evil.example").startswith("spiffe://evil.example/")


def test_other_kinds_of_identity_have_no_trust_domain() -> None:
    """The CA's URI is about SPIFFE ids."""
    issued = EVIL.issue(dns=["press-7.example"])
    rule = IdentityRule(IdentityKind.DNS, RULE.uri_pattern)
    assert rule.identify(issued.certificate, [EVIL.certificate]).id == "press-7.example"


@given(st.text("ab.-/:@%", max_size=12), st.text("ab.-", min_size=1, max_size=6))
def test_whatever_a_ca_names_only_that_very_domain_fits(named: str, domain: str) -> None:
    """Neither its beginning, nor its end, nor what stands around it."""
    ca = CertificateAuthority.create("ca", trust_domain=named)
    device = f"spiffe://{domain}/fleet/line-a/device/press-7"
    assert trust_domains(ca.certificate) == {named.partition("/")[0]}
    assert may_issue([ca.certificate], device) == (named.partition("/")[0] == domain)


def test_anchors_that_may_issue_any_domain_are_told() -> None:
    """Roots and lone intermediates; not what is below them."""
    bundle: list[x509.Certificate] = [
        each.certificate
        for each in (ACME, ANY, ANY.make_intermediate("below"), CertificateAuthority.create("b"))
    ]
    assert {each.name for each in DeviceTrust.build(bundle, None).unbound_anchors} == {
        "CN=any",
        "CN=b",
    }
