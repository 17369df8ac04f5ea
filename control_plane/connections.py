"""Connecting, approving and revoking registries: the use cases, each one act.

The rules are in `revisions`, which is pure; this reads, asks it, and writes.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

import attrs
from attrs import frozen

from control_plane.acts import Act, Acts
from control_plane.belief import HighestGenerations
from control_plane.clock import Clock
from control_plane.connection_request import ConnectionRequest
from control_plane.connection_store import (
    fetch_connection,
    fetch_connections,
    insert_connection,
    insert_draft,
    next_revision,
    set_approved,
    set_revoked,
)
from control_plane.connection_view import View, connection_view
from control_plane.database import Database, DatabaseConnection
from control_plane.errors import FieldError, InvalidRequestError, NotBelievedError, NotFoundError
from control_plane.operators import AuthenticatedOperator
from control_plane.revisions import (
    Action,
    ConnectionState,
    Draft,
    RecordedCheck,
    StoredConnection,
    StoredRevision,
    approvable,
    connection_state,
    require_not_revoked,
)
from control_plane.sealer import SealedDocument, Sealer
from control_plane.signer import Verifier
from shared.canonical_json import MAX_DOCUMENT_BYTES, to_json
from shared.connection import ConnectionDocument, fingerprint
from shared.statement import (
    ConnectionApproval,
    ConnectionRevocation,
    connection_subject,
)
from shared.structured_log import get_logger

_log = get_logger(__name__)

FIRST_SECRET_VERSION: Final = 1
# An approval holds the document as a JSON text in JSON, the sealed secret in base64, and some
# words; a draft whose approval could not be read again must not come into being.
APPROVAL_WORDS_BYTES: Final = 8 * 1024

Place = tuple[datetime, UUID]


@frozen
class Page:
    """A page of a list, and where the next one begins."""

    items: list[View]
    next_place: Place | None


class Connections:
    """The use cases of connections."""

    def __init__(
        self,
        *,
        database: Database,
        acts: Acts,
        verifier: Verifier,
        highest: HighestGenerations,
        sealer: Sealer,
        clock: Clock,
        second_approver: bool,
    ) -> None:
        """Hold what the use cases need; `second_approver`: nobody approves what they made."""
        self._database = database
        self._acts = acts
        self._verifier = verifier
        self._highest = highest
        self._sealer = sealer
        self._clock = clock
        self._second_approver = second_approver

    async def connect(
        self, request: ConnectionRequest, check: RecordedCheck, *, actor: AuthenticatedOperator
    ) -> View:
        """Store a new connection as a draft; raise `ConflictError` if its place is taken."""
        connection_id = uuid4()
        document = request.document(connected_by=actor.name, connected_at=self._clock())
        sealed = SealedDocument(document)
        if request.secret is not None:
            sealed = self._sealer.seal(
                connection_id, document, request.secret, version=FIRST_SECRET_VERSION
            )
        async with self._acts.begin() as act:
            await insert_connection(
                act.connection,
                connection_id=connection_id,
                host=str(document.host),
                repository_prefix=_prefix(document),
                description=request.description,
                created_at=act.at,
            )
            await make_draft(act, connection_id, sealed, check, action=Action.CONNECT)
            return await self._view_within(act.connection, connection_id)

    async def redraft(
        self,
        connection_id: UUID,
        change: Callable[[ConnectionDocument], ConnectionDocument],
        check: RecordedCheck,
        *,
        actor: AuthenticatedOperator,
    ) -> View:
        """Make a draft out of the present document, which goes on serving if it is approved.

        `change` may not touch what the seal binds: the sealed secret is taken over as it is.
        """
        async with self._acts.begin() as act:
            stored, state = await self._locked(act, connection_id)
            require_not_revoked(state)
            present = _present(state)
            document = attrs.evolve(
                change(present.document), connected_by=actor.name, connected_at=act.at
            )
            _require_place(stored, document)
            sealed = SealedDocument(document, present.sealed_secret)
            await make_draft(act, connection_id, sealed, check, action=Action.DRAFT)
            return await self._view_within(act.connection, connection_id)

    async def approve(
        self,
        connection_id: UUID,
        seen_fingerprint: str,
        *,
        expires_at: datetime | None,
        actor: AuthenticatedOperator,
    ) -> View:
        """Let the draft serve, in place of what serves now."""
        async with self._acts.begin() as act:
            stored, state = await self._locked(act, connection_id)
            draft = approvable(
                state,
                seen_fingerprint=seen_fingerprint,
                approver=actor.name,
                needs_second=self._second_approver,
            )
            _require_place(stored, draft.document)
            approval = await act.write_statement(
                state.belief,
                lambda generation: ConnectionApproval(
                    connection_id=connection_id,
                    document=draft.stored_document.decode(),
                    fingerprint=draft.fingerprint,
                    approved_by=actor.name,
                    approved_at=act.at,
                    generation=generation,
                    expires_at=expires_at,
                    sealed_secret=draft.sealed_secret,
                ),
            )
            await set_approved(act.connection, connection_id, draft.number)
            await act.record(
                actor=actor.name,
                action=Action.APPROVE,
                about=approval.subject,
                about_generation=approval.generation,
                details=_details(draft.number, draft.fingerprint, draft.check),
            )
            return await self._view_within(act.connection, connection_id)

    async def revoke(
        self, connection_id: UUID, *, reason: str, actor: AuthenticatedOperator
    ) -> View:
        """End the connection for ever; works also on one that is not believed."""
        async with self._acts.begin() as act:
            stored, state = await self._locked(act, connection_id)
            require_not_revoked(state)
            revocation = await act.write_statement(
                state.belief,
                lambda generation: ConnectionRevocation(
                    connection_id=connection_id,
                    revoked_by=actor.name,
                    revoked_at=act.at,
                    generation=generation,
                    reason=reason,
                ),
            )
            await set_revoked(act.connection, connection_id, act.at)
            await act.record(
                actor=actor.name,
                action=Action.REVOKE,
                about=revocation.subject,
                about_generation=revocation.generation,
                details=_last_details(stored, state) | ({"reason": reason} if reason else {}),
            )
            return await self._view_within(act.connection, connection_id)

    async def show(self, connection_id: UUID) -> View:
        """Return a connection's view, or raise `NotFoundError`."""
        highest_seen = self._highest.of(connection_subject(connection_id))
        async with self._database.connection() as connection:
            stored = await fetch_connection(connection, connection_id)
        return self._committed_view(_found(stored), highest_seen)

    async def list(self, *, after: Place | None, limit: int) -> Page:
        """Return a page of connections in the order of their making."""
        highest_seen = self._highest.copy()  # before reading: what is read is not older
        async with self._database.connection() as connection:
            stored = await fetch_connections(connection, after=after, limit=limit + 1)
        page = stored[:limit]
        return Page(
            [
                self._committed_view(each, highest_seen.of(connection_subject(each.id)))
                for each in page
            ],
            (page[-1].created_at, page[-1].id) if len(stored) > limit else None,
        )

    async def _locked(
        self, act: Act, connection_id: UUID
    ) -> tuple[StoredConnection, ConnectionState]:
        stored = _found(await fetch_connection(act.connection, connection_id, lock=True))
        await act.belief(connection_subject(connection_id))  # locks the statement's row
        return stored, self._state(stored, self._highest.of(connection_subject(connection_id)))

    async def _view_within(self, connection: DatabaseConnection, connection_id: UUID) -> View:
        return self._view(_found(await fetch_connection(connection, connection_id)), 0)

    def _committed_view(self, stored: StoredConnection, highest_seen: int) -> View:
        state = self._state(stored, highest_seen)
        self._highest.remember(state.belief.subject, state.belief.highest_generation)
        if state.problem:
            _log.warning("connection not believed", connection=state.id, reason=state.problem)
        return connection_view(stored, state, self._clock())

    def _state(self, stored: StoredConnection, highest_seen: int) -> ConnectionState:
        return connection_state(stored, self._verifier, highest_seen=highest_seen)

    def _view(self, stored: StoredConnection, highest_seen: int) -> View:
        return connection_view(stored, self._state(stored, highest_seen), self._clock())


