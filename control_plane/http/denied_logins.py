"""Logins that were refused: counted, and told in the log."""

from collections.abc import Callable

from aiohttp import web
from attrs import frozen

from control_plane.errors import NotAuthenticatedError, NotPermittedError, TooManyRequestsError
from control_plane.http.request_marks import is_told
from control_plane.operators.stranger_lines import StrangerLines
from shared.structured_log import get_logger

_log = get_logger("control_plane.app")


@frozen
class DeniedLogins:
    """Counts them, and tells of those whose requests have lines in the log."""

    _count: Callable[[], None]
    _lines: StrangerLines

    def note(
        self,
        error: NotAuthenticatedError | NotPermittedError | TooManyRequestsError,
        request: web.Request,
        route: str,
    ) -> None:
        """Note that a login was refused."""
        self._count()
        if not is_told(request, self._lines):
            return
        reason, claimed_name = str(error), None
        if isinstance(error, NotAuthenticatedError):
            reason, claimed_name = error.reason, error.claimed_name
        _log.warning(
            "login denied", reason=reason, actor=claimed_name, peer=request.remote, route=route
        )
