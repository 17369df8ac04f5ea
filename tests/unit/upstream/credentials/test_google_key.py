"""Which JSON is a service account's key, and what is kept of it."""

import contextlib
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable
from textwrap import wrap
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from shared.safe_message import SafeMessage
from shared.secret import Secret
from shared.upstream.credentials.google_key import (
    GoogleServiceAccountKey,
    InvalidServiceAccountKeyError,
)
from tests.support.rsa_keys import composite_numbers, pem_of
from tests.support.simulators.google import ServiceAccount
from tests.unit.shared.strategies import json_values, texts
from tests.unit.upstream.reading import everything_said

CANARY = "canary-in-a-key"
_KEY_JSON = ServiceAccount.create().key_json()
FIELDS = tuple(_KEY_JSON)
KEPT = {"type", "client_email", "project_id", "private_key_id", "private_key"}


def _pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    password: bytes | None = None,
) -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def refusal_of(key: dict[str, Any]) -> InvalidServiceAccountKeyError:
    """Return the error for a key; nothing of the key's values is in it."""
    with pytest.raises(InvalidServiceAccountKeyError) as refusal:
        GoogleServiceAccountKey.parse(key)
    assert isinstance(refusal.value, SafeMessage)
    said = everything_said(refusal.value)
    assert CANARY not in said
    assert "PRIVATE KEY" not in said
    assert refusal.value.__cause__ is None
    return refusal.value


def test_a_key_file_as_google_makes_it_is_accepted(account: ServiceAccount) -> None:
    """The main job."""
    key = GoogleServiceAccountKey.parse(account.key_json())
    assert key.client_email == account.client_email
    assert key.project_id == account.project_id
    assert key.private_key_id == account.private_key_id
    assert key.private_key.reveal_text() == account.private_pem


@pytest.mark.parametrize(
    "email",
    [
        "123456789-compute@developer.gserviceaccount.com",
        "factory-1@appspot.gserviceaccount.com",
        "puller@factory-1.example.com.iam.gserviceaccount.com",
    ],
)
def test_accounts_that_google_made_itself_are_accepted(account: ServiceAccount, email: str) -> None:
    """Not every account is `…@project.iam`."""
    key = GoogleServiceAccountKey.parse(account.key_json(client_email=email))
    assert key.client_email == email


def test_what_is_sealed_is_what_is_needed_and_no_more(account: ServiceAccount) -> None:
    """A token address or a universe in the key is not even stored."""
    key = GoogleServiceAccountKey.parse(account.key_json(token_uri=f"https://{CANARY}.example"))
    sealed = key.to_secret()
    assert orjson.loads(sealed.reveal()).keys() == KEPT
    assert CANARY.encode() not in sealed.reveal()
    assert GoogleServiceAccountKey.from_secret(sealed) == key


@pytest.mark.parametrize(
    "kind",
    [
        "external_account",
        "external_account_authorized_user",
        "authorized_user",
        "impersonated_service_account",
        "gdch_service_account",
        "SERVICE_ACCOUNT",
        "",
        None,
        ["service_account"],
    ],
)
def test_other_types_of_credential_are_refused(account: ServiceAccount, kind: object) -> None:
    """They fetch files, run programs, or speak for somebody else."""
    assert "only service_account" in str(refusal_of(account.key_json(type=kind)))


@pytest.mark.parametrize(
    "field",
    [
        "credential_source",
        "service_account_impersonation_url",
        "subject_token_type",
        "token_url",
        "audience",
        "refresh_token",
        "quota_project_id",
        "trust_boundary",
        "delegates",
        CANARY,
    ],
)
def test_a_field_that_no_service_account_has_is_refused(
    account: ServiceAccount, field: str
) -> None:
    """Its name is not quoted: it may be a secret in the wrong place."""
    refusal = refusal_of(account.key_json(**{field: CANARY}))
    assert str(refusal) == "fields that no service account's key has: 1"


@pytest.mark.parametrize("universe", ["example.com", "googleapis.com.", "", None, 7, [CANARY]])
def test_another_universe_is_refused(account: ServiceAccount, universe: object) -> None:
    """It would choose the audience of what the key signs."""
    assert "universe_domain" in str(refusal_of(account.key_json(universe_domain=universe)))


