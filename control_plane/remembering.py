"""What a running control plane does beside answering: it keeps what it has seen, and compares."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

from attrs import define, field

from control_plane.belief import HighestGenerations
from control_plane.config import PREFIX
from control_plane.errors import DatabaseUnavailableError, SchemaOutdatedError
from control_plane.generations_file import GenerationsFile, GenerationsFileError
from control_plane.history import History
from control_plane.troubles import Part, Trouble

KEEP_SECONDS: Final = 2.0  # what was seen in the moments before a kill may be forgotten
COMPARE_SECONDS: Final = 30.0  # one query over everything that was ever seen
STATE_DIR: Final = f"{PREFIX}_STATE_DIR"


@define(eq=False)
class Remembering:
    """Keeps the highest generations on disk, where there is a folder; looks for older ones."""

    _highest: HighestGenerations
    history: History
    _file: GenerationsFile | None
    _problem: str | None = field(default=None, init=False)
    _unkept: dict[str, int] = field(factory=dict, init=False)

    async def run(self) -> None:
        """Keep and compare until cancelled."""
        next_look = time.monotonic()
        while True:
            await self.keep()
            if time.monotonic() >= next_look:
                await self.compare()
                next_look = time.monotonic() + COMPARE_SECONDS
            await asyncio.sleep(KEEP_SECONDS)

    async def keep(self) -> None:
        """Write what is new; what could not be written is tried again the next time."""
        self._unkept |= self._highest.take_changes()
        if self._file is None or not self._unkept:
            return
        try:
            await asyncio.to_thread(self._file.put, self._unkept)
        except GenerationsFileError as error:
            self._problem = str(error)
            return
        self._problem, self._unkept = None, {}

    async def compare(self) -> None:
        """Hold the database against what was seen; where it is away, another time."""
        try:
            await self.history.look()
        except (DatabaseUnavailableError, SchemaOutdatedError):
            return  # `/readyz` says so

    def troubles(self) -> Iterator[Trouble]:
        """Yield what went back, and why nothing is kept."""
        if (older := self.history.trouble()) is not None:
            yield older
        if self._problem is not None:
            words = f"{STATE_DIR}: {self._problem}; a restart would forget what was seen since"
            yield Trouble(Part.STATE_FOLDER, words, stops=False, kind=self._problem)
