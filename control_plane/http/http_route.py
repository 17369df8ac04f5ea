"""A route: the role that it needs, and what answers."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from attrs import frozen

from control_plane.http.http_call import Call
from control_plane.operators.permissions import Role

Handler = Callable[[Call], Awaitable[web.Response]]
OpenHandler = Callable[[web.Request], Awaitable[web.Response]]


@frozen
class Route:
    """A method and path, the role that it needs, and what answers."""

    method: str
    path: str
    role: Role
    handler: Handler
