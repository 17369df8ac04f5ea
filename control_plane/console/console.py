"""The console: sessions, roles, errors and headers around the pages and forms of every room."""

import hmac
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import urlencode

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from attrs import evolve, frozen

from control_plane.console.local_path import ROOT
from control_plane.console.notices import PARAMETER, Notice
from control_plane.console.page import (
    ConsoleDownload,
    ConsoleForm,
    ConsolePage,
    Done,
    FormShownAgain,
    PageView,
    Room,
    StreamedAnswer,
)
from control_plane.console.provider_sign_in import (
    BACK_CHANNEL,
    BEGIN,
    CALLBACK,
    END,
    WAY,
    ProviderSignIn,
)
from control_plane.console.refusals import error_view, refusal_of, send_again_view
from control_plane.console.rendering import Rendering, see_other, stream_of
from control_plane.console.same_origin import is_from_our_page
from control_plane.console.security_headers import FILE_HEADERS, PAGE_HEADERS
from control_plane.console.session_cookie import forget_session, keep_session, sealed_session
from control_plane.console.sign_in import NEXT, SIGN_IN, SignIn
from control_plane.console.static_files import FOLDER, StaticFiles
from control_plane.console.submission import (
    FORM_TOKEN,
    MAX_FORM_BYTES,
    MAX_STRANGERS_FORM_BYTES,
    Submission,
    parse_submission,
)
from control_plane.console.visit import Visit
from control_plane.errors import (
    ControlPlaneError,
    NotAuthenticatedError,
    NotFoundError,
    NotPermittedError,
    UnavailableError,
    UnsupportedMediaTypeError,
)
from control_plane.http.denied_logins import DeniedLogins
from control_plane.http.http_call import content_of
from control_plane.http.problems import HttpProblem, problem_of
from control_plane.http.request_marks import note_operator
from control_plane.operators.login_gate import LoginGate
from control_plane.operators.permissions import require
from control_plane.sessions.session import Session
from control_plane.sessions.sessions import OpenSession, Sessions
from shared.structured_log import get_logger, log_context

SIGN_OUT: Final = f"{ROOT}sign-out"
FORM: Final = "application/x-www-form-urlencoded"
_SIGNING_OUT: Final = PageView("signing_out.html", "Signed out", {"url": END})
_OTHER_SESSION: Final = "this form was made in another session: look at it again, and send it again"

_log = get_logger("control_plane.console")


