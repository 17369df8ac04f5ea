"""Failures that are kept, or raised for several who wait: without the frames they came through.

An exception holds its traceback, this the frames, and these whatever was in their variables: a body
of 4 MiB that was wrong, say. If a frame holds the exception too (in a variable, or by way of a task
that ended with it), they hold each other until the garbage collector comes, which is seldom.

So: what is kept is `without_frames`, and each who waits raises an instance of its own. A variable
that is raised is let go of: `raise` within `except`, or `raise made()`.
"""

from typing import Final, TypeVar

MAX_CAUSES: Final = 8  # of a failure, and of that one again; there are two

_Failure = TypeVar("_Failure", bound=BaseException)


def without_frames(failure: _Failure) -> _Failure:
    """Return another instance that says the same, and its causes, without their tracebacks."""
    return _copy(failure, MAX_CAUSES)


def forget_frames(error: BaseException) -> None:
    """Let go of where an error of aiohttp's was raised.

    aiohttp keeps it with the connection and with the body's stream, which the frames hold that
    read them.
    """
    for each in (error, error.__cause__, error.__context__):
        if each is not None:
            each.__traceback__ = None


def _copy(failure: _Failure, causes: int) -> _Failure:
    kind = type(failure)
    copy = kind.__new__(kind, *failure.args)  # not made anew: each class has arguments of its own
    copy.__dict__.update(failure.__dict__)
    if causes and failure.__cause__ is not None:
        copy.__cause__ = _copy(failure.__cause__, causes - 1)
    return copy
