"""A slot that is a file: it changes by one rename, so whoever opens it sees one model or the other.

On the store's file system the file is a second name of the stored blob, and takes no room.
"""

import errno
import os
from pathlib import Path
from typing import Final

from attrs import frozen

from device_agent.config import ModelSlot
from device_agent.descriptor import Descriptor
from device_agent.durable import make_folder, move, remove, sync_folder
from device_agent.errors import ApplyError
from device_agent.programs import run
from device_agent.store import Store, copy_durably, digest_of

RELOAD_SECONDS: Final = 300.0
READABLE: Final = 0o444  # by whoever uses it; written by nobody, for it may be the store's own


@frozen
class ModelPlacer:
    """One slot."""

    name: str
    slot: ModelSlot
    store: Store

    def hold(self, model: Descriptor, *, reload: bool) -> None:
        """Have the slot's path be this model. `reload`: say so even if it was there already."""
        is_new = not self._is_in_place(model)
        if is_new:
            try:
                make_folder(self.slot.path.parent, mode=0o755)
                self._place(self.store.place(model.digest))
            except OSError as error:
                raise ApplyError(f"{self.slot.path}: {error.strerror}") from error
        if is_new or reload:  # a kill may have come between the rename and the reload
            self._reload()

    def hold_nothing(self) -> None:
        """Have nothing at the slot's path."""
        if self.slot.path.exists():
            remove(self.slot.path)
            sync_folder(self.slot.path.parent)
            self._reload()

    def problem(self, model: Descriptor) -> str | None:
        """Return why the slot does not hold the model; None if it does. Reads the whole file."""
        try:
            if digest_of(self.slot.path) == model.digest:
                return None
        except OSError as error:
            return f"{self.name}: {self.slot.path}: {error.strerror}"
        return f"{self.name}: {self.slot.path} is not what was applied"

    def _place(self, blob: Path) -> None:
        blob.chmod(READABLE)
        linked = self.slot.path.with_name(f".{self.slot.path.name}.next")
        remove(linked)
        try:
            os.link(blob, linked)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}:
                raise
            copy_durably(blob, linked)  # another file system, or one without links
            linked.chmod(READABLE)
            os.utime(linked, ns=(blob.stat().st_mtime_ns,) * 2)  # by it the copy is known again
        move(linked, self.slot.path)

    def _is_in_place(self, model: Descriptor) -> bool:
        blob, path = self.store.place(model.digest), self.slot.path
        if not path.is_file() or not blob.is_file():
            return False
        here, there = path.stat(), blob.stat()
        return path.samefile(blob) or (
            (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
        )

    def _reload(self) -> None:
        if self.slot.reload:
            run(self.slot.reload, RELOAD_SECONDS)