@pytest.mark.parametrize("field", sorted(KEPT - {"type"}))
@pytest.mark.parametrize("value", [None, "", 7, True, [], {}, CANARY + " ", f"{CANARY}\n", "é" * 9])
def test_every_field_that_is_kept_is_looked_at(
    account: ServiceAccount, field: str, value: object
) -> None:
    """The error names the field, never the value."""
    assert str(refusal_of(account.key_json(**{field: value}))).startswith(field)
    missing = account.key_json()
    del missing[field]
    assert str(refusal_of(missing)).startswith(field)


@pytest.mark.parametrize(
    "make_key",
    [
        lambda: _pem(ec.generate_private_key(ec.SECP256R1())),
        lambda: _pem(ed25519.Ed25519PrivateKey.generate()),
        lambda: _pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - refused for that
        lambda: _pem(rsa.generate_private_key(65537, 2048), password=b"password"),
        lambda: "-----BEGIN PRIVATE KEY-----\nnothing\n-----END PRIVATE KEY-----\n",
        lambda: "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        lambda: "A" * 5000,
    ],
    ids=["P-256", "Ed25519", "RSA 1024", "encrypted", "no key", "certificate", "too long"],
)
def test_a_key_that_cannot_be_googles_is_refused(
    account: ServiceAccount, make_key: Callable[[], str]
) -> None:
    """Google issues RSA of 2048 bits and more, without a password."""
    assert "private_key" in str(refusal_of(account.key_json(private_key=make_key())))


@pytest.mark.parametrize("name", ["p", "q", "d", "dmp1", "dmq1", "iqmp", "n"])
def test_numbers_that_belong_to_no_one_key_are_refused(account: ServiceAccount, name: str) -> None:
    """Each is looked at, without the long test of primes."""
    numbers = composite_numbers()
    value = numbers.public_numbers.n if name == "n" else getattr(numbers, name)
    pem = with_another_number(pem_of(numbers), value)
    assert "private_key" in str(refusal_of(account.key_json(private_key=pem)))


def with_another_number(pem: str, value: int) -> str:
    """Return a key in which one number is another of the same length."""
    der = b64decode("".join(pem.splitlines()[1:-1]))
    length = (value.bit_length() + 7) // 8
    changed = der.replace(value.to_bytes(length), (value ^ 2).to_bytes(length), 1)
    assert changed != der
    lines = wrap(b64encode(changed).decode(), 64)
    return "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])


@pytest.mark.parametrize(
    "bits, exponent", [(1024, 65537), (4608, 65537), (2048, 2**33 + 17), (8192, 3)]
)
def test_a_key_that_would_cost_too_much_is_refused(
    account: ServiceAccount, bits: int, exponent: int
) -> None:
    """By its size, or by its exponent."""
    pem = pem_of(composite_numbers(bits, exponent))
    assert "private_key" in str(refusal_of(account.key_json(private_key=pem)))


@pytest.mark.parametrize("make_signer", [False, True])
def test_a_key_prints_nothing_of_itself(
    account: ServiceAccount,
    make_signer: bool,  # noqa: FBT001 - a table
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither the value nor what is made of it."""
    key = GoogleServiceAccountKey.parse(account.key_json())
    shown = key.signer() if make_signer else key
    secret = account.private_pem.splitlines()[1]
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("%s %r %s", shown, shown, vars(type(shown)))
    assert secret not in caplog.text
    assert secret not in f"{key.to_secret()} {key.to_secret()!r} {shown} {shown!r}"


json_objects = st.dictionaries(st.one_of(st.sampled_from(FIELDS), texts), json_values, max_size=12)


@given(json_objects)
def test_any_json_object_is_accepted_or_refused(key: dict[str, Any]) -> None:
    """Nothing but the declared error, whatever was pasted."""
    with pytest.raises(InvalidServiceAccountKeyError):
        GoogleServiceAccountKey.parse({"type": "service_account"} | key)


@given(st.sampled_from(FIELDS), json_values)
def test_any_value_of_one_field_is_accepted_or_refused(field: str, value: object) -> None:
    """The same of a key that is right but for one field."""
    with contextlib.suppress(InvalidServiceAccountKeyError):
        parsed = GoogleServiceAccountKey.parse(_KEY_JSON | {field: value})
        assert GoogleServiceAccountKey.from_secret(parsed.to_secret()) == parsed


@given(st.one_of(st.binary(), json_values.map(orjson.dumps)))
def test_any_sealed_bytes_are_a_key_or_refused(stored: bytes) -> None:
    """Also what no control plane of ours sealed."""
    with pytest.raises(InvalidServiceAccountKeyError):
        GoogleServiceAccountKey.from_secret(Secret(stored))
