"""What a patch makes of a connection, and when it needs the secret again."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.connections.edit import parse_edit, parse_new_credential
from control_plane.connections.request import request_body
from control_plane.errors import ConflictError, InvalidRequestError
from shared.connection import (
    Anonymous,
    ConnectionDocument,
    Credential,
    EcrRole,
    GoogleServiceAccount,
    SealedSecretReference,
    UsernameAndToken,
    seal_context,
)
from shared.registry_host import RegistryHost
from shared.secret import Secret
from tests.unit.control_plane.connections.test_credential_fields import (
    CANARY,
    ECR_HOST,
    ROLE,
    account,
)

REFERENCE = SealedSecretReference(3, "0" * 16, "HPKE", "1" * 64)
CONNECTION_ID = UUID(int=1)


def present(credential: Credential, host: str = "ghcr.io", **fields: Any) -> ConnectionDocument:
    """Return a document as it is there."""
    document = ConnectionDocument(
        RegistryHost.parse(host), credential, "alice", datetime.now(UTC), **fields
    )
    return attrs.evolve(document, secret=REFERENCE if document.needs_secret else None)


STATIC = present(UsernameAndToken("robot"))
ANONYMOUS = present(Anonymous())
GOOGLE = present(GoogleServiceAccount("a@p.iam.gserviceaccount.com", "p"), "gcr.io")
ECR = present(EcrRole(ROLE, "123456789012", "eu-central-1", "id-1"), ECR_HOST)
WITHOUT_EXTERNAL_ID = present(EcrRole(ROLE, "123456789012", "eu-central-1"), ECR_HOST)
ALL = (STATIC, ANONYMOUS, GOOGLE, ECR, WITHOUT_EXTERNAL_ID)

# What may be patched without the secret at hand, or not.
FREE = {"repositories": ["team/*"], "fleets": ["line-a"]}
BOUND = {
    "auth_realms": ["https://auth.example/token"],
    "allowed_networks": ["10.0.0.0/8"],
    "plain_http": True,
    "username": "other",
}


def refused(patch: dict[str, Any], document: ConnectionDocument) -> list[str]:
    """Return the fields that are wrong."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_edit(patch, document)
    assert CANARY not in str([error.detail for error in caught.value.errors])
    return [error.pointer for error in caught.value.errors]


@pytest.mark.parametrize("document", ALL)
def test_an_empty_patch_changes_nothing(document: ConnectionDocument) -> None:
    """What is not named stays, the secret and the lack of an external id too."""
    edit = parse_edit({}, document)
    assert edit.document(document) == document
    assert not edit.changes(document)
    assert not edit.changes_login


@pytest.mark.parametrize("document", ALL)
def test_saying_the_same_again_changes_nothing(document: ConnectionDocument) -> None:
    """A client that repeats itself makes no draft."""
    same = request_body(document)
    del same["host"], same["repository_prefix"]
    assert not parse_edit(same, document).changes(document)


@pytest.mark.parametrize("document", ALL)
@pytest.mark.parametrize("field", FREE)
def test_a_scope_changes_without_the_secret(document: ConnectionDocument, field: str) -> None:
    """It says what may be served, not who is shown the secret."""
    edit = parse_edit({field: FREE[field]}, document)
    assert edit.changes(document)
    assert not edit.changes_login
    assert edit.document(document).secret == document.secret


@pytest.mark.parametrize("field", BOUND)
def test_what_the_seal_binds_needs_the_secret_again(field: str) -> None:
    """Nobody here can open the old one, and nobody may redirect it."""
    assert refused({field: BOUND[field]}, STATIC) == [f"/{field}", "/token"]
    edit = parse_edit({field: BOUND[field], "token": CANARY}, STATIC)
    assert edit.changes_login
    assert edit.request.secret == Secret(CANARY)
    assert edit.document(STATIC).secret is None  # to be sealed anew


@pytest.mark.parametrize("field", ["auth_realms", "allowed_networks"])
def test_a_key_is_bound_as_a_token_is(field: str) -> None:
    """With its own name in the answer."""
    assert refused({field: BOUND[field]}, GOOGLE) == [f"/{field}", "/service_account_key"]


@pytest.mark.parametrize("document", [ANONYMOUS, ECR])
def test_without_a_secret_nothing_is_needed_again(document: ConnectionDocument) -> None:
    """There is nothing to redirect; the approver sees the change."""
    edit = parse_edit({"allowed_networks": ["10.0.0.0/8"]}, document)
    assert edit.changes_login
    assert edit.request.secret is None


def test_null_takes_a_field_back_to_its_default() -> None:
    """RFC 7396."""
    scoped = attrs.evolve(STATIC, fleets=("line-a",))
    edit = parse_edit({"fleets": None, "description": None}, scoped)
    assert (edit.request.fleets, edit.request.description) == ((), "")


@pytest.mark.parametrize("field", ["host", "repository_prefix"])
def test_a_place_cannot_change(field: str) -> None:
    """Another place is another connection."""
    for value in ("ghcr.io", "", None, 1):
        assert refused({field: value}, STATIC) == [f"/{field}"]


@pytest.mark.parametrize("name", ["id", "status", "approve", "draft", "fingerprint", "hosst"])
def test_unknown_fields_are_refused(name: str) -> None:
    """A view sent back is no patch."""
    assert refused({name: CANARY}, STATIC) == [f"/{name}"]


