"""Editing a connection, giving it a new secret, discarding a draft: the use cases, each one act.

What serves goes on serving until somebody approves the draft. An edit is planned first, so that no
act is held open while the registry is asked. It is made only if the connection still has the
revision that it was planned for.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

import attrs
from attrs import frozen

from control_plane.clock import Clock
from control_plane.connections.edit import Edit, parse_edit, parse_new_credential
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.revision import RecordedCheck, Revision, RevisionLabels
from control_plane.connections.revision_acts import (
    approve_revision,
    make_draft,
    next_number,
    require_place,
    store_revision,
)
from control_plane.connections.revision_store import highest_revision
from control_plane.connections.revisions import (
    editable,
    ends_when_discarded,
    renewable,
    require_discardable,
)
from control_plane.connections.state import ConnectionState, state_of
from control_plane.connections.store import update_connection
from control_plane.errors import ConflictError
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.proof.actions import Action
from control_plane.proof.acts import Acts
from control_plane.proof.sealer import Sealer
from control_plane.reading.entity_tag import SeenTags
from control_plane.reading.page import View
from shared.connection import ConnectionDocument
from shared.statement import connection_subject

DESCRIBE: Final = "connection.describe"  # a description is outside all revisions

Parse = Callable[[Mapping[str, object], ConnectionDocument], Edit]


@frozen
class PlannedEdit:
    """An edit, and the connection and the revision that it was planned for."""

    state: ConnectionState
    base: Revision
    edit: Edit
    description: str | None = None  # if it changes
    seen: SeenTags | None = None  # what it was planned for, if whoever asked says so

    @property
    def connection_id(self) -> UUID:
        """The connection."""
        return self.state.id

    @property
    def makes_draft(self) -> bool:
        """Whether anything but the description changes."""
        return self.edit.changes(self.base.document) or self.labels != self.base.labels

    @property
    def labels(self) -> RevisionLabels:
        """What the revision is called that the edit makes."""
        keeps = self.edit.document(self.base.document).secret is not None
        return self.edit.request.labels(self.base.labels, keeps_secret=keeps)


@frozen
class ConnectionEdits:
    """The use cases. With `second_approver`, nobody approves what they made."""

    _acts: Acts
    _reader: ConnectionReader
    _sealer: Sealer
    _clock: Clock
    _second_approver: bool

    async def plan(
        self,
        connection_id: UUID,
        body: Mapping[str, object],
        parse: Parse = parse_edit,
        *,
        seen: SeenTags | None = None,
    ) -> PlannedEdit:
        """Return what a body makes of the connection's draft; without a draft, of what serves.

        Raises `PreconditionFailedError` if the connection is not what was seen.
        """
        stored, state = await self._reader.read(connection_id)
        self._reader.require_seen(seen, stored, state)
        base = editable(state)
        try:
            # In a thread: keys and certificates take long to read.
            edit = await asyncio.to_thread(parse, body, base.document)
        except ConflictError as error:
            raise ConflictError(str(error), state.name) from None
        description = edit.request.description
        if description == stored.description:
            description = None
        return PlannedEdit(state, base, edit, description, seen)

    async def plan_new_credential(
        self, connection_id: UUID, body: Mapping[str, object], *, seen: SeenTags | None = None
    ) -> PlannedEdit:
        """Return what a new credential makes of the connection."""
        return await self.plan(connection_id, body, parse_new_credential, seen=seen)

    async def redraft(
        self, planned: PlannedEdit, check: RecordedCheck, *, actor: AuthenticatedOperator
    ) -> View:
        """Make the planned draft, and change the description, which holds at once.

        Raises `ConflictError` if the connection has changed since the edit was planned.
        """
        connection_id, description = planned.connection_id, planned.description
        if not planned.makes_draft and description is None:
            return await self._reader.show(connection_id)
        highest, subject = highest_revision(connection_id), connection_subject(connection_id)
        acting = self._reader.acting(self._acts, connection_id, highest, seen=planned.seen)
        async with acting as (act, stored, before):
            base = editable(before)
            require_place(stored, before, base.document)
            after, state = stored, before
            details, columns = dict[str, str](), dict[str, object]()
            if description is not None:
                details = {"description": description}
                columns, after = dict(details), attrs.evolve(after, description=description)
            if planned.makes_draft:
                _require_still(planned, base, before)
                number = next_number(act.proofs.rows(highest), before)
                document = attrs.evolve(
                    planned.edit.document(planned.base.document),
                    connected_by=actor.name,
                    connected_at=act.at,
                )
                revision = self._revision(number, planned, document, check, actor.person)
                entry = make_draft(
                    act,
                    connection_id,
                    revision,
                    actor=actor,
                    action=Action.DRAFT,
                    details=details,
                )
                columns["draft_revision"] = number
                after = attrs.evolve(after, draft=revision.stored)
                state = state_of(after, before.belief, entry)
            else:
                act.record(actor=actor, action=DESCRIBE, about=subject, details=details)
            act.change(update_connection(connection_id, **columns))
            return self._reader.view_after(after, state)

    def require_renewable(self, planned: PlannedEdit, *, actor: AuthenticatedOperator) -> None:
        """Raise `ConflictError` where `renew` would, before the registry is asked."""
        renewable(
            planned.state,
            planned.edit.document(planned.base.document),
            approver=actor.name,
            needs_second=self._second_approver,
            at=self._clock(),
        )

    async def renew(
        self, planned: PlannedEdit, check: RecordedCheck, *, actor: AuthenticatedOperator
    ) -> View:
        """Let the new secret serve under the present approval, whose end stays as it is."""
        connection_id = planned.connection_id
        highest = highest_revision(connection_id)
        acting = self._reader.acting(self._acts, connection_id, highest, seen=planned.seen)
        async with acting as (act, stored, state):
            serving = renewable(
                state,
                planned.edit.document(planned.base.document),
                approver=actor.name,
                needs_second=self._second_approver,
                at=act.at,
            )
            require_place(stored, state, serving.document)
            number = next_number(act.proofs.rows(highest), state)
            maker_person = state.served.maker_person if state.served else None
            revision = self._revision(number, planned, serving.document, check, maker_person)
            store_revision(act, connection_id, revision, made_by=actor.name)
            after = approve_revision(
                act,
                stored,
                state,
                revision,
                actor=actor,
                expires_at=serving.expires_at,
                action=Action.ROTATE,
            )
            return self._reader.view_after(*after)

    async def discard(
        self, connection_id: UUID, *, actor: AuthenticatedOperator, seen: SeenTags | None = None
    ) -> None:
        """Discard the draft; a connection that was never approved ends with it."""
        async with self._reader.acting(self._acts, connection_id, seen=seen) as (act, _, state):
            require_discardable(state)
            ended = {"revoked_at": act.at}  # frees the place
            columns = ended if ends_when_discarded(state) else {"draft_revision": None}
            act.change(update_connection(connection_id, **columns))
            act.record(
                actor=actor,
                action=Action.DISCARD,
                about=connection_subject(connection_id),
                details=state.draft.details if state.draft else {},
            )

    def _revision(
        self,
        number: int,
        planned: PlannedEdit,
        document: ConnectionDocument,
        check: RecordedCheck,
        maker_person: str | None,
    ) -> Revision:
        """Return a revision whose secret is the new one, or stays as it is.

        The version of a secret is the number of the first revision that has it.
        """
        secret = planned.edit.request.secret
        if secret is None:
            kept = planned.base.sealed_secret if document.secret else None
            return Revision(number, document, check, kept, maker_person, planned.labels)
        document, sealed = self._sealer.seal(
            planned.connection_id, document, secret, version=number
        )
        return Revision(number, document, check, sealed, maker_person, planned.labels)


def _require_still(planned: PlannedEdit, base: Revision, state: ConnectionState) -> None:
    if base.fingerprint != planned.base.fingerprint:
        changed = state.newest_entry
        by = f"{changed.actor} changed it" if changed else "somebody else changed it"
        raise ConflictError(
            f"{by} meanwhile: look at the connection, and repeat what still applies", state.name
        )
