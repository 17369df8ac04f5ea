"""Revoking devices and certificates, and lifting revocations: the use cases, each one act.

What may be done when is decided in `state`, which is pure.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID, uuid4

from attrs import frozen

from control_plane.device_revocations.request import RevocationRequest, RevocationTarget
from control_plane.device_revocations.state import liftable, revocation_view, row_problem, state_of
from control_plane.device_revocations.store import (
    put_device_revocations,
    revocation_row,
    revocations_of,
    set_lifted,
)
from control_plane.errors import NotFoundError
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.proof.actions import DEVICE_LIFT, DEVICE_REVOKE
from control_plane.proof.acts import Act, Acts
from control_plane.proof.belief import Belief, Evidence, believe
from control_plane.reading.entity_tag import SeenTags
from control_plane.reading.page import View
from control_plane.slices import in_slices
from shared.canonical_json import format_time
from shared.identity_form import IdentityForm
from shared.statement import DeviceLifting, DeviceRevocation

ANSWERS_AT_ONCE: Final = 200  # some ms


@frozen
class Revoked:
    """A revocation in force, and whether this call made it."""

    view: View
    is_new: bool


@frozen
class DeviceRevocations:
    """The use cases of device revocations."""

    _acts: Acts
    _form: IdentityForm | None = None

    async def revoke(self, request: RevocationRequest, *, actor: AuthenticatedOperator) -> Revoked:
        """Have a device, or a certificate, served no longer.

        One that is revoked already stays as it was: whoever repeats a call that may not have come
        through wants to know that it holds. A revocation that is not believed is made again.
        """
        (revoked,) = await self.revoke_several([request], actor=actor)
        return revoked

    async def revoke_several(
        self, requests: Sequence[RevocationRequest], *, actor: AuthenticatedOperator
    ) -> list[Revoked]:
        """Revoke all of them in one act, or none; the answers are in the order of the requests.

        Each has a statement and an audit entry of its own. One that is named twice is revoked once.
        """
        first = dict[str, RevocationRequest]()
        for request in requests:
            first.setdefault(request.target.subject, request)
        async with self._acts.begin(about=first) as act:
            evidences = await act.proofs.evidences_of(first)
            # Signing takes 0.1 ms for each.
            made = await asyncio.to_thread(_revoke_all, act, first, evidences, actor)
            act.change(put_device_revocations([revocation for revocation, _ in made.values()]))
        answered = set[str]()

        def answer(request: RevocationRequest) -> Revoked:
            subject = request.target.subject
            revocation, is_new = made[subject]
            is_first = subject not in answered
            answered.add(subject)
            return Revoked(revocation_view(revocation, self._form), is_new and is_first)

        return await in_slices(requests, answer, ANSWERS_AT_ONCE)

    async def lift(
        self, revocation_id: UUID, *, actor: AuthenticatedOperator, seen: SeenTags | None = None
    ) -> None:
        """Have the device served again; raise `NotFoundError` if the revocation is not in force."""
        row = revocation_row(revocation_id)
        async with self._acts.begin(row) as act:
            found = await revocations_of(act.proofs.rows(row), act.proofs)
            if not found:
                raise NotFoundError("there is no device revocation of this id in force")
            (stored,) = found
            belief = believe(stored.evidence, act.verifier)
            revocation = liftable(
                state_of(belief), revocation_id, RevocationTarget.of_subject(stored.subject)
            )
            if seen is not None:
                view = revocation_view(revocation, self._form, row_problem(stored, revocation))
                words = (
                    f"{revocation.revoked_by} revoked it at {format_time(revocation.revoked_at)}"
                )
                seen.require(view, words)
            lifting = DeviceLifting(
                revocation_id=revocation_id,
                lifted_by=actor.name,
                lifted_at=act.at,
                generation=act.generation_after(belief),
                device=revocation.device,
                serial=revocation.serial,
                issuer=revocation.issuer,
            )
            details = {"revocation": str(revocation_id)}
            act.sign(lifting, actor=actor, action=DEVICE_LIFT, details=details)
            act.change(set_lifted(revocation_id, act.at))


def _revoke_all(
    act: Act,
    requests: Mapping[str, RevocationRequest],
    evidences: Mapping[str, Evidence],
    actor: AuthenticatedOperator,
) -> dict[str, tuple[DeviceRevocation, bool]]:
    """Return the revocation of each subject, and whether it was made now."""
    made = dict[str, tuple[DeviceRevocation, bool]]()
    for subject, request in requests.items():
        belief = believe(evidences[subject], act.verifier)
        present = state_of(belief).revocation
        made[subject] = present or _revoke(act, belief, request, actor), present is None
    return made


def _revoke(
    act: Act, belief: Belief, request: RevocationRequest, actor: AuthenticatedOperator
) -> DeviceRevocation:
    target, reason = request.target, request.reason
    revocation = DeviceRevocation(
        revocation_id=uuid4(),
        revoked_by=actor.name,
        revoked_at=act.at,
        generation=act.generation_after(belief),
        device=target.device,
        serial=target.serial,
        issuer=target.issuer,
        reason=reason,
    )
    act.sign(
        revocation,
        actor=actor,
        action=DEVICE_REVOKE,
        details={"revocation": str(revocation.revocation_id)}
        | ({"reason": reason} if reason else {}),
    )
    return revocation
