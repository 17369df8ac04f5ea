"""Failures that are kept, or told to several who wait, hold none of the frames they came through.

An exception holds its traceback, the traceback holds frames, and frames hold their variables: a
wrong body of 4 MiB, for example. If a frame holds the exception too (in a variable, or through a
task that ended with it), they hold each other until the garbage collector comes, which is seldom.

So a failure is kept `without_frames`, and everybody who waits raises an instance of their own. No
variable goes on holding what is raised: write `raise` within `except`, or `raise made()`.
"""

from typing import Final, TypeVar

MAX_CAUSES: Final = 8  # one below the other; there are two in practice

_Failure = TypeVar("_Failure", bound=BaseException)


def without_frames(failure: _Failure) -> _Failure:
    """Return another instance that says the same, and its causes, without their tracebacks."""
    return _copy(failure, MAX_CAUSES)


def forget_frames(error: BaseException) -> None:
    """Have an error of aiohttp's forget where it was raised.

    aiohttp keeps the error with the connection and with the body's stream, and the frames that read
    those hold them.
    """
    for each in (error, error.__cause__, error.__context__):
        if each is not None:
            each.__traceback__ = None


def _copy(failure: _Failure, causes: int) -> _Failure:
    kind = type(failure)
    copy = kind.__new__(kind, *failure.args)  # not by calling it: each class has other arguments
    copy.__dict__.update(failure.__dict__)
    if causes and failure.__cause__ is not None:
        copy.__cause__ = _copy(failure.__cause__, causes - 1)
    return copy
