"""`control-plane audit`: the log, straight from the database and held against the key.

Not through the API: whoever audits a control plane does not ask it for its word.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from control_plane.audit import MAX_REPORTED_FAULTS, verify_log, walk
from control_plane.commands.running import command, fail, load_key, say
from control_plane.commands.usage import Group
from control_plane.config import AuditSettings
from control_plane.database import Database
from control_plane.environment import settings
from control_plane.signer import Signer, Verifier


@click.group(cls=Group)
def audit() -> None:
    """Verify and export the audit log, from the database and with the statement key."""


@audit.command()
@command
async def verify() -> None:
    """Walk the chain and its signatures, and hold the present statements against it."""
    async with _log() as (database, verifier):
        report = await verify_log(database, verifier)
    for fault in report.faults[:MAX_REPORTED_FAULTS]:
        say(fault)
    if report.faults:
        fail(f"{report.entries} entries, {len(report.faults)} faults")
    say(f"{report.entries} entries: signatures, chain and statements agree")


@audit.command()
@command
async def export() -> None:
    """Print every entry's envelope as a JSON line."""
    unbelieved = 0
    async with _log() as (database, verifier), database.connection() as connection:
        async for line in walk(connection, verifier):
            sys.stdout.buffer.write(line.export())
            unbelieved += line.entry is None
    sys.stdout.buffer.flush()
    if unbelieved:
        fail(f"{unbelieved} entries are not believed; see `control-plane audit verify`")


@asynccontextmanager
async def _log() -> AsyncIterator[tuple[Database, Verifier]]:
    configured = settings(AuditSettings)
    files = (
        ("statement_public_key_file", configured.statement_public_key_file, Verifier.from_pem),
        (
            "statement_private_key_file",
            configured.statement_private_key_file,
            Signer.from_private_pem,
        ),
    )
    verifier = Verifier.of_all(
        *(load_key(field, path, load) for field, path, load in files if path)
    )
    async with Database.open(configured.database_url) as database:
        yield database, verifier