async def make_draft(
    act: Act,
    connection_id: UUID,
    sealed: SealedDocument,
    check: RecordedCheck,
    *,
    action: Action,
) -> None:
    """Store a revision as the connection's draft, and record its making: the act's entry."""
    document = sealed.document.to_bytes()
    _require_approvable_size(document, sealed.sealed_secret)
    revision = StoredRevision(
        await next_revision(act.connection, connection_id), document, sealed.sealed_secret
    )
    maker = sealed.document.connected_by
    await insert_draft(
        act.connection,
        connection_id,
        revision,
        made_by=maker,
        made_at=act.at,
        audit_sequence=act.sequence,
    )
    await act.record(
        actor=maker,
        action=action,
        about=connection_subject(connection_id),
        details=_details(revision.number, fingerprint(document), check),
    )


def _require_approvable_size(document: bytes, sealed_secret: bytes | None) -> None:
    size = len(to_json(document.decode())) + len(to_json(sealed_secret or b""))
    if size + APPROVAL_WORDS_BYTES > MAX_DOCUMENT_BYTES:
        detail = "the connection as a whole is too large; shorten its lists or its CA bundle"
        raise InvalidRequestError((FieldError("", detail),))


def _require_place(stored: StoredConnection, document: ConnectionDocument) -> None:
    """Raise `NotBelievedError` if the row's projections are of another place than the document."""
    if (stored.host, stored.repository_prefix) != (str(document.host), _prefix(document)):
        message = "host or prefix were changed in the database"
        raise NotBelievedError(message)


def _present(state: ConnectionState) -> Draft | SealedDocument:
    """Return what a new draft is made from: the waiting one, else the serving revision."""
    if state.draft:
        return state.draft
    if state.serving:
        return SealedDocument(state.serving.document, state.serving.sealed_secret)
    raise NotBelievedError(state.problem or "there is no revision to change")


def _details(number: int, document_fingerprint: str, check: RecordedCheck) -> dict[str, str]:
    return {
        "revision": str(number),
        "fingerprint": document_fingerprint,
        **check.details(),
    }


def _last_details(stored: StoredConnection, state: ConnectionState) -> dict[str, str]:
    """Return what names the last document of a connection that ends."""
    if state.serving is None and state.draft:
        return _details(state.draft.number, state.draft.fingerprint, state.draft.check)
    if state.serving and stored.approved:
        check = RecordedCheck.of_entry(state.belief.entry)
        return _details(stored.approved.number, state.serving.fingerprint, check)
    return {}


def _found(stored: StoredConnection | None) -> StoredConnection:
    if stored is None:
        message = "there is no connection of this id"
        raise NotFoundError(message)
    return stored


def _prefix(document: ConnectionDocument) -> str:
    return str(document.repository_prefix) if document.repository_prefix else ""
