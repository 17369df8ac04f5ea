"""Me: who is signed in, where else, and until when."""

from typing import Final

from attrs import frozen

from control_plane.console.notices import Notice
from control_plane.console.page import ConsoleForm, ConsolePage, ConsoleSection, Done, PageView
from control_plane.console.sign_in import SIGN_IN
from control_plane.console.submission import Submission
from control_plane.console.visit import Visit
from control_plane.errors import NotFoundError
from control_plane.operator_accounts.operations import SHOW_ME
from control_plane.sessions.session_store import MAX_LISTED_SESSIONS
from control_plane.sessions.sessions import Sessions

SESSION_FIELD: Final = "session"


@frozen
class MePages:
    """The page, and the forms that end sessions."""

    sessions: Sessions

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the page."""
        return (self._me,)

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return what ends one session, and what ends all."""
        return (
            ConsoleForm(
                path="me/end-session",
                name="end-session",
                operation=SHOW_ME,
                page=self._me,
                submit=self.end_session,
            ),
            ConsoleForm(
                path="me/end-all",
                name="end-all",
                operation=SHOW_ME,
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
        visit.query().finish()
        sessions = await self.sessions.list_of(visit.operator.name)
        return PageView(
            "me.html",
            "Me",
            {
                "session": visit.session,
                "sessions": sessions,
                "has_more": len(sessions) == MAX_LISTED_SESSIONS,
                "token_expires_at": visit.opened.token_expires_at,
                "is_of_token": visit.session.token_sha256 is not None,
            },
        )

    async def end_session(self, visit: Visit, submission: Submission) -> Done:
        """End one of the operator's sessions."""
        wanted = submission.text(SESSION_FIELD)
        listed = await self.sessions.list_of(visit.operator.name)
        if wanted not in {each.id for each in listed}:
            raise NotFoundError("this session has ended already")
        await self.sessions.end(wanted)
        if wanted == visit.session.id:
            return Done(SIGN_IN, Notice.SIGNED_OUT)
        return Done(ConsoleSection.ME.url, Notice.SESSION_ENDED)

    async def end_all(self, visit: Visit, _: Submission) -> Done:
        """End every session of the operator, this one included."""
        await self.sessions.end_all(visit.operator.name)
        return Done(SIGN_IN, Notice.SIGNED_OUT_EVERYWHERE)