def test_a_connection_becomes_anonymous_and_back() -> None:
    """Both fields go, both come."""
    for patch in ({"username": None, "token": None}, {"username": None}):
        edit = parse_edit(patch, STATIC)
        assert edit.request.credential == Anonymous()
        assert edit.document(STATIC).secret is None
    assert refused({"token": None}, STATIC) == ["/token"]
    assert refused({"username": "robot"}, ANONYMOUS) == ["/token"]
    edit = parse_edit({"username": "robot", "token": CANARY}, ANONYMOUS)
    assert edit.request.credential == UsernameAndToken("robot")


def test_a_role_and_its_external_id_change() -> None:
    """What is not named stays; null is none."""
    other = "arn:aws:iam::123456789012:role/other"
    request = parse_edit({"role_arn": other}, ECR).request
    assert request.credential == EcrRole(other, "123456789012", "eu-central-1", "id-1")
    request = parse_edit({"external_id": None}, ECR).request
    assert request.credential == EcrRole(ROLE, "123456789012", "eu-central-1")
    assert refused({"role_arn": "arn:aws:iam::1:role/x"}, ECR) == ["/role_arn"]


def test_referrers_are_switched_on_and_off_without_the_secret() -> None:
    """They are a matter of what devices may ask for, not of who is shown the secret."""
    edit = parse_edit({"referrers": True}, STATIC)
    listed = edit.document(STATIC)
    assert (edit.rebinds, listed.referrers, listed.secret) == ((), True, STATIC.secret)
    assert parse_edit({"fleets": ["line-a"]}, listed).document(listed).referrers
    assert parse_edit({"referrers": None}, listed).document(listed) == STATIC
    assert refused({"referrers": "yes"}, STATIC) == ["/referrers"]


def test_filling_pull_through_caches_is_switched_on_and_off() -> None:
    """What is not named stays. A change rebinds: the facade asks for other keys of the role."""
    edit = parse_edit({"pull_through_cache": True}, ECR)
    assert edit.rebinds == ("pull_through_cache",)
    filled = edit.document(ECR)
    kept = parse_edit({"fleets": ["line-a"]}, filled).request.credential
    assert isinstance(kept, EcrRole)
    assert kept.pull_through_cache
    assert parse_edit({"pull_through_cache": None}, filled).document(filled) == ECR
    assert refused({"pull_through_cache": True}, STATIC) == ["/pull_through_cache"]


def test_a_password_of_google_becomes_a_key() -> None:
    """Another provider at the same place: its own credential is needed, the old one is gone."""
    static = present(UsernameAndToken("_json_key"), "gcr.io")
    assert refused({"provider": "google_service_account"}, static) == ["/service_account_key"]
    patch = {"provider": "google_service_account", "service_account_key": account().key_json()}
    edit = parse_edit(patch, static)
    assert isinstance(edit.request.credential, GoogleServiceAccount)
    assert edit.changes_login
    assert refused({"provider": "aws_ecr", "role_arn": ROLE}, static) == ["/host"]


@pytest.mark.parametrize(
    "body, document, pointers",
    [
        ({}, STATIC, ["/token"]),
        ({}, ANONYMOUS, ["/token"]),
        ({}, GOOGLE, ["/service_account_key"]),
        ({"token": CANARY}, ANONYMOUS, ["/username"]),
        ({"token": CANARY, "fleets": []}, STATIC, ["/fleets"]),
        ({"token": CANARY, "description": "x"}, STATIC, ["/description"]),
        ({"token": CANARY, "approve": "yes"}, STATIC, ["/approve"]),
        ({"token": CANARY, "host": "ghcr.io"}, STATIC, ["/host"]),
        ({"token": CANARY}, GOOGLE, ["/token", "/service_account_key"]),
    ],
)
def test_a_new_credential_is_that_and_nothing_else(
    body: dict[str, Any], document: ConnectionDocument, pointers: list[str]
) -> None:
    """The rest is an edit."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_new_credential(body, document)
    assert [error.pointer for error in caught.value.errors] == pointers


def test_a_role_has_no_secret_to_put() -> None:
    """Its credentials are made for each use."""
    with pytest.raises(ConflictError, match="no stored secret"):
        parse_new_credential({"token": CANARY}, ECR)


VALUES = (
    st.none()
    | st.booleans()
    | st.lists(st.sampled_from(["10.0.0.0/8", "team/*", "https://a.example/", CANARY]), max_size=2)
    | st.sampled_from(["robot", "other", "static", "aws_ecr", CANARY, ROLE])
)
NAMES = st.sampled_from(
    ["provider", "username", "token", "role_arn", "external_id", "repositories", "fleets",
     "pull_through_cache", "plain_http", "allowed_networks", "auth_realms", "description", "host",
     "nonsense"]
)  # fmt: skip


@given(st.dictionaries(NAMES, VALUES, max_size=5), st.sampled_from(ALL))
def test_a_kept_secret_is_never_sealed_to_something_else(
    patch: dict[str, Any], document: ConnectionDocument
) -> None:
    """Whatever is patched: the old reference stays only where the seal's context is the same."""
    try:
        edit = parse_edit(patch, document)
    except InvalidRequestError:
        return  # refused with its fields, as other tests say
    after = edit.document(document)
    if after.secret is not None:
        assert edit.request.secret is None
        contexts = [
            seal_context(CONNECTION_ID, each, secret_version=3, key_id="0").to_bytes()
            for each in (document, after)
        ]
        assert contexts[0] == contexts[1]
    elif after.needs_secret:
        assert edit.request.secret is not None
