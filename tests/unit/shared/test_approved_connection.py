"""A verified approval serves only if document, fingerprint and sealed secret are of one piece."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from shared.approved_connection import approved_connection
from shared.connection import (
    Anonymous,
    ConnectionDocument,
    EcrRole,
    SealContext,
    UsernameAndToken,
    access_key,
    fingerprint,
    seal_context,
)
from shared.keys import key_id
from shared.registry_host import RegistryHost
from shared.sealed_secret import open_sealed, reference, seal
from shared.secret import Secret
from shared.statement import ConnectionApproval, StatementRefusedError

CONNECTION = UUID("0190a0b0-c0d0-7000-8000-000000000001")
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = X25519PrivateKey.generate()


def context_of(document: ConnectionDocument) -> SealContext:
    """Return what the first secret of a document is bound to."""
    return seal_context(CONNECTION, document, secret_version=1, key_id=key_id(KEY.public_key()))


def approval_of(document: ConnectionDocument, sealed: bytes | None) -> ConnectionApproval:
    """Return the approval of a document, as the control plane makes it."""
    return ConnectionApproval(
        connection_id=CONNECTION,
        document=document.to_bytes().decode(),
        fingerprint=fingerprint(document.to_bytes()),
        approved_by="bob",
        approved_at=MOMENT,
        generation=9,
        sealed_secret=sealed,
    )


UNSEALED = ConnectionDocument(
    host=RegistryHost.parse("registry.local:5000"),
    credential=UsernameAndToken("robot"),
    connected_by="alice",
    connected_at=MOMENT,
)
SEALED = seal(Secret("canary-5f3a"), KEY.public_key(), context_of(UNSEALED))
DOCUMENT = attrs.evolve(UNSEALED, secret=reference(SEALED, context_of(UNSEALED)))
APPROVAL = approval_of(DOCUMENT, SEALED)
ANONYMOUS = attrs.evolve(UNSEALED, credential=Anonymous())


def test_an_approval_of_one_piece_serves_and_its_secret_opens() -> None:
    """What was approved, by whom, and the context in which its secret opens."""
    connection = approved_connection(APPROVAL)
    assert connection.document == DOCUMENT
    assert (connection.id, connection.generation) == (CONNECTION, 9)
    assert (connection.approved_by, connection.approved_at) == ("bob", MOMENT)
    assert connection.access_key == access_key(CONNECTION, DOCUMENT)
    assert connection.sealed_secret is not None
    opened = open_sealed(connection.sealed_secret, KEY, connection.seal_context)
    assert opened.reveal_text() == "canary-5f3a"


@pytest.mark.parametrize("credential", [Anonymous(), EcrRole("arn", "1", "eu-central-1")])
def test_a_connection_without_a_secret_serves(credential: Anonymous | EcrRole) -> None:
    """It is a connection like any other, and has no seal."""
    connection = approved_connection(
        approval_of(attrs.evolve(UNSEALED, credential=credential), None)
    )
    assert connection.sealed_secret is None
    with pytest.raises(ValueError, match="no seal"):
        _ = connection.seal_context


def test_a_sealed_secret_is_not_in_the_repr() -> None:
    """Not even sealed bytes belong into a log."""
    assert "sealed_secret" not in repr(approved_connection(APPROVAL))
    assert "sealed_secret" not in repr(APPROVAL)


OTHER_DOCUMENT = attrs.evolve(DOCUMENT, host=RegistryHost.parse("evil.example"))


@pytest.mark.parametrize(
    "changes",
    [
        {"document": OTHER_DOCUMENT.to_bytes().decode()},
        {"document": DOCUMENT.to_bytes().decode() + " "},
        {"document": ""},
        {"fingerprint": fingerprint(OTHER_DOCUMENT.to_bytes())},
        {"fingerprint": fingerprint(DOCUMENT.to_bytes()).upper()},
        {"fingerprint": ""},
        {"sealed_secret": None},
        {"sealed_secret": b""},
        {"sealed_secret": SEALED[:-1]},
        {"sealed_secret": seal(Secret("another"), KEY.public_key(), context_of(UNSEALED))},
    ],
)
def test_parts_that_disagree_are_refused(changes: dict[str, Any]) -> None:
    """Even a control plane that errs cannot make the facade show a secret to another host."""
    with pytest.raises(StatementRefusedError) as caught:
        approved_connection(attrs.evolve(APPROVAL, **changes))
    assert "evil.example" not in str(caught.value)


@pytest.mark.parametrize(
    "document, sealed",
    [
        (UNSEALED, None),  # a user name without a secret
        (UNSEALED, SEALED),
        (ANONYMOUS, SEALED),
        (attrs.evolve(ANONYMOUS, secret=DOCUMENT.secret), SEALED),
        (attrs.evolve(ANONYMOUS, secret=DOCUMENT.secret), None),
        (DOCUMENT, None),
    ],
    ids=["none named", "not named", "anonymous", "named", "anonymous, named", "none there"],
)
def test_a_credential_and_its_secret_come_together(
    document: ConnectionDocument, sealed: bytes | None
) -> None:
    """A registry that should be asked with a name is never asked without one."""
    with pytest.raises(StatementRefusedError):
        approved_connection(approval_of(document, sealed))


@pytest.mark.parametrize("text", ["{}", "null", '{"host":"ghcr.io"}', "x"])
def test_a_document_that_is_none_is_refused(text: str) -> None:
    """The fingerprint of nonsense may be right."""
    nonsense = attrs.evolve(APPROVAL, document=text, fingerprint=fingerprint(text.encode()))
    with pytest.raises(StatementRefusedError):
        approved_connection(nonsense)


@given(st.data())
def test_a_changed_byte_of_document_or_secret_is_refused(data: st.DataObject) -> None:
    """Every byte is bound by the fingerprint or by the document."""
    field = data.draw(st.sampled_from(["document", "sealed_secret"]))
    content = bytearray(SEALED if field == "sealed_secret" else APPROVAL.document.encode())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 127))
    text = content.decode(errors="replace")
    changed: dict[str, Any] = {field: bytes(content) if field == "sealed_secret" else text}
    with pytest.raises(StatementRefusedError):
        approved_connection(attrs.evolve(APPROVAL, **changed))
