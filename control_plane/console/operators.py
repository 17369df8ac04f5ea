"""Operators: listed with their last use, added, given a new token, removed; for admins."""

from datetime import timedelta
from typing import Final, Self
from urllib.parse import quote

from attrs import frozen

from control_plane.clock import Clock
from control_plane.console.notices import Notice
from control_plane.console.page import ConsoleForm, ConsolePage, ConsoleSection, Done, PageView
from control_plane.console.sign_in import SIGN_IN
from control_plane.console.submission import Submission
from control_plane.console.visit import Visit
from control_plane.errors import FieldError, InvalidRequestError, NotFoundError
from control_plane.operator_accounts import operations
from control_plane.operator_accounts.accounts import OperatorAccounts
from control_plane.operator_accounts.operator_sessions import OperatorSessions
from control_plane.operator_accounts.request import (
    parse_operator_request,
    parse_rotation_request,
)
from control_plane.operator_accounts.routes import format_name_cursor, parse_name_cursor
from control_plane.operator_accounts.session_operations import END_OPERATOR_SESSIONS
from control_plane.operators.operator_token import InvalidOperatorNameError, OperatorName
from control_plane.operators.operators import IssuedToken
from control_plane.operators.permissions import Role
from control_plane.operators.person import InvalidPersonError, Person, is_person
from control_plane.sessions.session_store import SignedIn
from shared.canonical_json import format_time

OPERATORS_OF_A_PAGE: Final = 50
SHOWN_SESSIONS: Final = 20  # of one operator; one button ends them all
SHOWN_SIGNED_IN: Final = 50  # who are signed in; the command lists all
_NEVER: Final = "never"
LIFETIMES: Final = (
    ("30", "in 30 days"),
    ("90", "in 90 days"),
    ("365", "in a year"),
    (_NEVER, "never, until it is rotated"),
)
ROLES: Final = (
    (Role.VIEWER, "viewer: looks at everything"),
    (Role.CONNECTOR, "connector: connects registries, edits, rotates secrets"),
    (Role.APPROVER, "approver: approves, sends back, revokes"),
    (Role.ADMIN, "admin: all of that, and operators"),
)


@frozen
class ShownPerson:
    """Somebody who is signed in, as a list shows them."""

    name: str
    shown: str  # a person's subject; an operator's name
    issuer: str | None  # the provider's URL; None: an operator with a token
    sessions: int
    last_used_at: str

    @classmethod
    def of(cls, who: SignedIn) -> Self:
        """Return how somebody is shown."""
        person = Person.parse(who.name) if is_person(who.name) else None
        shown, issuer = (person.subject, person.issuer) if person else (who.name, None)
        return cls(who.name, shown, issuer, who.sessions, format_time(who.last_used_at))


