"""Device revocations that are in force although no row lists them. Lists show them all the same.

Rows are found by columns, which nobody signs. Whoever writes in Postgres may delete a row, or mark
it as lifted. The signed log names every device and certificate that was ever revoked. If no row
lists one, the entry of the newest act about it says whether that act was a lifting.
"""

from collections.abc import Sequence
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from attrs import define, field

from control_plane.device_revocations.state import StoredDeviceRevocation
from control_plane.device_revocations.store import listed_subjects
from control_plane.proof.actions import DEVICE_LIFT
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import Belief, believe
from control_plane.proof.signed_log import Place, SignedLog

_SUBJECTS: Final = ("device/", "certificate/")  # as `device_subject` begins them
AT_ONCE: Final = 100  # verified in one turn of the event loop: some 20 ms


@define(eq=False)
class HiddenRevocations:
    """Finds them. One that was lifted is not looked at again before a newer act about it."""

    _chain: AuditChain
    # No more than the subjects of the signed log.
    _lifted: dict[str, Place] = field(factory=dict, init=False)

    async def fetch(
        self, subject_beginning: str, *, after: UUID | None, limit: int
    ) -> list[StoredDeviceRevocation]:
        """Return at most `limit` whose subject begins so, in the order of `place_among_hidden`."""
        part = listed_subjects(subject_beginning)
        async with self._chain.reading(part) as proofs:
            listed, log = {row["subject"] for row in proofs.rows(part)}, proofs.log
        unlisted = (
            (place_among_hidden(subject), subject)
            for subject, made in log.all_made()
            if subject.startswith(_SUBJECTS)
            and subject.startswith(subject_beginning)
            and subject not in listed
            and self._lifted.get(subject) != made.place
        )
        subjects = [each for place, each in sorted(unlisted) if after is None or place > after]
        found: list[StoredDeviceRevocation] = []
        while subjects and len(found) < limit:
            found += await self._in_force(log, subjects[:AT_ONCE])
            del subjects[:AT_ONCE]
        return found[:limit]

    async def _in_force(
        self, looked_at: SignedLog, subjects: Sequence[str]
    ) -> list[StoredDeviceRevocation]:
        """Return those that are in force. One with a newer act by now is listed, or was lifted."""
        async with self._chain.reading(about=subjects) as proofs:
            evidences = await proofs.evidences_of(subjects)
        found = []
        for subject, evidence in evidences.items():
            made = proofs.log.made(subject)
            if made is None or made != looked_at.made(subject):
                continue
            belief = believe(evidence, self._chain.signer)
            if belief.entry and belief.entry.action == DEVICE_LIFT:
                self._lifted[subject] = made.place
            else:
                found.append(
                    StoredDeviceRevocation(_id_of(belief), subject, made_at=None, evidence=evidence)
                )
        return found


def place_among_hidden(subject: str) -> UUID:
    """Return what hidden revocations are ordered by; a page of them begins after one of these."""
    return uuid5(NAMESPACE_URL, subject)


def _id_of(belief: Belief) -> UUID:
    """Return the revocation's id, as the entry of its act says."""
    told = belief.entry.details.get("revocation") if belief.entry else None
    return UUID(told) if told else place_among_hidden(belief.subject)
