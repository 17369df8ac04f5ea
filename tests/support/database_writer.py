"""Somebody who may write everything in Postgres, and has no key."""

from typing import Self

import asyncpg
from attrs import define, field, frozen

from shared.statement import Statement, StoredStatement


@frozen
class Row:
    """A row behind the facade's view, column by column."""

    subject: str
    type: str
    key_id: str
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    generation: int

    @classmethod
    def of(cls, stored: StoredStatement, statement: Statement) -> Self:
        """Return the row that the control plane would write for an envelope."""
        return cls(
            statement.subject,
            stored.type,
            stored.key_id,
            stored.payload,
            stored.signature,
            statement.generation,
        )


@define
class DatabaseWriter:
    """Reads and replaces rows as the owner of the schema."""

    owner_url: str

    async def row(self, subject: str) -> Row:
        """Return a subject's row."""
        connection = await asyncpg.connect(self.owner_url)
        try:
            found = await connection.fetchrow(
                "SELECT subject, type, key_id, payload, signature, generation"
                " FROM statements WHERE subject = $1",
                subject,
            )
        finally:
            await connection.close()
        assert found is not None
        return Row(**dict(found))

    async def put(self, row: Row) -> None:
        """Write a row in place of its subject's."""
        await self.sql(
            "INSERT INTO statements (subject, type, key_id, payload, signature, generation)"
            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (subject) DO UPDATE SET type = $2,"
            " key_id = $3, payload = $4, signature = $5, generation = $6",
            row.subject,
            row.type,
            row.key_id,
            row.payload,
            row.signature,
            row.generation,
        )

    async def delete(self, subject: str) -> None:
        """Delete a subject's row."""
        await self.sql("DELETE FROM statements WHERE subject = $1", subject)

    async def silence(self) -> None:
        """Switch the triggers off, so that nobody is notified any more."""
        await self.sql("ALTER TABLE statements DISABLE TRIGGER ALL")

    async def sql(self, statement: str, *parameters: object) -> None:
        """Run one statement."""
        connection = await asyncpg.connect(self.owner_url)
        try:
            await connection.execute(statement, *parameters)
        finally:
            await connection.close()

    async def value(self, query: str, *parameters: object) -> object:
        """Return the one value of a query."""
        connection = await asyncpg.connect(self.owner_url)
        try:
            return await connection.fetchval(query, *parameters)
        finally:
            await connection.close()
