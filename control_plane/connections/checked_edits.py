"""Edits as operators ask for them: the key is looked at, the registry is asked, then it is made."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from attrs import frozen

from control_plane.connections import operations
from control_plane.connections.checks import NOT_ASKED, Checks
from control_plane.connections.edit_acts import ConnectionEdits, PlannedEdit
from control_plane.connections.revision import RecordedCheck
from control_plane.connections.service_account_keys import ServiceAccountKeys
from control_plane.metrics import ControlPlaneMetrics
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.permissions import require
from control_plane.reading.entity_tag import SeenTags
from control_plane.reading.page import View

_APPROVE: Final = "approve"


@frozen
class CheckedEdits:
    """The use cases of an edit, step by step: a caller plans, then makes what was planned."""

    _edits: ConnectionEdits
    _checks: Checks
    _keys: ServiceAccountKeys
    _metrics: ControlPlaneMetrics

    async def plan(
        self,
        connection_id: UUID,
        body: Mapping[str, object],
        *,
        actor: AuthenticatedOperator,
        seen: SeenTags | None = None,
    ) -> PlannedEdit:
        """Return what a `PATCH` with this body would make of a connection."""
        planned = await self._edits.plan(connection_id, body, seen=seen)
        await self._keys.require_sound(planned.edit.request, actor=actor.name)
        return planned

    async def plan_new_credential(
        self,
        connection_id: UUID,
        body: Mapping[str, object],
        *,
        actor: AuthenticatedOperator,
        seen: SeenTags | None = None,
    ) -> PlannedEdit:
        """Return what a new secret would make of a connection; the body may approve it, too."""
        if approves(body):
            require(actor.role, operations.PUT_CREDENTIAL.role_of_field[_APPROVE])
        planned = await self._edits.plan_new_credential(connection_id, body, seen=seen)
        await self._keys.require_sound(planned.edit.request, actor=actor.name)
        return planned

    async def redraft(
        self, planned: PlannedEdit, *, ask: bool, actor: AuthenticatedOperator
    ) -> View:
        """Make or change the draft; the registry is asked first if the login changes."""
        check = await self._check(planned, actor, ask=ask)
        return await self._edits.redraft(planned, check, actor=actor)

    async def renew(self, planned: PlannedEdit, *, ask: bool, actor: AuthenticatedOperator) -> View:
        """Let the new secret serve under the approval that is there; the registry is asked first.

        Raises `ConflictError` before anybody is asked, if it cannot serve so.
        """
        self._edits.require_renewable(planned, actor=actor)
        check = await self._check(planned, actor, ask=ask)
        return await self._edits.renew(planned, check, actor=actor)

    async def _check(
        self, planned: PlannedEdit, actor: AuthenticatedOperator, *, ask: bool
    ) -> RecordedCheck:
        """Return what the registry says now; if the login stays the same, what it said to that."""
        if not planned.edit.changes_login:
            return planned.base.check
        if not ask:
            return NOT_ASKED
        check = await self._checks.require_passed(planned.edit.request, actor=actor)
        self._metrics.checks.labels(check.outcome).inc()
        return check


def approves(body: Mapping[str, object]) -> bool:
    """Tell whether the body of a new secret wants it to serve at once."""
    return body.get(_APPROVE) is True
