"""The cookies: a session's, a visitor's who has not signed in yet, and that of a login that began.

Browsers take a `__Host-` cookie from this very host alone, over TLS or from this machine, and send
it nowhere else. `Lax`: a link in a message opens a page, and no form of another site reaches us.
"""

import re
import secrets
from typing import Final

from aiohttp import web

SESSION_COOKIE: Final = "__Host-control-plane-session"
VISITOR_COOKIE: Final = "__Host-control-plane-visitor"
COOKIE_OF_LOGIN: Final = "__Host-control-plane-login"  # of one that has begun at the provider
_VISITOR_BYTES: Final = 16
_VISITOR: Final = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


def sealed_session(request: web.Request) -> str | None:
    """Return the value of the session's cookie."""
    return request.cookies.get(SESSION_COOKIE)


def keep_session(response: web.StreamResponse, sealed: str) -> None:
    """Have the browser keep the session; a visitor's cookie has served its purpose."""
    _set(response, SESSION_COOKIE, sealed)
    _delete(response, VISITOR_COOKIE)


def forget_session(response: web.StreamResponse) -> None:
    """Have the browser forget the session."""
    _delete(response, SESSION_COOKIE)


def visitor_of(request: web.Request) -> str | None:
    """Return what a visitor's form bears, if the browser sent such a cookie back."""
    visitor = request.cookies.get(VISITOR_COOKIE, "")
    return visitor if _VISITOR.fullmatch(visitor) else None


def new_visitor() -> str:
    """Return what nobody can guess."""
    return secrets.token_urlsafe(_VISITOR_BYTES)


def keep_visitor(response: web.StreamResponse, visitor: str) -> None:
    """Have the browser keep it."""
    _set(response, VISITOR_COOKIE, visitor)


def keep_login(response: web.StreamResponse, sealed: str) -> None:
    """Have the browser keep a login that has begun, until it comes back from the provider."""
    _set(response, COOKIE_OF_LOGIN, sealed)


def forget_login(response: web.StreamResponse) -> None:
    """Have the browser forget that login: its answer has come."""
    _delete(response, COOKIE_OF_LOGIN)


def _set(response: web.StreamResponse, name: str, value: str) -> None:
    response.set_cookie(name, value, path="/", secure=True, httponly=True, samesite="Lax")


def _delete(response: web.StreamResponse, name: str) -> None:
    response.del_cookie(name, path="/", secure=True, httponly=True, samesite="Lax")
