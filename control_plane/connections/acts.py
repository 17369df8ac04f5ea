"""Connecting, approving and revoking registries: the use cases, each one act.

The rules are in `revisions`, which is pure. An act here reads, asks the rules, and writes.
"""

from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from attrs import evolve, frozen

from control_plane.clock import Clock
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.request import ConnectionRequest
from control_plane.connections.revision import RecordedCheck, Revision
from control_plane.connections.revision_acts import (
    approve_revision,
    last_revision_details,
    make_draft,
    require_place,
)
from control_plane.connections.revisions import (
    COMMENT,
    approvable,
    place_taken,
    require_end_said,
    require_not_revoked,
    returnable,
)
from control_plane.connections.serving_places import (
    approvals_beside,
    approvals_of_place,
    require_free_place,
)
from control_plane.connections.state import place_of, state_of
from control_plane.connections.store import connection_at, insert_connection, update_connection
from control_plane.connections.stored_connection import StoredConnection
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.proof.actions import SEND_BACK, Action
from control_plane.proof.acts import Acts
from control_plane.proof.sealer import Sealer
from control_plane.reading.entity_tag import SeenTags
from control_plane.reading.page import View
from shared.statement import ConnectionRevocation, connection_subject

FIRST_REVISION: Final = 1


@frozen
class ApprovalEnd:
    """When an approval ends: `at` a time, or never (None).

    If the caller did not say, it never ends; but where the present approval has an end, they must.
    """

    at: datetime | None = None
    is_said: bool = False


@frozen
class Connections:
    """The use cases of connections. With `second_approver`, nobody approves what they made."""

    _acts: Acts
    _reader: ConnectionReader
    _sealer: Sealer
    _clock: Clock
    _second_approver: bool

    async def connect(
        self, request: ConnectionRequest, check: RecordedCheck, *, actor: AuthenticatedOperator
    ) -> View:
        """Store a new connection as a draft; raise `ConflictError` if its place is taken."""
        connection_id = uuid4()
        document = request.document(connected_by=actor.name, connected_at=self._clock())
        sealed = None
        if request.secret is not None:
            document, sealed = self._sealer.seal(
                connection_id, document, request.secret, version=FIRST_REVISION
            )
        revision = Revision(FIRST_REVISION, document, check, sealed, actor.person, request.labels())
        host, prefix = place_of(document)
        holder, rivals = connection_at(host, prefix), approvals_of_place(document)
        subject = connection_subject(connection_id)
        async with self._acts.begin(holder, rivals, about=[subject]) as act:
            for row in act.proofs.rows(holder):
                raise place_taken(await self._reader.state_within(act, row["id"]))
            await require_free_place(
                act.proofs.rows(rivals), act.proofs, document, connection_id, act.verifier
            )
            entry = make_draft(act, connection_id, revision, actor=actor, action=Action.CONNECT)
            made = StoredConnection(
                id=connection_id,
                host=host,
                repository_prefix=prefix,
                description=request.description or "",
                made_at=act.at,
                is_marked_revoked=False,
                evidence=await act.proofs.evidence(subject),
                newest=None,
                approved=None,
                draft=revision.stored,
            )
            act.change(insert_connection(made))
            belief = await act.belief(subject)
            return self._reader.view_after(made, state_of(made, belief, entry))

    async def approve(
        self,
        connection_id: UUID,
        seen_fingerprint: str,
        *,
        end: ApprovalEnd,
        actor: AuthenticatedOperator,
        despite_send_back: bool = False,
        seen: SeenTags | None = None,
        only_draft: bool = False,
    ) -> View:
        """Let the draft serve in place of what serves; without a draft, approve that once more."""
        rivals = approvals_beside(connection_id)
        acting = self._reader.acting(self._acts, connection_id, rivals, seen=seen)
        async with acting as (act, stored, state):
            revision = approvable(
                state,
                seen_fingerprint=seen_fingerprint,
                approver=actor,
                needs_second=self._second_approver,
                despite_send_back=despite_send_back,
                only_draft=only_draft,
            )
            require_place(stored, state, revision.document)
            await require_free_place(
                act.proofs.rows(rivals), act.proofs, revision.document, connection_id, act.verifier
            )
            require_end_said(state, says_end=end.is_said)
            after = approve_revision(
                act,
                stored,
                state,
                revision,
                actor=actor,
                expires_at=end.at,
                action=Action.APPROVE,
            )
            return self._reader.view_after(*after)

    async def send_back(
        self,
        connection_id: UUID,
        *,
        comment: str,
        seen_fingerprint: str | None,
        actor: AuthenticatedOperator,
        seen: SeenTags | None = None,
    ) -> View:
        """Tell who made the draft why it is not approved; the draft stays as it is.

        The same words of the same approver are recorded once.
        """
        async with self._reader.acting(self._acts, connection_id, seen=seen) as (
            act,
            stored,
            state,
        ):
            draft = returnable(state, seen_fingerprint=seen_fingerprint)
            present = state.sent_back
            if present is None or (present.actor, present.details[COMMENT]) != (
                actor.name,
                comment,
            ):
                present = act.record(
                    actor=actor,
                    action=SEND_BACK,
                    about=connection_subject(connection_id),
                    details=draft.details | {COMMENT: comment},
                )
            return self._reader.view_after(stored, evolve(state, sent_back=present))

    async def revoke(
        self,
        connection_id: UUID,
        *,
        reason: str,
        actor: AuthenticatedOperator,
        seen: SeenTags | None = None,
    ) -> View:
        """End the connection for ever, even one that is not believed."""
        async with self._reader.acting(self._acts, connection_id, seen=seen) as (
            act,
            stored,
            state,
        ):
            require_not_revoked(state)
            revocation = ConnectionRevocation(
                connection_id=connection_id,
                revoked_by=actor.name,
                revoked_at=act.at,
                generation=act.generation_after(state.belief),
                reason=reason,
            )
            details = last_revision_details(state) | ({"reason": reason} if reason else {})
            belief = act.sign(revocation, actor=actor, action=Action.REVOKE, details=details)
            act.change(update_connection(connection_id, revoked_at=act.at))
            after = evolve(stored, is_marked_revoked=True)
            return self._reader.view_after(after, state_of(after, belief))
