"""The sign-in: by an operator's token, and by whatever other ways there are.

Refused tokens cost what they cost at the API: the same gate bounds them. Whoever signs in gets a
new session, whatever cookies the browser sent.
"""

import hmac
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from aiohttp import web
from attrs import evolve, field, frozen

from control_plane.console.local_path import ROOT, local_path
from control_plane.console.page import PageView
from control_plane.console.rendering import Rendering, see_other
from control_plane.console.session_cookie import (
    keep_session,
    keep_visitor,
    new_visitor,
    sealed_session,
    visitor_of,
)
from control_plane.console.submission import FORM_TOKEN, Submission
from control_plane.errors import NotAuthenticatedError, TooManyRequestsError
from control_plane.http.denied_logins import DeniedLogins
from control_plane.http.problems import problem_of
from control_plane.operators.login_gate import LoginGate
from control_plane.operators.operator_token import OperatorToken
from control_plane.sessions.session import Session
from control_plane.sessions.sessions import Sessions

SIGN_IN: Final = f"{ROOT}sign-in"
TOKEN_FIELD: Final = "token"  # noqa: S105  # a field's name
NEXT: Final = "next"  # where the browser goes after the sign-in
_COOKIE_LOST: Final = (
    "your browser did not send our cookie back: the console needs HTTPS, or a browser on this very"
    " machine that takes secure cookies from http://localhost; or the page was open for too long."
    " Try again"
)


@frozen
class SignInWay:
    """A way to sign in beside the token: a link to a page of ours that goes on from there."""

    label: str
    url: str


@frozen
class SignIn:
    """The sign-in page, and what it begins."""

    _sessions: Sessions
    _gate: LoginGate
    _denied: DeniedLogins
    _rendering: Rendering
    _ways: Sequence[SignInWay] = field(default=())

    def page(self, request: web.Request) -> web.Response:
        """Answer GET: show the ways to sign in."""
        return self.shown(request, request.query.get(NEXT, ROOT))

    async def by_token(self, request: web.Request, submission: Submission) -> web.Response:
        """Answer POST: begin a session with an operator's token."""
        after = local_path(submission.text(NEXT))
        visitor, told = visitor_of(request), submission.text(FORM_TOKEN)
        if visitor is None or not hmac.compare_digest(visitor.encode(), told.encode()):
            return self.shown(request, after, _COOKIE_LOST, HTTPStatus.FORBIDDEN)
        try:
            token = OperatorToken.presented(submission.text(TOKEN_FIELD))
            operator = await self._gate.let_in(token, request.remote or "")
            session = await self._sessions.begin(operator, token_sha256=token.sha256)
        except (NotAuthenticatedError, TooManyRequestsError) as error:
            self._denied.note(error, request, SIGN_IN)
            return self.shown(request, after, str(error), problem_of(error).status)
        return await self.signed_in(request, session, after)

    async def signed_in(self, request: web.Request, session: Session, after: str) -> web.Response:
        """Give the browser a session that was just begun, and end the one before; go on."""
        if (before := sealed_session(request)) is not None:
            await self._sessions.sign_out_cookie(before)
        response = see_other(local_path(after))
        keep_session(response, self._sessions.seal(session))
        return response

    def shown(
        self,
        request: web.Request,
        after: str,
        problem: str | None = None,
        status: HTTPStatus = HTTPStatus.OK,
    ) -> web.Response:
        """Show the ways to sign in, and why one of them led nowhere."""
        visitor = visitor_of(request) or new_visitor()
        query = urlencode({NEXT: local_path(after)})
        ways = [evolve(way, url=f"{way.url}?{query}") for way in self._ways]
        context = {"next": local_path(after), "ways": ways, "problem": problem}
        view = PageView("sign_in.html", "Sign in", context, status)
        response = self._rendering.of_visitor(view, request, visitor)
        keep_visitor(response, visitor)
        return response
