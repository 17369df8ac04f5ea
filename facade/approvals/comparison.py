"""Which rows of the database differ from what is served, by their signatures alone.

A scan reads every subject and its signature. What differs is remembered up to a bound in bytes; if
there is more, the scan ends there, and the next one goes on behind what was found.
"""

import asyncio
from contextlib import aclosing
from typing import Final

import asyncpg
from attrs import define, field

from facade.approvals.remembered_statements import RememberedStatements
from facade.approvals.statement_rows import SignaturePage, signature_pages

# What differs is read in parts of so many bytes of names and signatures: 65,000 approvals.
MAX_DIFFERING_BYTES: Final = 16 * 1024 * 1024
DIFFERING_COST_BYTES: Final = 200  # of a name and a signature, without the name's characters


@define(eq=False)
class Comparison:
    """What a scan of the signatures has found so far, bounded in bytes."""

    _remembered: RememberedStatements
    _skip: int  # so many rows that differ were read already, and still differ
    present: set[str] = field(factory=set, init=False)  # of what is known
    differing: list[tuple[str, bytes | None]] = field(factory=list, init=False)
    rows: int = field(default=0, init=False)
    nameless: int = field(default=0, init=False)
    is_whole: bool = field(default=True, init=False)  # else there is more that differs
    _bytes: int = field(default=0, init=False)

    def take(self, page: SignaturePage) -> None:
        """Compare a page."""
        self.rows += len(page.signatures) + page.nameless
        self.nameless += page.nameless
        for row in page.signatures:
            if self._remembered.knows(row[0]):
                self.present.add(row[0])
            if not self._remembered.differs(*row):
                continue
            if self._skip:
                self._skip -= 1
                continue
            self._bytes += len(row[0].encode()) + DIFFERING_COST_BYTES
            self.is_whole = self._bytes <= MAX_DIFFERING_BYTES
            if not self.is_whole:
                return
            self.differing.append(row)


async def compared(
    connection: asyncpg.Connection, remembered: RememberedStatements, skip: int
) -> Comparison:
    """Return which rows differ from what is served, without the first `skip` of these.

    Raises one of `DATABASE_FAILURES`.
    """
    comparison = Comparison(remembered, skip)
    async with aclosing(signature_pages(connection)) as pages:
        async for page in pages:
            comparison.take(page)
            if not comparison.is_whole:
                break
            await asyncio.sleep(0)  # a page that came without waiting lets others go first
    return comparison
