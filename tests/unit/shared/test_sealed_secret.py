"""The seal: opens for whom it was made, and for nobody who changed anything about that."""

from ipaddress import ip_network
from typing import Any
from uuid import UUID

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from shared.connection import (
    Anonymous,
    EcrRole,
    GoogleServiceAccount,
    SealContext,
    UsernameAndToken,
)
from shared.keys import key_id
from shared.oci import Digest
from shared.registry_host import RegistryHost
from shared.sealed_secret import (
    MAX_SECRET_BYTES,
    SEAL_OVERHEAD_BYTES,
    SUITE_NAME,
    SealedSecretError,
    open_sealed,
    reference,
    seal,
)
from shared.secret import Secret

KEY, OTHER_KEY = X25519PrivateKey.generate(), X25519PrivateKey.generate()
CANARY = Secret("canary-5f3a")
CONTEXT = SealContext(
    connection_id=UUID("0190a0b0-c0d0-7000-8000-000000000001"),
    host=RegistryHost.parse("registry.local:5000"),
    credential=UsernameAndToken("robot"),
    auth_realms=("https://auth.local/token",),
    plain_http=False,
    ca_certificate=None,
    allowed_networks=(ip_network("10.0.0.0/8"),),
    secret_version=1,
    key_id=key_id(KEY.public_key()),
)
SEALED = seal(CANARY, KEY.public_key(), CONTEXT)
CHANGES: list[tuple[str, Any]] = [
    ("connection_id", UUID("0190a0b0-c0d0-7000-8000-000000000002")),
    ("host", RegistryHost.parse("registry.local:5001")),
    ("host", RegistryHost.parse("evil.example")),
    ("credential", UsernameAndToken("other")),
    ("credential", Anonymous()),
    ("credential", GoogleServiceAccount("robot", "p")),
    ("credential", EcrRole("robot", "1", "r")),
    ("auth_realms", ()),
    ("auth_realms", ("https://auth.local/token", "https://evil.example/token")),
    ("plain_http", True),
    ("ca_certificate", "-----BEGIN CERTIFICATE-----"),
    ("allowed_networks", ()),
    ("allowed_networks", (ip_network("0.0.0.0/0"),)),
    ("secret_version", 2),
    ("key_id", key_id(OTHER_KEY.public_key())),
]


@given(st.binary(max_size=1000))
def test_what_is_sealed_opens(plaintext: bytes) -> None:
    """And the sealed bytes do not contain it."""
    sealed = seal(Secret(plaintext), KEY.public_key(), CONTEXT)
    assert open_sealed(sealed, KEY, CONTEXT).reveal() == plaintext
    assert len(sealed) == len(plaintext) + SEAL_OVERHEAD_BYTES
    assert len(plaintext) < 4 or plaintext not in sealed


def test_the_changes_below_name_every_field() -> None:
    """A field that is added to the context must be tried here."""
    assert {field for field, _ in CHANGES} == {field.name for field in attrs.fields(SealContext)}


# Named by the field: a name with a random key's id would be another one in each process.
@pytest.mark.parametrize("field, value", CHANGES, ids=[field for field, _ in CHANGES])
def test_any_other_context_does_not_open(field: str, value: Any) -> None:
    """Who can write the database can point a connection elsewhere, and gets nothing for it."""
    with pytest.raises(SealedSecretError):
        open_sealed(SEALED, KEY, attrs.evolve(CONTEXT, **{field: value}))


def test_another_key_does_not_open() -> None:
    """The facade's private half alone does."""
    with pytest.raises(SealedSecretError):
        open_sealed(SEALED, OTHER_KEY, CONTEXT)


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_changed_byte_does_not_open(place: int, difference: int) -> None:
    """Every byte is authenticated, the encapsulated key's too."""
    tampered = bytearray(SEALED)
    tampered[place] ^= difference
    with pytest.raises(SealedSecretError):
        open_sealed(bytes(tampered), KEY, CONTEXT)


@given(st.binary(max_size=200))
def test_other_bytes_do_not_open(sealed: bytes) -> None:
    """Whatever lies in the column, there is one error."""
    with pytest.raises(SealedSecretError):
        open_sealed(sealed, KEY, CONTEXT)


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), b"\xff" * 32])
def test_points_of_low_order_do_not_open(point: bytes) -> None:
    """They make a shared secret that everybody knows (RFC 7748 section 6.1)."""
    with pytest.raises(SealedSecretError):
        open_sealed(point + SEALED[32:], KEY, CONTEXT)


def test_lengths_are_bounded_on_both_sides() -> None:
    """A row cannot make the facade decrypt a gigabyte."""
    largest = Secret(bytes(MAX_SECRET_BYTES))
    sealed = seal(largest, KEY.public_key(), CONTEXT)
    assert open_sealed(sealed, KEY, CONTEXT) == largest
    with pytest.raises(SealedSecretError):
        open_sealed(sealed + b"x", KEY, CONTEXT)
    with pytest.raises(ValueError, match="at most"):
        seal(Secret(bytes(MAX_SECRET_BYTES + 1)), KEY.public_key(), CONTEXT)


def test_a_context_that_names_another_key_is_not_sealed() -> None:
    """It would never open again."""
    with pytest.raises(ValueError, match="another key"):
        seal(CANARY, OTHER_KEY.public_key(), CONTEXT)


def test_errors_tell_nothing_of_the_secret() -> None:
    """A refusal to open goes to the log."""
    with pytest.raises(SealedSecretError) as caught:
        open_sealed(SEALED, KEY, attrs.evolve(CONTEXT, plain_http=True))
    assert "canary" not in repr(caught.value)
    assert caught.value.__suppress_context__


def test_the_reference_names_bytes_key_version_and_suite() -> None:
    """The approver's document binds these very bytes."""
    named = reference(SEALED, CONTEXT)
    assert named.sha256 == Digest.of(SEALED).hex
    assert (named.key_id, named.version) == (CONTEXT.key_id, CONTEXT.secret_version)
    assert named.suite == SUITE_NAME == "HPKE-X25519-HKDF-SHA256-CHACHA20POLY1305"


def test_two_seals_of_one_secret_differ() -> None:
    """Nobody can tell from the column that a secret did not change."""
    assert seal(CANARY, KEY.public_key(), CONTEXT) != SEALED
