"""Who was sent unverified ranges of a blob: noted once for each device, told if it was wrong."""

from pathlib import Path
from typing import Final

from attrs import define, field

from facade.loop.thread_work import finish_in_thread
from facade.store.marked_devices import MAX_NAMED, note_marked, read_marked
from shared.oci import Digest
from shared.structured_log import get_logger

MAX_NOTED: Final = 4 * MAX_NAMED  # remembered of one blob; more of them may be noted twice

_log = get_logger("facade.marked_ranges")


@define(eq=False)
class MarkedRanges:
    """Those of one arriving blob. For one event loop."""

    _digest: Digest
    _folder: Path
    _noted: set[str] = field(factory=set, init=False)

    async def note(self, device: str) -> None:
        """Note that a device is sent one.

        If that fails, the log says so: the disk fails, or the blob has come or was wrong.
        """
        if device in self._noted:
            return
        if len(self._noted) < MAX_NOTED:
            self._noted.add(device)
        try:
            await finish_in_thread(note_marked, self._folder, device)
        except OSError as error:
            _log.warning("marked range not noted", device=device, reason=type(error).__name__)

    async def tell(self) -> None:
        """Tell the log who was sent some of what turned out to be wrong."""
        try:
            marked = await finish_in_thread(read_marked, self._folder)
        except OSError as error:
            _log.error("nobody knows who was sent marked ranges", reason=type(error).__name__)
            return
        for device in marked.named:
            _log.error("marked range of a wrong blob had gone out", device=device)
        if marked.named or marked.others:
            count = len(marked.named) + marked.others
            _log.error("marked ranges were wrong", digest=self._digest, count=count)
