"""When each operator's token was used last, in the database: for people, and nothing rests on it.

A login only notes the operator's name. What was noted is written in the background, at most once a
minute for each operator, so no call waits for it; a control plane that is killed forgets some
seconds of it. Whoever may write there can only tell people something wrong.
"""

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import ClassVar, Final

from attrs import define, field
from typing_extensions import override

from control_plane.clock import Clock
from control_plane.database.database import Database, DatabaseConnection
from control_plane.database.regular_look import RegularLook
from control_plane.errors import SchemaOutdatedError
from shared.bounded_map import BoundedMap

WRITTEN_EVERY_SECONDS: Final = 60.0  # for each operator: a row of some 60 bytes
MAX_NOTED_NAMES: Final = 4096  # operators that called since the last write; the oldest go
_WRITE: Final = """
INSERT INTO public.operator_uses AS present (name, used_at)
SELECT * FROM unnest($1::text[], $2::timestamptz[])
ON CONFLICT (name) DO UPDATE SET used_at = greatest(present.used_at, excluded.used_at)
"""
_READ: Final = """
SELECT name, used_at FROM public.operator_uses
WHERE name = ANY ($1::text[]) AND used_at BETWEEN '2000-01-01Z' AND '9000-01-01Z'
"""


@define(eq=False)
class LastUses(RegularLook):
    """Notes who was let in, and writes that."""

    every_seconds: ClassVar = 5.0  # and so much is forgotten if the process is killed

    _clock: Clock
    _monotonic: Callable[[], float] = time.monotonic
    _noted: BoundedMap[str, datetime] = field(init=False)
    _written: BoundedMap[str, None] = field(init=False)  # lately

    def __attrs_post_init__(self) -> None:
        """Have noted nobody yet."""
        self._noted = BoundedMap(MAX_NOTED_NAMES)
        self._written = BoundedMap(
            MAX_NOTED_NAMES, seconds=WRITTEN_EVERY_SECONDS, clock=self._monotonic
        )

    def note(self, name: str) -> None:
        """Note that an operator was let in just now."""
        if name not in self._written:
            self._noted.set(name, self._clock())

    @override
    async def look(self) -> None:
        """Write what was noted, if anything was; if the database is away, the next time."""
        if len(self._noted):
            await RegularLook.look(self)

    @override
    async def ask(self, connection: DatabaseConnection) -> None:
        """Write what was noted."""
        noted = {name: at for name in self._noted if (at := self._noted.get(name)) is not None}
        await connection.execute(_WRITE, list(noted), list(noted.values()))
        for name in noted:
            self._noted.pop(name)
            self._written.set(name, None)


async def fetch_last_uses(database: Database, names: Collection[str]) -> Mapping[str, datetime]:
    """Return when these operators were let in last, as far as it was written.

    It is empty if the database has not been migrated since there is such a table.
    """
    try:
        async with database.connection(tells=False) as connection:
            rows = await connection.fetch(_READ, list(names))
    except SchemaOutdatedError:
        return {}
    return {row["name"]: row["used_at"] for row in rows}
