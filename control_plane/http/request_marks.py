"""What is noted at a request for those who answer later: an operator's, told in the log."""

from typing import Final

from aiohttp import web

from control_plane.http.http_connection import HttpConnection
from control_plane.operators.stranger_lines import StrangerLines

_IS_TOLD: Final = web.RequestKey("is_told", bool)  # whether the request has lines in the log
_IS_OPERATORS: Final = web.RequestKey("is_operators", bool)  # whether somebody was let in


def note_operator(request: web.Request) -> None:
    """Note that an operator was let in: the request is told, and its connection gives way last."""
    request[_IS_OPERATORS] = request[_IS_TOLD] = True
    if isinstance(request.protocol, HttpConnection):
        request.protocol.note_operator()


def is_operators(request: web.Request) -> bool:
    """Tell whether an operator was let in."""
    return _IS_OPERATORS in request


def is_told(request: web.Request, lines: StrangerLines) -> bool:
    """Tell whether the request has lines in the log: an operator's has, a stranger's may have."""
    if _IS_TOLD not in request:
        request[_IS_TOLD] = lines.may_tell(request.remote)
    return request[_IS_TOLD]
