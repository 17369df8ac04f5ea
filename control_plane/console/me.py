"""Me: who is signed in, where else, and until when."""

from typing import Final

from attrs import frozen

from control_plane.console.notices import Notice
from control_plane.console.page import ConsoleForm, ConsolePage, ConsoleSection, Done, PageView
from control_plane.console.sign_in import SIGN_IN
from control_plane.console.submission import Submission
from control_plane.console.visit import Visit
from control_plane.operator_accounts.operations import SHOW_ME
from control_plane.operator_accounts.operator_sessions import OperatorSessions
from control_plane.operator_accounts.session_operations import END_SESSION, END_SESSIONS
from control_plane.reading.query_reader import format_place

SESSION_FIELD: Final = "session"
SESSIONS_OF_A_PAGE: Final = 50


@frozen
class MePages:
    """The page, and the forms that end sessions."""

    sessions: OperatorSessions

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the page."""
        return (self._me,)

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return what ends one session, and what ends all."""
        return (
            ConsoleForm(
                path="me/end-session",
                name="end-session",
                operation=END_SESSION,
                page=self._me,
                submit=self.end_session,
            ),
            ConsoleForm(
                path="me/end-all",
                name="end-all",
                operation=END_SESSIONS,
                page=self._me,
                submit=self.end_all,
            ),
        )

    @property
    def _me(self) -> ConsolePage:
        return ConsolePage(
            path=ConsoleSection.ME.path,
            operation=SHOW_ME,
            section=ConsoleSection.ME,
            show=self.show,
        )

    async def show(self, visit: Visit) -> PageView:
        """Show the operator and their sessions."""
        query = visit.query()
        after = query.place()
        query.finish()
        page = await self.sessions.page(visit.operator.name, after=after, limit=SESSIONS_OF_A_PAGE)
        return PageView(
            "me.html",
            "Me",
            {
                "session": visit.session,
                "sessions": page.sessions,
                "next_cursor": format_place(page.next_place),
                "token_expires_at": visit.opened.token_expires_at,
                "is_of_token": visit.session.token_sha256 is not None,
            },
        )

    async def end_session(self, visit: Visit, submission: Submission) -> Done:
        """End one of the operator's sessions."""
        wanted = submission.text(SESSION_FIELD)
        await self.sessions.end_own(wanted, actor=visit.operator)
        if wanted == visit.session.id:
            return Done(SIGN_IN, Notice.SIGNED_OUT)
        return Done(ConsoleSection.ME.url, Notice.SESSION_ENDED)

    async def end_all(self, visit: Visit, _: Submission) -> Done:
        """End every session of the operator, this one included."""
        await self.sessions.end_all_own(visit.operator)
        return Done(SIGN_IN, Notice.SIGNED_OUT_EVERYWHERE)
