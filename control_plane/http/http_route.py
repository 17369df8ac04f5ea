"""A route: an operation of the API that needs a role, and what answers it."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from attrs import frozen

from control_plane.http.http_call import Call
from control_plane.http.operation import OperatorsOperation
from control_plane.operators.permissions import Role

Handler = Callable[[Call], Awaitable[web.Response]]
OpenHandler = Callable[[web.Request], Awaitable[web.Response]]


@frozen
class Route:
    """An operation, and what answers it."""

    operation: OperatorsOperation
    handler: Handler

    @property
    def method(self) -> str:
        """The operation's method."""
        return self.operation.method

    @property
    def path(self) -> str:
        """The operation's path."""
        return self.operation.path

    @property
    def role(self) -> Role:
        """The role that the operation needs."""
        return self.operation.role
