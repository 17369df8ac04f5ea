"""An arriving blob's folder, as whoever brings the blob takes it up.

If nothing is there, the registry is asked at once, and the folder is made meanwhile. If something
is there, that has to be known before: it says what is asked for.
"""

from pathlib import Path
from typing import Self

from attrs import frozen

from facade.arrivals.first_answer import Left
from facade.store.beginnings import BeginningLock
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

    def take_up(self) -> "TakenUp":
        """Return it: it is taken up."""
        return self

    def let_go(self) -> None:
        """Leave the file as it is. Blocks."""
        self.told.close()
        self.ingest.release()


@frozen
class NothingThere:
    """The folder of a blob of which nothing is there, and that nobody else begins to bring."""

    _folder: Path
    _beginning: BeginningLock
    left: None = None

    def take_up(self) -> TakenUp | None:
        """Make the folder and own it; None if somebody else does, after all.

        Blocks; raises `OSError`. To be called once, in place of `let_go`.
        """
        try:
            taken_up = TakenUp.acquire(self._folder)
        finally:
            self._beginning.let_go()
        if taken_up is not None and taken_up.left is not None:  # by an earlier version, meanwhile
            taken_up.let_go()
            return None
        return taken_up

    def let_go(self) -> None:
        """Make nothing."""
        self._beginning.let_go()


def _what_is_left(ingest: OwnedIngest) -> Left | None:
    announced, size = ingest.announced, ingest.size
    if announced is None or not size:
        return None
    ingest.touch()
    if announced.length is None:
        return Left(None, Coverage(), size)
    return Left(announced.length, ingest.come(announced.length), ingest.allocated)
