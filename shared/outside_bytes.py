"""Marks functions that read bytes from outside, so that nobody forgets to attack them.

A test holds that each marked function has a property test and an attack (`tests/adversary`). What
libraries read for us (HTTP, TLS, PostgreSQL's protocol, X.509, JSON) is in a list there.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeVar

MARK: Final = "__outside_bytes_of__"
_Function = TypeVar("_Function", bound=Callable[..., object])


class Party(Enum):
    """Who wrote the bytes."""

    DEVICE = "a device with a good certificate"
    REGISTRY = "a registry, a token endpoint, a blob store, a proxy"
    DATABASE = "whoever writes in Postgres, or stands before it"
    OPERATOR = "an operator of any role, also at the command line"
    STRANGER = "somebody without certificate or token"
    FILE = "a file that we did not write, or a disk that failed"


def reads_bytes_of(*parties: Party) -> Callable[[_Function], _Function]:
    """Mark a function; it stays as it is.

    What it promises: any input is read within a bound of bytes and time, or refused with an error
    that its docstring names.
    """

    def mark(function: _Function) -> _Function:
        setattr(function, MARK, frozenset(parties))
        return function

    return mark
