"""What is asked of the database again and again in the background, for metrics and `/readyz`."""

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar

from attrs import define

from control_plane.database.database import Database, DatabaseConnection
from control_plane.errors import DatabaseUnavailableError, SchemaOutdatedError


@define(eq=False)
class RegularLook(ABC):
    """Asks every `every_seconds`. While the database is away, the last answer stands."""

    every_seconds: ClassVar[float]

    _database: Database

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self.every_seconds)

    async def look(self) -> None:
        """Ask once; if the database is away, the next time."""
        try:
            async with self._database.connection(tells=False) as connection:
                await self.ask(connection)
        except (DatabaseUnavailableError, SchemaOutdatedError):
            return  # `/readyz` says so

    @abstractmethod
    async def ask(self, connection: DatabaseConnection) -> None:
        """Ask, and keep or show what is answered."""
