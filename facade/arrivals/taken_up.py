"""An arriving blob's folder, as whoever brings the blob takes it up.

All that has to be found out there before the registry is asked is found out in one hop to a thread,
because a device waits for the first byte.
"""

from pathlib import Path
from typing import Self

from attrs import frozen

from facade.arrivals.first_answer import Left
from facade.store.ingest_file import OwnedIngest
from facade.store.wanted_spans import ToldWants
from facade.values.coverage import Coverage


@frozen
class TakenUp:
    """The file that is filled, what others wait for of it, and what a dead owner left."""

    ingest: OwnedIngest
    told: ToldWants  # before the blob is announced: whoever follows it opens the same file
    left: Left | None

    @classmethod
    def acquire(cls, folder: Path) -> Self | None:
        """Become the owner; None if somebody else is. Blocks; raises `OSError`."""
        ingest = OwnedIngest.acquire(folder)
        if ingest is None:
            return None
        try:
            left = _what_is_left(ingest)
            if left is not None:  # what its last owner had claimed in advance ended with that owner
                ingest.claim(left.counted)
            return cls(ingest, ToldWants.open(folder), left)
        except BaseException:
            ingest.release()
            raise

    def let_go(self) -> None:
        """Leave the file as it is. Blocks."""
        self.told.close()
        self.ingest.release()


def _what_is_left(ingest: OwnedIngest) -> Left | None:
    announced, size = ingest.announced, ingest.size
    if announced is None or not size:
        return None
    ingest.touch()
    if announced.length is None:
        return Left(None, Coverage(), size)
    return Left(announced.length, ingest.come(announced.length), ingest.allocated)
