"""Who brings a blob for a connection, through whatever repository and in whatever process.

Each of them has a share of a lock in the file of `beginnings`, from before its registry answers to
its end. So one who has just been answered knows, without a look at the disk, whether others bring
the same. If not, it may go first: until it has announced the blob, nobody else announces it.

Processes of an earlier version have no share.
"""

import os
from pathlib import Path
from typing import Final, Self

from attrs import frozen

from facade.store.file_lock import (
    first_lock,
    lock_span_exclusively,
    lock_span_shared,
    unlock_span,
)
from shared.own_files import open_own

_DIGITS: Final = 15  # hexadecimal, of a name that is a hash
_FIRST: Final = 2**60  # behind the bytes that whoever begins has locked
_SHARES, _GOING_FIRST = range(2)  # the bytes of one blob
_BYTES_EACH: Final = 2


@frozen
class BringingShare:
    """The share of one who brings a blob. It ends with the process."""

    _descriptor: int
    _place: int

    @classmethod
    def take(cls, file: Path, name: str) -> Self:
        """Note that somebody brings what has this name. Blocks; raises `OSError`."""
        place = _FIRST + int(name[:_DIGITS], 16) * _BYTES_EACH
        share = cls(open_own(file, os.O_RDWR | os.O_CREAT), place)
        try:
            lock_span_shared(share._descriptor, place + _SHARES, 1)
        except BaseException:
            share.let_go()
            raise
        return share

    @property
    def is_only_one(self) -> bool:
        """Whether nobody else brings the same."""
        return not self._has_others()

    def goes_first(self) -> bool:
        """Keep others from announcing the same; False if somebody else brings it."""
        if self._has_others() or not self._lock_going_first():
            return False
        if not self._has_others():  # whoever comes from now on sees that lock
            return True
        self.has_gone()
        return False

    @property
    def another_goes_first(self) -> bool:
        """Whether somebody else brings it who is about to announce it."""
        return first_lock(self._descriptor, self._place + _GOING_FIRST, 1) is not None

    def has_gone(self) -> None:
        """Let others announce the same: they see what was announced."""
        unlock_span(self._descriptor, self._place + _GOING_FIRST, 1)

    def let_go(self) -> None:
        """Bring it no more."""
        os.close(self._descriptor)

    def _has_others(self) -> bool:
        return first_lock(self._descriptor, self._place + _SHARES, 1) is not None

    def _lock_going_first(self) -> bool:
        return lock_span_exclusively(self._descriptor, self._place + _GOING_FIRST, 1)
