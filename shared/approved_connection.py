"""A verified approval whose parts agree: what may be served, and with which sealed secret."""

import hashlib
from datetime import datetime
from functools import cached_property
from uuid import UUID

from attrs import field, frozen

from shared.canonical_json import InvalidDocumentError
from shared.connection import (
    ConnectionDocument,
    SealContext,
    access_key,
    fingerprint,
    seal_context,
)
from shared.repository_pattern import RepositoryPatterns
from shared.statement import ConnectionApproval, StatementRefusedError


@frozen
class ApprovedConnection:
    """A connection as its approver approved it."""

    id: UUID
    generation: int
    document: ConnectionDocument
    fingerprint: str
    access_key: str
    approved_by: str
    approved_at: datetime
    expires_at: datetime | None
    sealed_secret: bytes | None = field(repr=False)

    @cached_property
    def patterns(self) -> RepositoryPatterns:
        """The document's patterns, compiled. Without any, every repository may be served."""
        return RepositoryPatterns.of(self.document.repositories)

    @property
    def seal_context(self) -> SealContext:
        """What the sealed secret is bound to. Raises `ValueError` if there is none."""
        secret = self.document.secret
        if secret is None:
            raise ValueError("a connection without a secret has no seal")
        return seal_context(
            self.id, self.document, secret_version=secret.version, key_id=secret.key_id
        )


def approved_connection(approval: ConnectionApproval) -> ApprovedConnection:
    """Return what a verified approval approves; raise `StatementRefusedError` if parts disagree."""
    stored_document = approval.document.encode()
    if fingerprint(stored_document) != approval.fingerprint:
        raise StatementRefusedError("the document is not the one of the fingerprint")
    try:
        document = ConnectionDocument.from_bytes(stored_document)
    except InvalidDocumentError as error:
        raise StatementRefusedError(str(error)) from None
    require_secret_of_document(document, approval.sealed_secret)
    return ApprovedConnection(
        id=approval.connection_id,
        generation=approval.generation,
        document=document,
        fingerprint=approval.fingerprint,
        access_key=access_key(approval.connection_id, document),
        approved_by=approval.approved_by,
        approved_at=approval.approved_at,
        expires_at=approval.expires_at,
        sealed_secret=approval.sealed_secret,
    )


def require_secret_of_document(document: ConnectionDocument, sealed_secret: bytes | None) -> None:
    """Raise `StatementRefusedError` unless these are the sealed bytes that the document names."""
    if document.needs_secret != (document.secret is not None):
        raise StatementRefusedError("the document and its credential disagree about a secret")
    expected = document.secret.sha256 if document.secret else None
    actual = hashlib.sha256(sealed_secret).hexdigest() if sealed_secret is not None else None
    if expected != actual:
        raise StatementRefusedError("the sealed secret is not the one that the document names")
