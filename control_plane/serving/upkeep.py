"""Follows the signed log in the background, and saves how far it was seen."""

import asyncio
from collections.abc import Iterator
from typing import Final

from attrs import define, field

from control_plane.errors import DatabaseUnavailableError, SchemaOutdatedError
from control_plane.prefix import PREFIX
from control_plane.proof.audit_chain import AuditChain, SeenChain
from control_plane.proof.generations_file import GenerationsFile, GenerationsFileError
from control_plane.proof.history import History
from control_plane.proof.missing_keys import MissingKeys
from control_plane.troubles import ControlPlanePart, Trouble

KEEP_SECONDS: Final = 2.0  # what was seen just before a kill may be forgotten
STATE_DIR: Final = f"{PREFIX}_STATE_DIR"


@define(eq=False)
class Upkeep:
    """Follows the signed log; saves what it has seen of it, if there is a state folder."""

    _chain: AuditChain
    history: History
    _missing_keys: MissingKeys
    _file: GenerationsFile | None
    _problem: str | None = field(default=None, init=False)
    _unkept: dict[str, int] = field(factory=dict, init=False)
    _kept: SeenChain | None = field(default=None, init=False)

    async def run(self) -> None:
        """Save and compare until cancelled."""
        while True:
            await self.keep()
            await self.compare()
            await asyncio.sleep(KEEP_SECONDS)

    async def keep(self) -> None:
        """Write what is new; what could not be written is tried again the next time."""
        self._unkept |= self._chain.highest.take_changes()
        log = self._chain.log
        if self._file is None or log is None:
            return
        chain = SeenChain(log.end, log.restores)
        if chain == self._kept and not self._unkept:
            return
        try:
            await asyncio.to_thread(self._file.put, self._unkept, chain)
        except GenerationsFileError as error:
            self._problem = str(error)
            return
        self._problem, self._unkept, self._kept = None, {}, chain

    async def compare(self) -> None:
        """Have the log read and followed; if the database is away, the next time."""
        try:
            await self._chain.look_after()
            self.history.look()
            await self._missing_keys.look()
        except (DatabaseUnavailableError, SchemaOutdatedError):
            return  # `/readyz` says so

    def troubles(self) -> Iterator[Trouble]:
        """Yield why the log is refused, what went back, and why nothing is saved."""
        if self._chain.problem is not None:
            yield Trouble(
                ControlPlanePart.AUDIT_LOG, self._chain.problem, stops=True, kind="refused"
            )
        if (older := self.history.trouble()) is not None:
            yield older
        if (missing := self._missing_keys.trouble()) is not None:
            yield missing
        if self._problem is not None:
            words = f"{STATE_DIR}: {self._problem}; a restart would forget what was seen since"
            yield Trouble(ControlPlanePart.STATE_FOLDER, words, stops=False, kind=self._problem)
