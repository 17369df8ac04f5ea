"""A login that may only read fills PostgreSQL's notification queue, and keeps it full."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

PAYLOAD_CHARACTERS = 7000  # nearly a page of the queue


@asynccontextmanager
async def flooded_notifications(url: str) -> AsyncIterator[None]:
    """Fill the queue until PostgreSQL refuses; it stays full within the block."""
    listener = await asyncpg.connect(url)
    writer = await asyncpg.connect(url)
    try:
        await listener.execute("LISTEN flood")
        await listener.execute("BEGIN")
        await listener.fetchval("SELECT 1")
        number = 0
        while True:
            payload = f"{number:{PAYLOAD_CHARACTERS}}"
            try:
                await writer.execute("SELECT pg_notify('flood', $1)", payload)
            except asyncpg.ProgramLimitExceededError:
                break
            number += 1
        # A message smaller than a payload must not fit either.
        while True:
            try:
                await writer.execute("NOTIFY flood")
            except asyncpg.ProgramLimitExceededError:
                break
        yield
    finally:
        writer.terminate()
        listener.terminate()
