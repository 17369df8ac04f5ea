"""An arriving blob that another process of the machine downloads, as this one reads along."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from attrs import frozen

from facade.store.announcement import Announcement
from facade.store.arriving_file import ArrivingFile
from facade.store.cached_open import WAITING, Opening, read_whole
from facade.store.ingest_file import PROOF
from facade.store.inode import inode_of
from facade.store.wanted_spans import ToldWant


@frozen
class FollowedIngest:
    """The file of another process's download."""

    folder: Path
    announced: Announcement
    file: ArrivingFile
    told: ToldWant | None  # None: its owner is of an earlier version, which does not look

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """Open what arrives; None if nothing does, or nothing is announced yet."""
        announced = Announcement.read(folder)
        if announced is None:
            return None
        try:
            file = ArrivingFile.open(folder, announced.length)
        except FileNotFoundError:
            return None
        told = None
        with suppress(OSError):
            told = ToldWant.open(folder)
        return cls(folder, announced, file, told)

    def close(self) -> None:
        """Close everything."""
        self.file.close()
        if self.told is not None:
            self.told.close()

    def is_proven(self, blob: Path, opening: Opening = WAITING) -> bool:
        """Tell whether digest and length agreed: by the proof, or by its place in the store.

        Raises what `opening` raises, too.
        """
        with suppress(FileNotFoundError):
            proof = read_whole(self.folder / PROOF, opening)
            if proof == str(self.file.inode.number).encode():
                return True
        with suppress(FileNotFoundError):
            descriptor = opening.open(blob)
            try:
                return inode_of(descriptor) == self.file.inode
            finally:
                os.close(descriptor)
        return False