@frozen
class OperatorPages:
    """The list, and a page for each operator."""

    accounts: OperatorAccounts
    sessions: OperatorSessions
    clock: Clock

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the pages."""
        return self._list, self._one

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return the forms."""
        return (
            ConsoleForm(
                path="operators/add",
                name="add-operator",
                operation=operations.ADD_OPERATOR,
                page=self._list,
                submit=self.add,
            ),
            ConsoleForm(
                path="operators/{name}/rotate",
                name="rotate-operator",
                operation=operations.ROTATE_OPERATOR,
                page=self._one,
                submit=self.rotate,
            ),
            ConsoleForm(
                path="operators/{name}/remove",
                name="remove-operator",
                operation=operations.REMOVE_OPERATOR,
                page=self._one,
                submit=self.remove,
            ),
            ConsoleForm(
                path="operators/{name}/end-sessions",
                name="end-sessions",
                operation=END_OPERATOR_SESSIONS,
                page=self._one,
                submit=self.end_sessions,
            ),
            ConsoleForm(
                path="operators/sign-out",
                name="sign-out-person",
                operation=END_OPERATOR_SESSIONS,
                page=self._list,
                submit=self.sign_out,
            ),
        )

    @property
    def _list(self) -> ConsolePage:
        return ConsolePage(
            path=ConsoleSection.OPERATORS.path,
            operation=operations.LIST_OPERATORS,
            section=ConsoleSection.OPERATORS,
            show=self.show_list,
        )

    @property
    def _one(self) -> ConsolePage:
        return ConsolePage(
            path="operators/{name}",
            operation=operations.SHOW_OPERATOR,
            section=ConsoleSection.OPERATORS,
            show=self.show_one,
        )

    async def show_list(self, visit: Visit) -> PageView:
        """Show a page of operators, and the form that adds one."""
        query = visit.query()
        after = query.text("cursor", parse_name_cursor)
        query.finish()
        operators, following = await self.accounts.page(after=after, limit=OPERATORS_OF_A_PAGE)
        signed_in, more = await self.sessions.signed_in(after=None, limit=SHOWN_SIGNED_IN)
        return PageView(
            "operators.html",
            "Operators",
            {
                "operators": operators,
                "next_cursor": format_name_cursor(following),
                "signed_in": [ShownPerson.of(each) for each in signed_in],
                "more_signed_in": more is not None,
                "now": format_time(self.clock()),
                "roles": ROLES,
                "lifetimes": LIFETIMES,
            },
        )

    async def show_one(self, visit: Visit) -> PageView:
        """Show an operator, and the forms that rotate the token and remove them."""
        visit.query().finish()
        name = _name(visit)
        sessions = await self.sessions.page(name.value, after=None, limit=SHOWN_SESSIONS)
        context = {
            "sessions": sessions.sessions,
            "has_more_sessions": sessions.has_more,
            "shown": await self.accounts.show(name.value),
            "url": f"{ConsoleSection.OPERATORS.url}/{quote(name.value)}",
            "is_self": name.value == visit.operator.name,
            "now": format_time(self.clock()),
            "lifetimes": LIFETIMES,
        }
        return PageView("operator.html", f"Operator {name}", context)

    async def add(self, visit: Visit, submission: Submission) -> PageView:
        """Add an operator, and show the token this once."""
        body: dict[str, object] = dict(submission.given("name", "role", "person"))
        request = parse_operator_request(body | self._end(submission), self.clock())
        return _once(await self.accounts.add(request, actor=visit.operator), is_new=True)

    async def rotate(self, visit: Visit, submission: Submission) -> PageView:
        """Give an operator another token, and show it this once."""
        request = parse_rotation_request(self._end(submission), self.clock())
        issued = await self.accounts.rotate(_name(visit), request, actor=visit.operator)
        return _once(issued, is_new=False)

    async def remove(self, visit: Visit, submission: Submission) -> Done:
        """Remove an operator whose name was typed."""
        name = _name(visit)
        if submission.text("typed_name") != name.value:
            raise InvalidRequestError((FieldError("/typed_name", f"type {name} to remove them"),))
        await self.accounts.remove(name, actor=visit.operator)
        return Done(ConsoleSection.OPERATORS.url, Notice.OPERATOR_REMOVED)

    async def end_sessions(self, visit: Visit, _: Submission) -> Done:
        """End every session of an operator."""
        name = _name(visit)
        await self.sessions.end_all_of(name.value, actor=visit.operator)
        if name.value == visit.operator.name:
            return Done(SIGN_IN, Notice.SIGNED_OUT_EVERYWHERE)
        return Done(f"{ConsoleSection.OPERATORS.url}/{quote(name.value)}", Notice.SESSIONS_ENDED)

    async def sign_out(self, visit: Visit, submission: Submission) -> Done:
        """End every session of a person of single sign-on."""
        try:
            person = Person.parse(submission.text("signed_out"))
        except InvalidPersonError as error:
            raise InvalidRequestError((FieldError("/signed_out", str(error)),)) from None
        await self.sessions.end_all_of(str(person), actor=visit.operator)
        if str(person) == visit.operator.name:
            return Done(SIGN_IN, Notice.SIGNED_OUT_EVERYWHERE)
        return Done(ConsoleSection.OPERATORS.url, Notice.SESSIONS_ENDED)

    def _end(self, submission: Submission) -> dict[str, object]:
        """Return when the token ends, as the API is told."""
        chosen = submission.text("ends")
        if chosen not in dict(LIFETIMES):
            raise InvalidRequestError((FieldError("/ends", "choose when the token ends"),))
        if chosen == _NEVER:
            return {"expires_at": None}
        return {"expires_at": format_time(self.clock() + timedelta(days=int(chosen)))}


def _name(visit: Visit) -> OperatorName:
    """Return the name in the path; raise `NotFoundError` if nobody can be called so."""
    try:
        return OperatorName.parse(visit.request.match_info["name"])
    except InvalidOperatorNameError:
        raise NotFoundError("there is no operator of this name") from None


def _once(issued: IssuedToken, *, is_new: bool) -> PageView:
    """Return the page that alone has the token."""
    context = {"token": issued.secret.reveal_text(), "shown": issued.operator, "is_new": is_new}
    return PageView("new_token.html", f"The token of {issued.operator.name}", context)
