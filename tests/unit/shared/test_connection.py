"""The connection document: its bytes, its fingerprint, what the seal binds and the access key."""

import hashlib
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given

from shared.canonical_json import InvalidDocumentError
from shared.connection import (
    SEAL_CONTEXT,
    Anonymous,
    ConnectionDocument,
    EcrRole,
    GoogleServiceAccount,
    Provider,
    SealedSecretReference,
    UsernameAndToken,
    access_key,
    fingerprint,
    seal_context,
)
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.repository_pattern import RepositoryPattern
from shared.statement_level import level_of
from tests.unit.shared.strategies import connection_documents

CONNECTION = UUID("0190a0b0-c0d0-7000-8000-000000000001")
OTHER_CONNECTION = UUID("0190a0b0-c0d0-7000-8000-000000000002")
DOCUMENT = ConnectionDocument(
    host=RegistryHost.parse("registry.local:5000"),
    credential=UsernameAndToken("robot$team+puller"),
    connected_by="alice",
    connected_at=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    repository_prefix=RepositoryName.parse("team"),
    auth_realms=("https://auth.local/token",),
    repositories=(RepositoryPattern.parse("team/**"),),
    fleets=("line-a",),
    plain_http=True,
    allowed_networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    ca_certificate="-----BEGIN CERTIFICATE-----\n",
    secret=SealedSecretReference(
        version=3, key_id="0123456789abcdef", suite="HPKE", sha256="ab" * 32
    ),
)
GOLDEN_BYTES = (
    b'{"allowed_networks":["10.0.0.0/8","fd00::/8"],"auth_realms":["https://auth.local/token"],'
    b'"ca_certificate":"-----BEGIN CERTIFICATE-----\\n","connected_at":"2026-01-02T03:04:05.678Z",'
    b'"connected_by":"alice","credential":{"kind":"username_and_token",'
    b'"username":"robot$team+puller"},"fleets":["line-a"],"host":"registry.local:5000",'
    b'"plain_http":true,"repositories":["team/**"],"repository_prefix":"team","secret":{"key_id":'
    b'"0123456789abcdef","sha256":"' + b"ab" * 32 + b'","suite":"HPKE","version":3}}'
)
GOLDEN_CONTEXT = (
    b'registry-secret/1 {"allowed_networks":["10.0.0.0/8","fd00::/8"],"auth_realms":'
    b'["https://auth.local/token"],"ca_certificate":"-----BEGIN CERTIFICATE-----\\n",'
    b'"connection_id":"0190a0b0-c0d0-7000-8000-000000000001","credential":'
    b'{"kind":"username_and_token","username":"robot$team+puller"},"host":"registry.local:5000",'
    b'"key_id":"0123456789abcdef","plain_http":true,"secret_version":3}'
)

GOLDEN_ROLE = (
    b'"credential":{"account":"1","external_id":"external","kind":"ecr_role",'
    b'"region":"eu-central-1","role_arn":"arn:aws:iam::1:role/a"},'
)
GOLDEN_ROLE_ACCESS_KEY = "2cdfef37b9035b776fd9f29fc202c7fd798839c34e3a2617237a2383596712b0"

# Every field of the document, with another value, and whether it decides who is shown the secret.
CHANGES: dict[str, tuple[Any, bool]] = {
    "host": (RegistryHost.parse("registry.local:5001"), True),
    "credential": (UsernameAndToken("other"), True),
    "auth_realms": ((), True),
    "plain_http": (False, True),
    "ca_certificate": (None, True),
    "allowed_networks": ((), True),
    "secret": (SealedSecretReference(4, "0123456789abcdef", "HPKE", "ab" * 32), True),
    "connected_by": ("bob", False),
    "connected_at": (datetime(2027, 1, 1, tzinfo=UTC), False),
    "repository_prefix": (None, False),
    "repositories": ((), False),
    "fleets": ((), False),
    "referrers": (True, False),
}


def test_the_bytes_of_a_document_stay_what_they_were() -> None:
    """Fingerprints and signatures of every stored approval hang on them."""
    assert DOCUMENT.to_bytes() == GOLDEN_BYTES
    assert ConnectionDocument.from_bytes(GOLDEN_BYTES) == DOCUMENT


def test_referrers_are_in_the_bytes_only_if_they_are_listed() -> None:
    """A facade of before would refuse the whole document, and withdraw the connection."""
    on = attrs.evolve(DOCUMENT, referrers=True)
    assert b"referrers" not in DOCUMENT.to_bytes()
    assert b'"referrers":true' in on.to_bytes()
    assert ConnectionDocument.from_bytes(on.to_bytes()) == on
    assert (level_of(DOCUMENT), level_of(on)) == (1, 3)
    with pytest.raises(InvalidDocumentError):
        ConnectionDocument.from_bytes(GOLDEN_BYTES[:-1] + b',"referrers":false}')


