"""Device revocations as they are believed, read for a view."""

from uuid import UUID

from attrs import field, frozen

from control_plane.database.one_trip import Part
from control_plane.device_revocations.hidden_revocations import (
    HiddenRevocations,
    place_among_hidden,
)
from control_plane.device_revocations.request import RevocationTarget
from control_plane.device_revocations.state import (
    StoredDeviceRevocation,
    device_revocation_state,
    revocation_view,
    row_problem,
    unbelieved_view,
)
from control_plane.device_revocations.store import (
    revocation_row,
    revocation_row_of,
    revocation_rows,
    revocations_of,
)
from control_plane.errors import NotFoundError
from control_plane.proof.audit_chain import AuditChain
from control_plane.reading.page import WITHOUT_ROW, Page, View
from control_plane.reading.query_reader import ListPlace
from control_plane.slices import in_slices
from shared.identity_form import IdentityForm
from shared.structured_log import get_logger

_log = get_logger("control_plane.device_revocation_reader")


@frozen
class DeviceRevocationReader:
    """Reads revocations, each held against the signed log."""

    _chain: AuditChain
    _form: IdentityForm | None = None
    _hidden: HiddenRevocations = field(init=False)

    @_hidden.default
    def _nothing_looked_at(self) -> HiddenRevocations:
        return HiddenRevocations(self._chain)

    async def _read(self, part: Part, *about: str) -> list[StoredDeviceRevocation]:
        """Return what a part finds; one round trip if `about` names its subjects."""
        async with self._chain.reading(part, entries_about=about) as proofs:
            return await revocations_of(proofs.rows(part), proofs)

    async def show(self, revocation_id: UUID) -> View:
        """Return the view of a revocation in force, or raise `NotFoundError`."""
        views = [self._view(each) for each in await self._read(revocation_row(revocation_id))]
        for view in views:
            if view is not None and view["id"] == str(revocation_id):
                return view
        raise NotFoundError("there is no device revocation of this id in force")

    async def list(
        self,
        *,
        id_beginning: str = "",
        subject_beginning: str = "",
        after: ListPlace | None = None,
        limit: int,
    ) -> Page:
        """Return a page of the revocations in force, in the order in which they were made.

        The subject of a serial without an issuer is the beginning of those with one. Revocations
        that no row lists come last.
        """
        has_rows = after is None or after[0] < WITHOUT_ROW
        rows = revocation_rows(id_beginning, subject_beginning, after=after, limit=limit + 1)
        stored = await self._read(rows) if has_rows else []
        if (room := limit + 1 - len(stored)) > 0:
            begin = None if has_rows or after is None else after[1]
            stored += await self._hidden.fetch(subject_beginning, after=begin, limit=room)
        page = stored[:limit]
        views = await in_slices(page, self._view)
        next_place = _place(page[-1]) if len(stored) > limit else None
        # A row's id is not believed: a revocation that was found by it may be shown with another.
        fitting = (view for view in views if view and str(view["id"]).startswith(id_beginning))
        return Page(list(fitting), next_place)

    async def of(self, target: RevocationTarget) -> Page:
        """Return the page of a device's or a certificate's revocation, if one is in force."""
        stored = await self._read(revocation_row_of(target.subject), target.subject)
        if not stored:
            hidden = await self._hidden.fetch(target.subject, after=None, limit=1)
            stored = [each for each in hidden if each.subject == target.subject]
        views = [self._view(each) for each in stored]
        return Page([view for view in views if view], None)

    def _view(self, stored: StoredDeviceRevocation) -> View | None:
        """Return the view; None if the signed log says that the revocation was lifted."""
        state = device_revocation_state(stored, self._chain.signer)
        if state.problem:
            _log.warning(
                "device revocation not believed", subject=stored.subject, reason=state.problem
            )
            return unbelieved_view(stored, state.problem)
        if state.revocation is None:
            return None
        return revocation_view(state.revocation, self._form, row_problem(stored, state.revocation))


def _place(stored: StoredDeviceRevocation) -> ListPlace:
    if stored.made_at is None:
        return WITHOUT_ROW, place_among_hidden(stored.subject)
    return stored.made_at, stored.id
