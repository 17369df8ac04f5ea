"""Connection: what it is, its history, what to grant for it; and how it ends."""

from typing import Final
from uuid import UUID

import orjson
from attrs import frozen

from control_plane.connections import operations
from control_plane.connections.acts import Connections
from control_plane.connections.connection_grants import ConnectionGrants
from control_plane.connections.edit_acts import ConnectionEdits
from control_plane.connections.history_reader import HistoryReader
from control_plane.console.connection_words import badges_of, check_of, place_of
from control_plane.console.document_sections import sections_of
from control_plane.console.history_shown import shown_act
from control_plane.console.local_path import ROOT
from control_plane.console.notices import Notice
from control_plane.console.page import ConsoleForm, ConsolePage, ConsoleSection, Done, PageView
from control_plane.console.submission import Submission
from control_plane.console.visit import Visit
from control_plane.errors import FieldError, InvalidRequestError
from control_plane.http.operation import OperatorsOperation
from control_plane.reading.entity_tag import SeenTags, entity_tag
from control_plane.reading.field_reader import FieldReader
from control_plane.reading.page import View
from control_plane.reading.query_reader import parse_sequence
from control_plane.reading.texts import parse_reason
from control_plane.review.reviews import ConnectionReviews
from control_plane.review.view import line_view
from control_plane.slices import in_slices

ACTS_OF_A_PAGE: Final = 20


@frozen
class ConnectionPages:
    """The pages of one connection, but for those that change it."""

    reviews: ConnectionReviews
    history: HistoryReader
    grants: ConnectionGrants
    edits: ConnectionEdits
    connections: Connections

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the pages."""
        return self._one, self._granting, self._revoking

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return what ends a draft, and what ends the connection."""
        return (
            ConsoleForm(
                path="connections/{id}/discard",
                name="discard",
                operation=operations.DISCARD,
                page=self._one,
                submit=self.discard,
            ),
            ConsoleForm(
                path="connections/{id}/revoke",
                name="revoke",
                operation=operations.REVOKE,
                page=self._revoking,
                submit=self.revoke,
            ),
        )

    @property
    def _one(self) -> ConsolePage:
        return ConsolePage(
            path="connections/{id}",
            operation=operations.SHOW,
            section=ConsoleSection.CONNECTIONS,
            show=self.show,
        )

    @property
    def _granting(self) -> ConsolePage:
        return ConsolePage(
            path="connections/{id}/grant",
            operation=operations.GRANT,
            section=ConsoleSection.CONNECTIONS,
            show=self.show_grant,
        )

    @property
    def _revoking(self) -> ConsolePage:
        return ConsolePage(
            path="connections/{id}/revoke",
            operation=operations.REVOKE,
            section=ConsoleSection.CONNECTIONS,
            show=self.show_revocation,
        )

    async def show(self, visit: Visit) -> PageView:
        """Show a connection and its history, the newest act first."""
        connection_id = visit.path_id("connection")
        query = visit.query()
        before = query.text("before", parse_sequence)
        query.finish()
        view, lines = await self.reviews.lines(connection_id)
        page = await self.history.page(connection_id, before=before, limit=ACTS_OF_A_PAGE)
        # One after the other: an act may have changed a bundle of a hundred certificates.
        acts = await in_slices(page.items, shown_act, at_once=1)
        return PageView(
            "connection.html",
            name_of(view),
            {
                "connection": view,
                "badges": badges_of(view),
                "check": check_of(view),
                "tag": entity_tag(view),
                "line_sections": sections_of(map(line_view, lines)),
                "acts": acts,
                "is_first_page": before is None,
                "older": page.next_place,
                "repository": _named_repository(view),
                "may": _may(visit),
            },
        )

    async def show_grant(self, visit: Visit) -> PageView:
        """Show what to grant in the customer's cloud, ready to paste."""
        visit.query().finish()
        connection_id = visit.path_id("connection")
        grant = await self.grants.show(connection_id)
        policies = [
            (name.replace("_", " ").capitalize(), name, _indented(grant[name]))
            for name in ("trust_policy", "permissions_policy")
            if name in grant
        ]
        context = {"grant": grant, "policies": policies, "connection_id": connection_id}
        return PageView("grant.html", "What to grant", context)

    async def show_revocation(self, visit: Visit) -> PageView:
        """Show what a revocation means, and the form that does it."""
        visit.query().finish()
        view, _ = await self.reviews.lines(visit.path_id("connection"))
        return PageView(
            "revoke.html", f"Revoke {name_of(view)}", {"connection": view, "name": name_of(view)}
        )

    async def discard(self, visit: Visit, submission: Submission) -> Done:
        """Discard the draft that was seen."""
        connection_id = visit.path_id("connection")
        await self.edits.discard(connection_id, actor=visit.operator, seen=seen_tag(submission))
        return Done(url_of(connection_id), Notice.DRAFT_DISCARDED)

    async def revoke(self, visit: Visit, submission: Submission) -> Done:
        """End the connection whose host was typed."""
        connection_id = visit.path_id("connection")
        view, _ = await self.reviews.lines(connection_id)
        fields = FieldReader(submission.given("reason"))
        reason = fields.text("reason", parse_reason) or ""
        fields.finish()
        if submission.text("place") != name_of(view):
            detail = f"type {name_of(view)}, so that no other connection is revoked"
            raise InvalidRequestError((FieldError("/place", detail),))
        await self.connections.revoke(connection_id, reason=reason, actor=visit.operator)
        return Done(url_of(connection_id), Notice.REVOKED)


def name_of(view: View) -> str:
    """Return the place; the id of a connection whose row is gone."""
    return place_of(view) or str(view["id"])


def url_of(connection_id: UUID) -> str:
    """Return the address of a connection's page."""
    return f"{ROOT}connections/{connection_id}"


def seen_tag(submission: Submission) -> SeenTags:
    """Return the tag of what the form stood on; without one, no connection fits."""
    return SeenTags(frozenset({submission.text("seen")}))


def _may(visit: Visit) -> dict[str, bool]:
    """Return what the operator's role reaches, by the names that the template has."""
    needed: dict[str, OperatorsOperation] = {
        "edit": operations.EDIT,
        "rotate": operations.PUT_CREDENTIAL,
        "grant": operations.GRANT,
        "discard": operations.DISCARD,
        "approve": operations.APPROVE,
        "revoke": operations.REVOKE,
    }
    return {name: visit.may(operation) for name, operation in needed.items()}


def _named_repository(view: View) -> str:
    """Return a repository that the connection serves, for commands to begin with."""
    patterns = view["repositories"]
    literal = [each for each in patterns if "*" not in each] if isinstance(patterns, list) else []
    if literal:
        return str(literal[0])
    return "/".join(part for part in (str(view["repository_prefix"]), "REPOSITORY") if part)


def _indented(policy: object) -> str:
    return orjson.dumps(policy, option=orjson.OPT_INDENT_2).decode()
