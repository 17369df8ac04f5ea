"""Signing in to the console, and out of it, at the OpenID provider.

    sign-in page --link--> here --redirect--> provider --redirect--> callback --> a session
    sign-out --> a page with a link --> provider, which ends its own session too
    provider --logout token--> back-channel: what the person held of before is refused

Strangers may begin logins and send answers. What comes back without the cookie of a login costs
nothing; with one, it takes from the same share of refused logins as a wrong token does, before the
provider is asked.
"""

import re
from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import urlsplit

import orjson
from aiohttp import hdrs, web
from attrs import frozen
from yarl import URL

from control_plane.clock import Clock
from control_plane.console.local_path import ROOT, local_path
from control_plane.console.rendering import see_other
from control_plane.console.security_headers import PAGE_HEADERS
from control_plane.console.session_cookie import COOKIE_OF_LOGIN, forget_login, keep_login
from control_plane.console.sign_in import NEXT, SIGN_IN, SignIn, SignInWay
from control_plane.console.submission import MAX_STRANGERS_FORM_BYTES, parse_submission
from control_plane.errors import (
    NotAuthenticatedError,
    NotPermittedError,
    SignOnUnavailableError,
    TooManyRequestsError,
)
from control_plane.http.denied_logins import DeniedLogins
from control_plane.http.http_call import content_of
from control_plane.http.operation import JSON
from control_plane.http.problems import problem_of
from control_plane.operators.login_gate import RefusedLogins
from control_plane.sessions.session import Session
from control_plane.sessions.session_seal import SessionSeal
from control_plane.sessions.sessions import Sessions
from control_plane.single_sign_on.authorization import CodeRequest, LoginFailedError
from control_plane.single_sign_on.begun_login import BegunLogin, begun_login
from control_plane.single_sign_on.claims import logout_of
from control_plane.single_sign_on.code_exchange import CodeExchange
from control_plane.single_sign_on.presented_token import PresentedToken, TokenRefusedError
from control_plane.single_sign_on.provider_logouts import ProviderLogouts
from control_plane.single_sign_on.sign_on import SignOn
from shared.site import site_of
from shared.structured_log import get_logger

