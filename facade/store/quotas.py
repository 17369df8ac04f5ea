"""The quotas of the processes of one store: a warning if they differ, or if one is far too small.

Each process holds a share of the lock of a file that is named after its quota. So the others see it
exactly as long as the process lives.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import define

from facade.store.file_lock import is_locked, lock_shared
from facade.store.layout import Layout
from shared.own_files import open_own
from shared.structured_log import get_logger

# An image's layers are larger than that together. What does not fit is fetched for each device.
MIN_USEFUL_BYTES: Final = 256 * 1024 * 1024
MAX_NAMED_QUOTAS: Final = 3  # in a line of the log
_WHY_SMALL: Final = (
    f"less than {MIN_USEFUL_BYTES} bytes hold hardly an image: what does not fit is fetched from"
    " the registry by each device again; 0 keeps nothing"
)
_SUFFIX: Final = ".quota.lock"
_SETTING: Final = "FACADE_CACHE_MAX_BYTES"
_log = get_logger("facade.store")


@define(eq=False)
class QuotaMark:
    """The quota of this process, as the others of the store see it until it is closed."""

    _descriptor: int | None  # None: the folder could not be written, and nobody sees it

    @classmethod
    def set(cls, layout: Layout, max_bytes: int) -> "QuotaMark":
        """Show it. Warn if it is too small, or differs from another process's. Blocks."""
        if max_bytes < MIN_USEFUL_BYTES:
            _log.warning("store is small", variable=_SETTING, limit=max_bytes, reason=_WHY_SMALL)
        own = layout.root / f"{max_bytes}{_SUFFIX}"
        try:
            descriptor = open_own(own, os.O_RDWR | os.O_CREAT)
        except OSError as error:  # a full disk, say: the store says so itself when it matters
            _log.debug("the quota is not shown", reason=type(error).__name__)
            return cls(None)
        mark = cls(descriptor)
        with suppress(OSError):  # the file went away meanwhile, or is not ours
            lock_shared(descriptor)
            if others := sorted(_others(layout.root, own)):
                named = ", ".join(str(each) for each in others[:MAX_NAMED_QUOTAS])
                todo = "give all of them the same number"
                reason = f"another process keeps {named} bytes: {todo}"
                _log.warning("quotas differ", variable=_SETTING, limit=max_bytes, reason=reason)
        return mark

    def close(self) -> None:
        """Show it no more. Safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _others(folder: Path, own: Path) -> Iterator[int]:
    """Yield the quotas of other processes that live."""
    for each in folder.glob(f"*{_SUFFIX}"):
        number = each.name.removesuffix(_SUFFIX)
        if each == own or not number.isdecimal():
            continue
        descriptor = open_own(each, os.O_RDWR)
        try:
            if is_locked(descriptor):
                yield int(number)
        finally:
            os.close(descriptor)
