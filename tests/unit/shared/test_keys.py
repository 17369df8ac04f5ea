"""Key files: the one kind of key that is wanted, several of them while rotating, nothing else."""

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from shared.keys import (
    InvalidKeyFileError,
    key_id,
    load_sealing_private_keys,
    load_sealing_public_key,
    load_statement_private_key,
    load_statement_public_keys,
    private_pem,
    public_pem,
)

STATEMENT, OTHER_STATEMENT = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
SEALING, OTHER_SEALING = X25519PrivateKey.generate(), X25519PrivateKey.generate()
STATEMENT_PRIVATE, STATEMENT_PUBLIC = private_pem(STATEMENT), public_pem(STATEMENT.public_key())
SEALING_PRIVATE, SEALING_PUBLIC = private_pem(SEALING), public_pem(SEALING.public_key())
P256 = ec.generate_private_key(ec.SECP256R1())
P256_PRIVATE = P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
P256_PUBLIC = P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
ENCRYPTED = STATEMENT.private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
)
CANARY = b"canary5f3a"

Load = Callable[[bytes], object]
LOADERS: dict[Load, bytes] = {
    load_statement_private_key: STATEMENT_PRIVATE,
    load_statement_public_keys: STATEMENT_PUBLIC,
    load_sealing_public_key: SEALING_PUBLIC,
    load_sealing_private_keys: SEALING_PRIVATE,
}
EVERY_KIND = {
    STATEMENT_PRIVATE: "an Ed25519 private key",
    STATEMENT_PUBLIC: "an Ed25519 public key",
    SEALING_PRIVATE: "an X25519 private key",
    SEALING_PUBLIC: "an X25519 public key",
    P256_PRIVATE: "an EC private key",
    P256_PUBLIC: "an EC public key",
}
WANTED: dict[Load, str] = {
    load_statement_private_key: "the private half of one statement key, as in statement.private",
    load_statement_public_keys: "public halves of statement keys, as in statement.public.pem",
    load_sealing_public_key: "the public half of one sealing key, as in sealing.public.pem",
    load_sealing_private_keys: "private halves of sealing keys, as in sealing.private.pem",
}


def test_keys_come_back_from_their_files() -> None:
    """What `keys` writes is what `serve` reads."""
    assert private_pem(load_statement_private_key(STATEMENT_PRIVATE)) == STATEMENT_PRIVATE
    assert public_pem(load_sealing_public_key(SEALING_PUBLIC)) == SEALING_PUBLIC
    assert list(load_statement_public_keys(STATEMENT_PUBLIC)) == [key_id(STATEMENT.public_key())]
    assert list(load_sealing_private_keys(SEALING_PRIVATE)) == [key_id(SEALING.public_key())]


def test_a_key_id_is_the_beginning_of_the_hash_of_its_spki() -> None:
    """Anybody can compute it with openssl and sha256sum."""
    spki = STATEMENT.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key_id(STATEMENT.public_key()) == hashlib.sha256(spki).hexdigest()[:16]


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("pem", EVERY_KIND)
def test_every_other_kind_of_key_is_refused(load: Load, pem: bytes) -> None:
    """Above all a private key where a public one belongs; it says which is which."""
    if pem == LOADERS[load]:
        load(pem)
        return
    with pytest.raises(InvalidKeyFileError) as refused:
        load(pem)
    assert str(refused.value).startswith(
        f"it holds {EVERY_KIND[pem]}; what belongs there: {WANTED[load]}"
    )
    with pytest.raises(InvalidKeyFileError):
        load(LOADERS[load] + pem)


def test_several_keys_are_read_where_keys_rotate() -> None:
    """The facade reads the old and the new key for a while."""
    public = load_statement_public_keys(
        STATEMENT_PUBLIC + b"# the next one\n" + public_pem(OTHER_STATEMENT.public_key())
    )
    private = load_sealing_private_keys(SEALING_PRIVATE + private_pem(OTHER_SEALING))
    assert set(public) == {key_id(key.public_key()) for key in (STATEMENT, OTHER_STATEMENT)}
    assert set(private) == {key_id(key.public_key()) for key in (SEALING, OTHER_SEALING)}


def test_one_key_alone_is_read_where_one_is_used() -> None:
    """Nobody could say which of two would sign."""
    with pytest.raises(InvalidKeyFileError, match="it holds 2 times an Ed25519 private key"):
        load_statement_private_key(STATEMENT_PRIVATE + private_pem(OTHER_STATEMENT))
    with pytest.raises(InvalidKeyFileError):
        load_sealing_public_key(SEALING_PUBLIC + public_pem(OTHER_SEALING.public_key()))


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"\n",
        CANARY,
        b"\xff" * 100,
        b"-----BEGIN PRIVATE KEY-----\n" + CANARY + b"\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\n" + CANARY + b"\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\n" + CANARY + b"\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\n" + CANARY,
        ENCRYPTED,
    ],
)
def test_a_file_without_a_usable_key_is_refused_and_not_quoted(load: Load, pem: bytes) -> None:
    """The message is printed at start; the file may be a private key with a typing error."""
    with pytest.raises(InvalidKeyFileError) as caught:
        load(pem)
    assert CANARY.decode() not in repr(caught.value)
    assert caught.value.__context__ is None


@given(st.sampled_from(sorted(LOADERS.values())), st.data())
def test_a_damaged_file_is_refused_or_is_a_key(pem: bytes, data: st.DataObject) -> None:
    """Whatever happened to the file, the process says so in one way."""
    place = data.draw(st.integers(0, len(pem) - 1))
    damaged = pem[:place] + bytes([data.draw(st.integers(0, 255))]) + pem[place + 1 :]
    for load in LOADERS:
        try:
            load(damaged)
        except InvalidKeyFileError as error:
            assert error.__context__ is None  # noqa: PT017  # nothing is raised for damage that is none