BEGIN: Final = f"{ROOT}single-sign-on"
CALLBACK: Final = f"{BEGIN}/callback"
BACK_CHANNEL: Final = f"{BEGIN}/logout"
END: Final = f"{BEGIN}/end"
LOGOUT_TOKEN: Final = "logout_token"  # noqa: S105  # a field's name
FORM: Final = "application/x-www-form-urlencoded"
WAY: Final = SignInWay("Sign in with single sign-on", BEGIN)
_HOST: Final = re.compile(r"(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_log = get_logger("control_plane.console")


@frozen
class ProviderSignIn:
    """The console's side of the provider."""

    _exchange: CodeExchange
    _logouts: ProviderLogouts
    _sessions: Sessions
    _seal: SessionSeal
    _refused_logins: RefusedLogins
    _denied: DeniedLogins
    _clock: Clock
    _public_url: str | None

    @classmethod
    def of(
        cls,
        sign_on: SignOn,
        sessions: Sessions,
        seal: SessionSeal,
        refused_logins: RefusedLogins,
        denied: DeniedLogins,
        *,
        public_url: str | None,
    ) -> Self | None:
        """Return it, if the console has a client at a provider."""
        configured = sign_on.configured
        exchange = configured.code_exchange if configured else None
        if configured is None or exchange is None:
            return None
        return cls(
            exchange,
            configured.logouts,
            sessions,
            seal,
            refused_logins,
            denied,
            configured.clock,
            public_url,
        )

    async def begin(self, request: web.Request) -> web.Response:
        """Send the browser to the provider, with a cookie that only this login opens."""
        after = local_path(request.query.get(NEXT, ROOT))
        code_request = CodeRequest.new(f"{self._base(request)}{CALLBACK}")
        begun = BegunLogin(code_request, after, self._clock())
        response = see_other(await self._exchange.address(code_request))
        keep_login(response, begun.sealed(self._seal))
        return response

    async def come_back(
        self, request: web.Request, sign_in: SignIn, present: Session | None
    ) -> web.Response:
        """Begin a session of whoever comes back from the provider, or say why not.

        `present` is the browser's session, if it has one: it goes on under nobody else's name.
        """
        after = ROOT
        try:
            begun = begun_login(request.cookies.get(COOKIE_OF_LOGIN), self._seal, self._clock())
            after = begun.after
            response = await self._signed_in(request, begun, sign_in, present)
        except LoginFailedError as error:
            refused = NotAuthenticatedError(str(error), reason=f"single sign-on: {error}")
            response = self._refused(request, sign_in, after, refused)
        except (NotAuthenticatedError, NotPermittedError, TooManyRequestsError) as error:
            response = self._refused(request, sign_in, after, error)
        except SignOnUnavailableError as error:
            response = sign_in.shown(request, after, str(error), problem_of(error).status)
        forget_login(response)
        return response

    async def back_channel(self, request: web.Request) -> web.Response:
        """Take the provider's word that somebody logged out there.

        It takes from no share, so that strangers who use up theirs keep no logout away. Verifying
        takes less of a processor than the request itself; how often strangers are answered is
        bounded (`http.stranger_pace`), and so is how often the provider's keys are fetched.

        OpenID Connect Back-Channel Logout section 2.5: 200, or 400 with what is wrong.
        """
        try:
            submission = parse_submission(
                await content_of(request.clone(client_max_size=MAX_STRANGERS_FORM_BYTES), FORM)
            )
            token = PresentedToken.parse(submission.text(LOGOUT_TOKEN))
            settings = self._exchange.settings
            terms = {"issuer": settings.issuer, "client_id": self._exchange.client_id}
            # Before a key is looked for: what is of somebody else costs no signature.
            logout_of(token.unverified_claims, token.type, **terms, at=self._clock())
            claims = await self._exchange.provider.verified_claims(token)
            logout = logout_of(claims, token.type, **terms, at=self._clock())
        except TokenRefusedError as error:
            refused = NotAuthenticatedError(str(error), reason=f"logout token: {error}")
            self._denied.note(refused, request, BACK_CHANNEL)
            return _answered(400, {"error": "invalid_request", "error_description": str(error)})
        ended_at = await self._logouts.note(logout, self._clock())
        if logout.person is not None:
            await self._sessions.end_of_person(str(logout.person), began_by=ended_at)
        elif logout.session_id is not None:
            await self._sessions.end_of_provider(logout.session_id, began_by=ended_at)
        _log.info("logged out at the provider", actor=str(logout.person) if logout.person else None)
        return _answered(200, {})

    async def end(self, request: web.Request) -> web.Response:
        """Send the browser to the provider, which ends its session too (RP-Initiated Logout)."""
        endpoint = (await self._exchange.provider.metadata()).end_session_endpoint
        if endpoint is None:
            return see_other(SIGN_IN)
        query = {
            "client_id": self._exchange.client_id,
            "post_logout_redirect_uri": f"{self._base(request)}{SIGN_IN}",
        }
        return see_other(str(URL(endpoint, encoded=True).extend_query(query)))

    async def _signed_in(
        self,
        request: web.Request,
        begun: BegunLogin,
        sign_in: SignIn,
        present: Session | None,
    ) -> web.Response:
        response = {name: request.query.getall(name) for name in request.query}
        if any(len(values) != 1 for values in response.values()):
            raise LoginFailedError("the provider's answer says something twice")
        self._take(request)
        try:
            logged_in = await self._exchange.logged_in(
                {name: values[0] for name, values in response.items()}, begun.request
            )
        except SignOnUnavailableError:  # nobody was refused
            self._refused_logins.give_back(site_of(request.remote or ""))
            raise
        self._refused_logins.give_back(site_of(request.remote or ""))
        if present is not None and present.operator.person not in (None, logged_in.operator.person):
            raise LoginFailedError(
                "the provider says that you are somebody else than the session of this browser:"
                " sign out first"
            )
        session = await self._sessions.begin(
            logged_in.operator, provider_session=logged_in.provider_session
        )
        return await sign_in.signed_in(request, session, begun.after)

    def _take(self, request: web.Request) -> None:
        """Take a refused login, which is given back to whoever is let in."""
        if not self._refused_logins.may_take(site_of(request.remote or "")):
            raise TooManyRequestsError(1, "refused logins")

    def _refused(
        self,
        request: web.Request,
        sign_in: SignIn,
        after: str,
        error: NotAuthenticatedError | NotPermittedError | TooManyRequestsError,
    ) -> web.Response:
        self._denied.note(error, request, CALLBACK)
        return sign_in.shown(request, after, str(error), problem_of(error).status)

    def _base(self, request: web.Request) -> str:
        """Return where browsers reach us: as it was configured, else as this one did.

        The provider knows the whole address of the callback, and sends nobody elsewhere.
        """
        if self._public_url is not None:
            parts = urlsplit(self._public_url)
            return f"{parts.scheme}://{parts.netloc}"
        host = request.headers.get(hdrs.HOST, "").lower()
        if not _HOST.fullmatch(host):
            raise NotAuthenticatedError("the request names no host", reason="no host")
        is_here = urlsplit(f"//{host}").hostname in _LOOPBACK
        scheme = "http" if is_here and not request.secure else "https"
        return f"{scheme}://{host}"


def _answered(status: int, body: Mapping[str, str]) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        content_type=JSON,
        headers={**PAGE_HEADERS, "Cache-Control": "no-store"},
    )