def test_an_option_of_a_role_that_is_off_is_not_in_the_bytes() -> None:
    """Documents and access keys of before the option are what they were; on, both are others."""
    role = EcrRole("arn:aws:iam::1:role/a", "1", "eu-central-1", "external")
    off = attrs.evolve(DOCUMENT, credential=role, secret=None)
    on = attrs.evolve(off, credential=attrs.evolve(role, pull_through_cache=True))
    assert GOLDEN_ROLE in off.to_bytes()
    assert GOLDEN_ROLE not in on.to_bytes()
    assert b'"kind":"ecr_role","pull_through_cache":true,"region"' in on.to_bytes()
    assert ConnectionDocument.from_bytes(on.to_bytes()) == on
    assert access_key(CONNECTION, off) == GOLDEN_ROLE_ACCESS_KEY
    assert access_key(CONNECTION, on) != GOLDEN_ROLE_ACCESS_KEY


def test_the_fingerprint_is_the_hash_of_the_stored_bytes() -> None:
    """Anybody can compute it with sha256sum."""
    expected = f"sha256:{hashlib.sha256(GOLDEN_BYTES).hexdigest()}"
    assert fingerprint(DOCUMENT.to_bytes()) == expected


def test_what_the_seal_binds_stays_what_it_was() -> None:
    """Other bytes here, and no stored secret opens any more."""
    context = seal_context(CONNECTION, DOCUMENT, secret_version=3, key_id="0123456789abcdef")
    assert SEAL_CONTEXT == b"registry-secret/1 "
    assert context.to_bytes() == GOLDEN_CONTEXT
    assert access_key(CONNECTION, DOCUMENT) == hashlib.sha256(GOLDEN_CONTEXT).hexdigest()


def test_the_changes_below_name_every_field() -> None:
    """A new field must be put on one side: bound by the seal, or not."""
    assert set(CHANGES) == {field.name for field in attrs.fields(ConnectionDocument)}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_changes_the_fingerprint(field: str) -> None:
    """The approver approves all of what is shown."""
    other = attrs.evolve(DOCUMENT, **{field: CHANGES[field][0]})
    assert fingerprint(other.to_bytes()) != fingerprint(DOCUMENT.to_bytes())


@pytest.mark.parametrize("field", CHANGES)
def test_the_access_key_changes_with_who_is_shown_the_secret_alone(field: str) -> None:
    """A wider scope does not throw away what was proven; another registry does."""
    value, decides = CHANGES[field]
    other = attrs.evolve(DOCUMENT, **{field: value})
    assert (access_key(CONNECTION, other) != access_key(CONNECTION, DOCUMENT)) == decides


@pytest.mark.parametrize(
    "other",
    [
        EcrRole("arn:aws:iam::1:role/a", "1", "eu-central-1", "external"),
        EcrRole("arn:aws:iam::1:role/b", "1", "eu-central-1", "external"),
        EcrRole("arn:aws:iam::1:role/a", "1", "eu-central-1", None),
        EcrRole("arn:aws:iam::1:role/a", "1", "eu-central-1", "external", pull_through_cache=True),
        GoogleServiceAccount("a@b.iam.gserviceaccount.com", "b"),
        UsernameAndToken("other"),
        Anonymous(),
    ],
)
def test_every_part_of_a_credential_changes_the_access_key(
    other: EcrRole | GoogleServiceAccount | UsernameAndToken | Anonymous,
) -> None:
    """Role, external id, e-mail and user name each decide who is asked with what."""
    keys = {
        access_key(CONNECTION, attrs.evolve(DOCUMENT, credential=credential))
        for credential in (DOCUMENT.credential, other)
    }
    assert len(keys) == 2


def test_the_access_key_belongs_to_one_connection() -> None:
    """Two connections of one registry prove their rights apart."""
    assert access_key(CONNECTION, DOCUMENT) != access_key(OTHER_CONNECTION, DOCUMENT)


def test_a_new_sealing_key_is_a_new_access_key() -> None:
    """The key's id is bound as everything else is."""
    assert DOCUMENT.secret is not None
    moved = attrs.evolve(DOCUMENT, secret=attrs.evolve(DOCUMENT.secret, key_id="f" * 16))
    assert access_key(CONNECTION, moved) != access_key(CONNECTION, DOCUMENT)


@given(connection_documents, connection_documents)
def test_equal_bytes_mean_equal_documents(
    one: ConnectionDocument, other: ConnectionDocument
) -> None:
    """A fingerprint names one document."""
    assert (one.to_bytes() == other.to_bytes()) == (one == other)


@pytest.mark.parametrize(
    "credential, provider, needs_secret",
    [
        (Anonymous(), Provider.STATIC, False),
        (UsernameAndToken("u"), Provider.STATIC, True),
        (GoogleServiceAccount("e", "p"), Provider.GOOGLE_SERVICE_ACCOUNT, True),
        (EcrRole("arn", "1", "r"), Provider.AWS_ECR, False),
    ],
)
def test_a_credential_knows_its_provider_and_whether_it_has_a_secret(
    credential: Anonymous | UsernameAndToken | GoogleServiceAccount | EcrRole,
    provider: Provider,
    needs_secret: bool,  # noqa: FBT001  # a table
) -> None:
    """A role and an anonymous registry have nothing to seal."""
    document = attrs.evolve(DOCUMENT, credential=credential)
    assert (document.provider, document.needs_secret) == (provider, needs_secret)
