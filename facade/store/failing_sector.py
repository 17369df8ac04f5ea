"""One file among many that the disk fails to read, or that is not ours: the others go on."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from shared.own_files import NotOwnError
from shared.structured_log import get_logger

_log = get_logger("facade.store")


def is_bad_place(error: OSError) -> bool:
    """Tell whether only this file fails, not the store: a bad sector, or somebody else's file."""
    return error.errno == errno.EIO or isinstance(error, NotOwnError)


@contextmanager
def passing_over_bad_places(action: str) -> Iterator[None]:
    """Leave the block if one file fails, and log what was not done; raise any other error."""
    try:
        yield
    except OSError as error:
        if not is_bad_place(error):
            raise
        path, reason = str(error.filename), type(error).__name__
        _log.error("disk failed, passed over", action=action, path=path, reason=reason)
