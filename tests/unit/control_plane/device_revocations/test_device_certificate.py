"""What a pasted certificate says: the names by which a facade may know its device."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.device_revocations.device_certificate import (
    MAX_PEM_CHARACTERS,
    parse_device_certificate,
)
from control_plane.device_revocations.fields import parse_issuer, parse_serial
from deploy.dev.device_ca import CertificateAuthority
from shared.identity_form import IdentityKind, KindForm

URI = "spiffe://example.com/fleet/line-a/device/press-7"
AUTHORITY = CertificateAuthority.create("device CA")
ISSUED = AUTHORITY.issue(common_name="press-7", uris=[URI], dns=["press-7.example.com"])
PEM = ISSUED.chain_pem.decode()
KEY = ISSUED.key_pem.decode()


def test_a_certificate_names_its_device_its_serial_and_its_issuer() -> None:
    """In the very forms in which they are revoked; a chain begins with it."""
    found = parse_device_certificate(f"some words\n{PEM}\n{AUTHORITY.pem.decode()}")
    assert found.devices == (URI, "press-7.example.com", "press-7")
    assert parse_serial(found.serial) == found.serial
    assert parse_issuer(found.issuer) == found.issuer == "CN=device CA"
    assert found.subject.startswith("CN=press-7")


@pytest.mark.parametrize(
    "kind, device",
    [
        (IdentityKind.SPIFFE, (URI,)),
        (IdentityKind.DNS, ("press-7.example.com", "press-7")),
    ],
)
def test_only_names_of_the_installations_form_are_offered(
    kind: IdentityKind, device: tuple[str, ...]
) -> None:
    """Another name would revoke nobody."""
    assert parse_device_certificate(PEM, KindForm(kind)).devices == device


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "in PEM"),
        ("press-7", "in PEM"),
        (PEM[:200], "in PEM"),
        (KEY, "private key"),
        (PEM + KEY, "private key"),
        ("x" * (MAX_PEM_CHARACTERS + 1), "at most"),
    ],
)
def test_what_is_no_certificate_is_refused_and_not_quoted(text: str, said: str) -> None:
    """A private key above all."""
    with pytest.raises(ValueError, match=said) as refused:
        parse_device_certificate(text)
    assert not text or text[-60:] not in str(refused.value)


@given(
    st.text(max_size=300)
    | st.integers(0, len(PEM)).flatmap(
        lambda at: st.characters().map(lambda letter: PEM[:at] + letter + PEM[at + 1 :])
    )
)
def test_any_text_is_a_certificate_or_refused(text: str) -> None:
    """With one kind of error, whatever the library raises."""
    with suppress(ValueError):
        parse_device_certificate(text)
