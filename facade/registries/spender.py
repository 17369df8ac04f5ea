"""Who pays for what a registry is asked just now: each request, each token, each byte.

One pull may take many requests: a login, a token, redirects, a resume. They are made far below the
code that knows the device, partly in tasks of their own. asyncio hands a context on to each task
that is started in it. So a device pays for all that its pull starts, even after it has left:

    with spending(payer):
        ...  # this device pays for everything that is asked of a registry from here on

A blob that arrives for several is begun by one of them; each span of it is paid by the reader that
it is fetched for (`arrivals/gaps.py`). What nobody pays for is free: proofs in the background, for
example.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol


class Spender(Protocol):
    """Takes note of what is spent."""

    def spend_request(self) -> None:
        """Count a request: to a registry, to where it points, or to a token endpoint."""

    def spend_token(self) -> None:
        """Count a token that is asked for. The request for it is counted separately."""

    def spend_bytes(self, count: int) -> None:
        """Count bytes of a body."""


class SpendsNothing:
    """Pays for nothing."""

    def spend_request(self) -> None:
        """Count nothing."""

    def spend_token(self) -> None:
        """Count nothing."""

    def spend_bytes(self, count: int) -> None:
        """Count nothing."""


NOBODY: Final[Spender] = SpendsNothing()
_spender: Final[ContextVar[Spender]] = ContextVar("spender", default=NOBODY)


@contextmanager
def spending(spender: Spender) -> Iterator[None]:
    """Let `spender` pay for what is asked of registries within the block."""
    token = _spender.set(spender)
    try:
        yield
    finally:
        _spender.reset(token)


def spender_now() -> Spender:
    """Return who pays here."""
    return _spender.get()


def spend_request() -> None:
    """Note that a request is sent."""
    _spender.get().spend_request()


def spend_token() -> None:
    """Note that a token is asked for."""
    _spender.get().spend_token()


def spend_bytes(count: int) -> None:
    """Note that bytes of a body have come."""
    _spender.get().spend_bytes(count)
