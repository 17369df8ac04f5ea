"""An answer that cannot be ended rightly: its connection is reset, so that it looks broken."""

import asyncio

from facade.errors import FacadeError


class PullAbortedError(FacadeError):
    """The connection was reset in the middle of an answer, so that it cannot look complete."""


def abort(transport: asyncio.Transport | None) -> None:
    """Reset the connection if there still is one, dropping what waits in its buffers."""
    if transport is not None:
        transport.abort()
