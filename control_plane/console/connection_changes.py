"""Changing a connection: an edit of its draft, and a new secret."""

from uuid import UUID

from attrs import frozen

from control_plane.connections import operations
from control_plane.connections.checked_edits import CheckedEdits, approves
from control_plane.connections.edit_acts import PlannedEdit
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.revisions import editable
from control_plane.console.connection import seen_tag, url_of
from control_plane.console.connection_form import (
    SECRETS,
    EditedConnection,
    credential_body,
    edit_body,
)
from control_plane.console.connection_words import place_of
from control_plane.console.notices import Notice
from control_plane.console.page import ConsoleForm, ConsolePage, ConsoleSection, Done, PageView
from control_plane.console.submission import Submission
from control_plane.console.visit import Visit
from control_plane.errors import ConflictError
from control_plane.reading.entity_tag import entity_tag
from control_plane.reading.page import View
from shared.connection import Provider


@frozen
class ChangePages:
    """The form that edits, and the form that gives a new secret."""

    reader: ConnectionReader
    edits: CheckedEdits

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the pages."""
        return self._editing, self._rotating

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return the form of each page."""
        return (
            ConsoleForm(
                path=self._editing.path,
                name="edit",
                operation=operations.EDIT,
                page=self._editing,
                submit=self.edit,
                secrets=SECRETS,
            ),
            ConsoleForm(
                path=self._rotating.path,
                name="rotate",
                operation=operations.PUT_CREDENTIAL,
                page=self._rotating,
                submit=self.rotate,
                secrets=SECRETS,
            ),
        )

    @property
    def _editing(self) -> ConsolePage:
        return ConsolePage(
            path="connections/{id}/edit",
            operation=operations.EDIT,
            section=ConsoleSection.CONNECTIONS,
            show=self.show_edit,
        )

    @property
    def _rotating(self) -> ConsolePage:
        return ConsolePage(
            path="connections/{id}/rotate",
            operation=operations.PUT_CREDENTIAL,
            section=ConsoleSection.CONNECTIONS,
            show=self.show_rotation,
        )

    async def show_edit(self, visit: Visit) -> PageView:
        """Show what there is, in fields."""
        visit.query().finish()
        return await self._form(visit, "edit")

    async def show_rotation(self, visit: Visit) -> PageView:
        """Show the fields of a new secret."""
        visit.query().finish()
        view = await self._form(visit, "rotate")
        if view.context["provider"] is Provider.AWS_ECR:
            raise ConflictError("a role has no stored secret; an edit changes the role")
        return view

    async def edit(self, visit: Visit, submission: Submission) -> Done:
        """Make or change the draft; the registry is asked if the login changes."""
        connection_id = visit.path_id("connection")
        _, edited = await self._edited(connection_id)
        planned = await self.edits.plan(
            connection_id,
            edit_body(submission, edited),
            actor=visit.operator,
            seen=seen_tag(submission),
        )
        await self.edits.redraft(planned, ask=submission.ticked("check"), actor=visit.operator)
        return Done(url_of(connection_id), _notice(planned))

    async def rotate(self, visit: Visit, submission: Submission) -> Done:
        """Make a draft with a new secret, or let the secret serve at once."""
        connection_id = visit.path_id("connection")
        _, edited = await self._edited(connection_id)
        body = credential_body(submission, edited)
        planned = await self.edits.plan_new_credential(
            connection_id, body, actor=visit.operator, seen=seen_tag(submission)
        )
        ask = submission.ticked("check")
        if approves(body):
            await self.edits.renew(planned, ask=ask, actor=visit.operator)
            return Done(url_of(connection_id), Notice.ROTATED)
        await self.edits.redraft(planned, ask=ask, actor=visit.operator)
        return Done(url_of(connection_id), _notice(planned))

    async def _form(self, visit: Visit, name: str) -> PageView:
        view, edited = await self._edited(visit.path_id("connection"))
        state = visit.form(name)
        # Fields that were wrong are mended upon what was seen; of what is another one now, the
        # refusal has told.
        tag = state.value("seen") if state.errors else entity_tag(view)
        title = f"{'Edit' if name == 'edit' else 'New secret for'} {place_of(view)}"
        return PageView(
            f"{name}.html",
            title,
            {
                "connection": view,
                "tag": tag,
                "provider": edited.provider,
                "shown": edited.shown,
                "may_approve": operations.PUT_CREDENTIAL.allows(visit.operator.role, "approve"),
            },
        )

    async def _edited(self, connection_id: UUID) -> tuple[View, EditedConnection]:
        """Return what an edit starts from; raise `ConflictError` if there is nothing to edit."""
        view, state = await self.reader.look(connection_id)
        base = editable(state)
        return view, EditedConnection(base.document, base.labels, str(view["description"]))


def _notice(planned: PlannedEdit) -> Notice:
    return Notice.DRAFT_MADE if planned.makes_draft else Notice.SAVED
