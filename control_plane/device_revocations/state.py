"""What is believed of a stored device revocation, and how it is shown. Pure.

The newest signed statement about a device or certificate says what is in force; no column does.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from attrs import frozen

from control_plane.device_revocations.request import RevocationTarget
from control_plane.errors import NotBelievedError, NotFoundError
from control_plane.proof.belief import Belief, Evidence, believe
from control_plane.proof.signer import Verifier
from control_plane.reading.page import View
from shared.canonical_json import format_time
from shared.identity_form import IdentityForm
from shared.statement import DeviceLifting, DeviceRevocation

_MEND: Final = "revoke it once more, which mends it"
NOT_LISTED: Final = f"no row of the database lists it; {_MEND}"


@frozen
class StoredDeviceRevocation:
    """A row as it lies in the database, with all that can prove it."""

    id: UUID
    subject: str
    made_at: datetime | None  # its place in the order of lists; None if no row lists it
    evidence: Evidence


@frozen
class DeviceRevocationState:
    """The revocation in force, or why nobody can tell; neither if it was lifted."""

    belief: Belief
    revocation: DeviceRevocation | None = None
    problem: str | None = None


def device_revocation_state(
    stored: StoredDeviceRevocation, verifier: Verifier
) -> DeviceRevocationState:
    """Return what is believed of a stored device revocation."""
    return state_of(believe(stored.evidence, verifier))


def state_of(belief: Belief) -> DeviceRevocationState:
    """Return the state that follows from what is believed of a device or certificate."""
    match belief.statement:
        case DeviceRevocation() as revocation:
            return DeviceRevocationState(belief, revocation)
        case DeviceLifting():
            return DeviceRevocationState(belief)
        case _:
            problem = belief.problem or "no signed statement is behind it"
            return DeviceRevocationState(belief, problem=problem)


def liftable(
    state: DeviceRevocationState, revocation_id: UUID, target: RevocationTarget
) -> DeviceRevocation:
    """Return the revocation that may now be lifted; raise `NotFoundError` or `NotBelievedError`.

    Only a revocation that is believed is lifted: an id in a column could lead to another device.
    """
    if state.problem:
        raise NotBelievedError(
            f"{state.problem}; revoke it again, and lift that",
            {"id": str(revocation_id), **target.view()},
        )
    if state.revocation is None or state.revocation.revocation_id != revocation_id:
        raise NotFoundError("there is no device revocation of this id in force")
    return state.revocation


def row_problem(stored: StoredDeviceRevocation, revocation: DeviceRevocation) -> str | None:
    """Return how the row differs from a revocation in force; nobody believes the row."""
    if stored.made_at is None:
        return NOT_LISTED
    if stored.id != revocation.revocation_id:
        return f"its row in the database says another id; {_MEND}"
    return None


def revocation_view(
    revocation: DeviceRevocation, form: IdentityForm | None, problem: str | None = None
) -> View:
    """Return the view of a revocation in force; `form` tells whether a certificate can name it."""
    return {
        "id": str(revocation.revocation_id),
        "device": revocation.device,
        "serial": revocation.serial,
        "issuer": revocation.issuer,
        "reason": revocation.reason,
        "revoked_by": revocation.revoked_by,
        "revoked_at": format_time(revocation.revoked_at),
        "generation": revocation.generation,
        "notes": [*_notes(revocation.device, form)],
        "problem": problem,
    }


def unbelieved_view(stored: StoredDeviceRevocation, problem: str) -> View:
    """Return the view of a row that is not believed: whom it names, and why."""
    return {
        "id": str(stored.id),
        **RevocationTarget.of_subject(stored.subject).view(),
        "reason": None,
        "revoked_by": None,
        "revoked_at": None,
        "generation": None,
        "notes": [],
        "problem": problem,
    }


def _notes(device: str | None, form: IdentityForm | None) -> Iterator[str]:
    if device is None:
        return
    if form is None:
        yield (
            "whether any certificate says this of its device is not known here: a typing error"
            " revokes nobody (CONTROL_PLANE_DEVICE_IDENTITY or _PROFILES_FILE tells)"
        )
    elif not form.says_device(device):
        yield f"no certificate here says this of its device: expected {form}"