@frozen
class Console:
    """Everything that is answered below `/console/`."""

    _rooms: Sequence[Room]
    _sessions: Sessions
    _sign_in: SignIn
    _rendering: Rendering
    _public_url: str | None
    _downloads: Sequence[ConsoleDownload] = ()
    _provider: ProviderSignIn | None = None

    @classmethod
    def of(
        cls,
        rooms: Sequence[Room],
        sessions: Sessions,
        gate: LoginGate,
        denied: DeniedLogins,
        *,
        public_url: str | None,
        downloads: Sequence[ConsoleDownload] = (),
        provider: ProviderSignIn | None = None,
    ) -> Self:
        """Return the console with these rooms; it reads its files. Blocks."""
        pages = (page for room in rooms for page in room.pages())
        entrances = {
            page.section: page
            for page in pages
            if page.section is not None and page.url == page.section.url
        }
        rendering = Rendering(StaticFiles.read(), entrances)
        sign_in = SignIn(sessions, gate, denied, rendering, (WAY,) if provider else ())
        return cls(rooms, sessions, sign_in, rendering, public_url, downloads, provider)

    def add_to(self, app: web.Application) -> None:
        """Add the routes, and what renders the pages. Blocks."""
        self._rendering.set_up(app)
        router = app.router
        router.add_route("GET", "/", _to_console)
        router.add_route("GET", ROOT.rstrip("/"), _to_console)
        router.add_route("GET", f"{FOLDER}{{name}}", self._file)
        router.add_route("GET", SIGN_IN, self._show_sign_in)
        router.add_route("POST", SIGN_IN, self._take_sign_in)
        router.add_route("POST", SIGN_OUT, self._sign_out)
        for download in self._downloads:
            router.add_route("GET", download.url, self._downloading(download))
        if self._provider is not None:
            router.add_route("GET", BEGIN, self._provider.begin)
            router.add_route("GET", CALLBACK, self._come_back)
            router.add_route("GET", END, self._provider.end)
            router.add_route("POST", BACK_CHANNEL, self._provider.back_channel)
        for room in self._rooms:
            for page in room.pages():
                router.add_route("GET", page.url, self._showing(page))
            for form in room.forms():
                router.add_route("POST", form.url, self._submitting(form))

    def answer(self, problem: HttpProblem, request: web.Request, request_id: str) -> web.Response:
        """Return the page of what no page of ours answered."""
        response = self._rendering.of_visitor(error_view(problem, request_id), request)
        response.headers.update(problem.headers)
        return response

    async def _file(self, request: web.Request) -> web.Response:
        file = self._rendering.files.by_name.get(request.match_info["name"])
        if file is None:
            raise NotFoundError("there is no such file")
        return web.Response(
            body=file.content,
            content_type=file.media_type,
            charset="utf-8",
            headers=FILE_HEADERS,
        )

    async def _show_sign_in(self, request: web.Request) -> web.Response:
        return self._sign_in.page(request)

    async def _take_sign_in(self, request: web.Request) -> web.Response:
        return await self._sign_in.by_token(request, await self._submission(request))

    async def _sign_out(self, request: web.Request) -> web.Response:
        submission = await self._submission(request)
        response = see_other(f"{SIGN_IN}?{urlencode({PARAMETER: Notice.SIGNED_OUT.code})}")
        try:
            opened = await self._opened(request)
        except NotAuthenticatedError:
            forget_session(response)
            return response
        _require_token(submission, opened.session)
        await self._sessions.sign_out(opened.session.id, actor=opened.operator)
        if self._provider is not None and opened.session.token_sha256 is None:
            response = self._rendering.of_visitor(_SIGNING_OUT, request)
        forget_session(response)
        return response

    async def _come_back(self, request: web.Request) -> web.Response:
        if self._provider is None:
            raise AssertionError("there is no such route")
        try:
            present = (await self._opened(request)).session
        except NotAuthenticatedError:
            present = None
        return await self._provider.come_back(request, self._sign_in, present)

    def _showing(self, page: ConsolePage) -> Handler:
        async def show(request: web.Request) -> web.StreamResponse:
            try:
                opened = await self._opened(request)
            except NotAuthenticatedError:
                response = see_other(f"{SIGN_IN}?{urlencode({NEXT: request.path_qs})}")
                forget_session(response)
                return response
            with log_context(actor=opened.operator.name, role=opened.operator.role):
                note_operator(request)
                visit = Visit(request, opened)
                try:
                    require(opened.operator.role, page.operation.role)
                    view = await page.show(visit)
                except ControlPlaneError as error:
                    view = _problem_view(error)
                return self._kept(self._rendering.of_visit(view, visit, page.section), opened)

        return show

    def _downloading(self, download: ConsoleDownload) -> Handler:
        async def send(request: web.Request) -> web.StreamResponse:
            opened = await self._opened(request)
            with log_context(actor=opened.operator.name, role=opened.operator.role):
                note_operator(request)
                require(opened.operator.role, download.operation.role)
                response = await download.send(Visit(request, opened))
                response.headers.update(PAGE_HEADERS)
                return self._kept(response, opened)

        return send

    def _submitting(self, form: ConsoleForm) -> Handler:
        async def submit(request: web.Request) -> web.StreamResponse:
            submission = await self._submission(request)
            try:
                opened = await self._opened(request)
            except (NotAuthenticatedError, UnavailableError) as error:
                status = problem_of(error).status
                _log.info("form refused", route=form.url, status=status.value, reason=str(error))
                view = send_again_view(request.path, submission, form, error)
                return self._rendering.of_visitor(view, request)
            with log_context(actor=opened.operator.name, role=opened.operator.role):
                note_operator(request)
                visit = Visit(request, opened)
                return self._kept(await self._submitted(form, visit, submission), opened)

        return submit

    async def _submitted(
        self, form: ConsoleForm, visit: Visit, submission: Submission
    ) -> web.Response:
        try:
            _require_token(submission, visit.session)
            require(visit.operator.role, form.operation.role)
            outcome = await form.submit(visit, submission)
        except ControlPlaneError as error:
            return await self._shown_again(form, visit, submission, error)
        _log.info("form done", route=form.url)
        if isinstance(outcome, Done):
            return _after(outcome)
        if isinstance(outcome, StreamedAnswer):
            return stream_of(outcome.lines)
        if isinstance(outcome, FormShownAgain):
            again = evolve(visit, refused={form.name: outcome.state})
            view = await form.page.show(again)
            shown = evolve(view, context={**view.context, **outcome.context})
            return self._rendering.of_visit(shown, again, form.page.section)
        return self._rendering.of_visit(outcome, visit, form.page.section)

    async def _shown_again(
        self, form: ConsoleForm, visit: Visit, submission: Submission, error: ControlPlaneError
    ) -> web.Response:
        """Show the form as it was sent, with what is wrong; nothing that was typed is lost."""
        state, status = refusal_of(error, submission, form)
        _log.info("form refused", route=form.url, status=status.value, reason=str(error))
        again = evolve(visit, refused={form.name: state})
        try:
            view = evolve(await form.page.show(again), status=status)
        except ControlPlaneError as gone:  # the page, or the database is away
            view = send_again_view(visit.request.path, submission, form, error, gone)
        return self._rendering.of_visit(view, again, form.page.section)

    async def _submission(self, request: web.Request) -> Submission:
        """Return what a page of ours sent; raise why it is not read."""
        headers = request.headers
        if not is_from_our_page(
            fetch_site=headers.get("Sec-Fetch-Site"),
            origin=headers.get(hdrs.ORIGIN),
            host=headers.get(hdrs.HOST),
            public_url=self._public_url,
        ):
            raise NotPermittedError("this form was not sent by a page of the console")
        if request.content_type != FORM:
            raise UnsupportedMediaTypeError(f"a form has to have the Content-Type {FORM}")
        sealed = sealed_session(request)
        is_known = sealed is not None and self._sessions.is_ours(sealed)
        bound = MAX_FORM_BYTES if is_known else MAX_STRANGERS_FORM_BYTES
        return parse_submission(await content_of(request.clone(client_max_size=bound), FORM))

    async def _opened(self, request: web.Request) -> OpenSession:
        sealed = sealed_session(request)
        if sealed is None:
            raise NotAuthenticatedError("you are not signed in", reason="no session")
        return await self._sessions.find(sealed)

    def _kept(self, response: web.Response, opened: OpenSession) -> web.Response:
        if opened.is_newly_used:
            keep_session(response, self._sessions.seal(opened.session))
        return response


async def _to_console(request: web.Request) -> web.Response:
    """Send a browser to the console; whoever else asks for `/` is told that it is not served."""
    if request.path == "/" and "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
        raise web.HTTPNotFound
    return see_other(ROOT)


def _problem_view(error: ControlPlaneError) -> PageView:
    """Return the page of an error; raise one that is ours to mend, which is logged and answered."""
    problem = problem_of(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise error
    return error_view(problem)


def _require_token(submission: Submission, session: Session) -> None:
    if not hmac.compare_digest(submission.text(FORM_TOKEN).encode(), session.form_token.encode()):
        raise NotPermittedError(_OTHER_SESSION)


def _after(outcome: Done) -> web.Response:
    if outcome.notice is None:
        return see_other(outcome.url)
    joint = "&" if "?" in outcome.url else "?"
    return see_other(f"{outcome.url}{joint}{urlencode({PARAMETER: outcome.notice.code})}")
