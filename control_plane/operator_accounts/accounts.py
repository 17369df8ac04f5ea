"""Operators through the API: listed, made, rotated and removed by an admin.

Where a second approver is required, nobody makes a token through the API with which another person
could draft or approve: with it, one admin would be two people. Whoever holds the statement key does
(`control-plane operators`). An admin may still rotate their own token, make viewers, and remove
anybody else.
"""

from datetime import datetime

from attrs import frozen

from control_plane.errors import ConflictError
from control_plane.operator_accounts.request import OperatorRequest, RotationRequest
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.last_uses import fetch_last_uses
from control_plane.operators.operator_token import OperatorName
from control_plane.operators.operators import IssuedToken, ListedOperator, Operators
from control_plane.operators.permissions import Role
from control_plane.proof.audit_chain import AuditChain
from control_plane.reading.entity_tag import SeenTags
from control_plane.reading.page import View
from shared.canonical_json import format_time

ONE_HAND = (
    "here a second person approves, and whoever makes such a token could be that person, too:"
    " `control-plane operators`, with the statement key, makes and rotates those who draft or"
    " approve"
)


@frozen
class OperatorAccounts:
    """The use cases. With `second_approver`, one admin cannot be two people."""

    _chain: AuditChain
    _operators: Operators
    _second_approver: bool

    async def page(self, *, after: str | None, limit: int) -> tuple[list[View], str | None]:
        """Return operators in the order of their names, and after whom the next page begins."""
        listed, has_more = await self._operators.page(after=after, limit=limit)
        following = listed[-1].name if has_more and listed else None
        return await self._views(listed), following

    async def show(self, name: str) -> View:
        """Return an operator's view; raise `NotFoundError`."""
        (view,) = await self._views([await self._operators.show(name)])
        return view

    async def add(self, request: OperatorRequest, *, actor: AuthenticatedOperator) -> IssuedToken:
        """Make an operator; raise `ConflictError` if there is one of this name."""
        self._require_harmless(request.role)
        return await self._operators.add(
            request.name,
            request.role,
            lifetime=request.lifetime,
            actor=actor,
            person=request.person,
        )

    async def rotate(
        self,
        name: OperatorName,
        request: RotationRequest,
        *,
        actor: AuthenticatedOperator,
        seen: SeenTags | None = None,
    ) -> IssuedToken:
        """Return a new token of an operator; raise `NotFoundError`."""

        def require(present: ListedOperator) -> None:
            _require_seen(seen, present)
            if name.value != actor.name or request.person is not None:
                self._require_harmless(present.role)

        return await self._operators.rotate(
            name,
            lifetime=request.lifetime,
            actor=actor,
            person=request.person,
            condition=require,
        )

    async def remove(
        self, name: OperatorName, *, actor: AuthenticatedOperator, seen: SeenTags | None = None
    ) -> None:
        """Remove an operator; nobody removes themselves, so that an admin is left."""
        if name.value == actor.name:
            raise ConflictError(
                "nobody removes themselves: another admin does, or `control-plane operators remove`"
            )
        await self._operators.remove(
            name, actor=actor, condition=lambda present: _require_seen(seen, present)
        )

    def _require_harmless(self, role: str | None) -> None:
        """Raise `ConflictError` if one admin could be two people with a token of this role."""
        if self._second_approver and role != Role.VIEWER:
            raise ConflictError(ONE_HAND)

    async def _views(self, listed: list[ListedOperator]) -> list[View]:
        used = await fetch_last_uses(self._chain.database, [each.name for each in listed])
        return [
            operator_view(each) | {"last_used_at": _time(used.get(each.name))} for each in listed
        ]


def operator_view(operator: ListedOperator) -> View:
    """Return what is known of an operator by what is signed."""
    return {
        "name": operator.name,
        "role": operator.role,
        "person": operator.person,
        "issued_by": operator.issued_by,
        "issued_at": _time(operator.issued_at),
        "expires_at": _time(operator.expires_at),
        "problem": operator.problem,
    }


def _require_seen(seen: SeenTags | None, present: ListedOperator) -> None:
    if seen is not None:
        words = f"the token is of {_time(present.issued_at)}, issued by {present.issued_by}"
        seen.require(operator_view(present), present.problem or words)


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None
