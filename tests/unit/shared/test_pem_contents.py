"""What a file holds, in words: for whoever mixed up two files."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    rsa,
    x448,
    x25519,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.device_ca import CertificateAuthority
from shared.pem_contents import what_it_holds

CANARY = b"canary5f3a"
ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
KEYS: dict[str, Any] = {
    "an Ed25519": ED25519,
    "an X25519": x25519.X25519PrivateKey.generate(),
    "an Ed448": ed448.Ed448PrivateKey.generate(),
    "an X448": x448.X448PrivateKey.generate(),
    "an RSA": RSA,
    "an EC": EC,
    "a DSA": dsa.generate_private_key(1024),  # noqa: S505  # nobody uses it; it is quick to make
}
AUTHORITY = CertificateAuthority.create("pem contents CA")
CERTIFICATE, CRL = AUTHORITY.pem, AUTHORITY.crl()
PRIVATE = ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PUBLIC = ED25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
OTHERS = {
    b"": "nothing: it is empty",
    b" \n\n": "nothing: it is empty",
    b"a note": "no PEM",
    CERTIFICATE: "a certificate",
    CRL: "a CRL",
    CERTIFICATE * 2: "2 times a certificate",
    PUBLIC * 3: "3 times an Ed25519 public key",
    PUBLIC + CERTIFICATE: "an Ed25519 public key, a certificate",
    b"a comment\n" + CERTIFICATE + PRIVATE: "a certificate, an Ed25519 private key",
    CERTIFICATE + PRIVATE + PUBLIC + CRL: (
        "a certificate, an Ed25519 private key, an Ed25519 public key and more"
    ),
    PRIVATE[:-12]: "PEM that is cut off or damaged",
    PRIVATE.replace(b"MC4C", b"AAAA"): "a private key that cannot be read",
    PUBLIC.replace(b"MCow", b"AAAA"): "a public key that cannot be read",
    RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()): (
        "an RSA private key"
    ),
    EC.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()): (
        "an EC private key"
    ),
    EC.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"password")
    ): "a private key with a password",
    ED25519.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    ): "a private key with a password",
    ED25519.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()): (
        "an OpenSSH private key"
    ),
    ED25519.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH): (
        "an OpenSSH public key"
    ),
    ED25519.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()): "binary DER, not PEM",
    b"-----BEGIN X-----\nAA==\n-----END X-----\n": "PEM of another kind",
}


@pytest.mark.parametrize("words", KEYS)
def test_a_key_is_named_by_its_kind_and_its_half(words: str) -> None:
    """Public and private halves are what is mixed up most."""
    key = KEYS[words]
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert what_it_holds(private) == f"{words} private key"
    assert what_it_holds(public) == f"{words} public key"


@pytest.mark.parametrize("content", OTHERS, ids=lambda content: OTHERS[content])
def test_what_is_no_key_or_no_single_one_is_named_too(content: bytes) -> None:
    """Whatever lies in the folder of an installation."""
    assert what_it_holds(content) == OTHERS[content]


def put_in(content: bytes) -> Callable[[bytes], bytes]:
    """Return what puts bytes into the middle of a file."""
    half = len(content) // 2
    return lambda inserted: content[:half] + inserted + content[half:]


@given(
    st.binary()
    | st.binary().map(put_in(PRIVATE + CERTIFICATE))
    | st.sampled_from([b"-----BEGIN " + CANARY, CANARY, b"-----BEGIN CANARY5F3A-----\n"]).map(
        put_in(PRIVATE)
    )
)
def test_anything_is_named_and_nothing_is_quoted(content: bytes) -> None:
    """The words go to a terminal and a log, the file may hold a secret."""
    words = what_it_holds(content)
    assert words
    assert CANARY.decode() not in words.lower()
