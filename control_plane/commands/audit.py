"""`control-plane audit`: the log, read from the database and verified with the statement key.

It does not ask the API: an auditor should not have to trust the process that is audited. Only
`list` asks the API, if no database is configured, for an operator who looks something up.
"""

import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import click

from control_plane.audit.accepted_restore import accept_restore
from control_plane.audit.audit_export import verify_export, verify_export_against
from control_plane.audit.last_export import note_export
from control_plane.audit.log_reading import (
    MAX_REPORTED_FAULTS,
    OTHER_COLUMNS,
    AuditLine,
    ChainReport,
    verify_log,
    walk,
)
from control_plane.clock import now
from control_plane.commands.answers import AuditEntryAnswer
from control_plane.commands.api_client import ApiClient
from control_plane.commands.columns import Column, to_the_second
from control_plane.commands.given_file import GivenFile, GivenFileType
from control_plane.commands.lifetime import LifetimeType
from control_plane.commands.printing import (
    ListPrinter,
    print_document,
    print_items,
    print_value,
    wide,
)
from control_plane.commands.running import (
    command,
    fail,
    load_key,
    say,
    shell_actor,
    signer_of,
    warn_of_exposure,
)
from control_plane.commands.usage import Group
from control_plane.commands.watching import newer_items, until_interrupted, watch
from control_plane.connections.revision import HOST
from control_plane.database.database import Database
from control_plane.errors import DatabaseUnavailableError, SchemaOutdatedError
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.audit_filter import EVERY_ENTRY, AuditFilter
from control_plane.proof.belief import HighestGenerations
from control_plane.proof.signer import Signer, Verifier
from control_plane.reading.times import parse_time
from control_plane.serving.config import (
    AuditFileSettings,
    AuditListSettings,
    AuditSettings,
    ClientSettings,
    OperatorsSettings,
)
from control_plane.serving.environment import settings
from shared.canonical_json import format_time
from shared.output_form import OutputForm, output_form

Entry = Mapping[str, Any]  # of the database, or of the API

PRINTED_ENTRIES: Final = 500  # at once, of entries from the database
_NARROW: Final = (
    Column("SEQ"),
    Column("AT"),
    Column("ACTOR", least=8),
    Column("ACTION"),
    Column("ABOUT", least=20),
)
_WIDE: Final = (*_NARROW, Column("DETAILS"))
_ABOUT_CONNECTIONS: Final = (
    "--about is how a subject begins: for a registry it is connection/ID, and"
    " `control-plane connections list --all --host HOST` has the IDs."
)


class MomentType(click.ParamType[datetime]):
    """A time, or how long ago it was: `2030-01-31T12:00:00Z`, `7d`."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment."""
        text = str(value)
        if text[-1:] in "smhd":
            ago: timedelta = LifetimeType().convert(text, param, ctx)
            return now() - ago
        try:
            return parse_time(text)
        except ValueError as error:
            self.fail(f"{error}, or how long ago, such as 7d", param, ctx)


@click.group(cls=Group)
def audit() -> None:
    """Verify, export and list the audit log, from the database and with the statement key.

    Where CONTROL_PLANE_DATABASE_URL is not set, `list` asks the API.
    """


@audit.command(
    examples=(
        "control-plane audit verify",
        "control-plane audit verify log.jsonl",
    )
)
@click.argument("file", type=GivenFileType(), required=False)
@output_form
@command
async def verify(file: GivenFile | None, *, form: OutputForm | None) -> None:
    """Verify the chain and its signatures, and compare the database with it.

    For a FILE that `audit export` wrote (- for standard input), this needs the statement key alone.
    If CONTROL_PLANE_DATABASE_URL is set, the present log must begin with everything in the FILE,
    so that entries show which were cut off or replaced since.
    """
    if file is None:
        async with _log() as (database, verifier):
            report = await verify_log(database, verifier)
        _tell(report, "signatures, chain and statements agree", form)
        return
    configured = settings(AuditFileSettings)
    verifier = _verifier(configured)
    agreement = "signatures and chain agree"
    if configured.database_url is None:
        report = verify_export(file, verifier)
    else:
        warn_of_exposure("database_url", configured.database_url)
        agreement += ", and the database has them all"
        async with Database.open(configured.database_url) as database, database.connection() as log:
            report = await verify_export_against(file, verifier, walk(log, verifier))
    if not (report.entries or report.all_faults):
        fail("the file is empty: it is no export of a log, which begins with its first act")
    _tell(report, agreement, form)


@audit.command(examples=("control-plane audit export > log.jsonl",))
@command
async def export() -> None:
    """Print every entry's envelope as a JSON line.

    The database notes when, and up to where: control planes show it in their metrics.
    """
    unbelieved, sequence = 0, 0
    async with _log() as (database, verifier):
        async with aclosing(_lines(database, verifier)) as lines:
            async for line in lines:
                sys.stdout.buffer.write(line.export())
                unbelieved += line.entry is None
                sequence = line.sequence
        sys.stdout.buffer.flush()
        if unbelieved:
            fail(f"{unbelieved} entries are not believed; see `control-plane audit verify`")
        if sequence:
            await _note_export(database, sequence)


async def _note_export(database: Database, sequence: int) -> None:
    """Note the export; a login that may not write exports all the same."""
    try:
        await note_export(database, sequence)
    except (DatabaseUnavailableError, SchemaOutdatedError) as error:
        say(f"The export is whole, but no control plane will show it in its metrics: {error}")


@audit.command("accept-restore", examples=("control-plane audit accept-restore --head 2f1c…",))
@click.option("--head", required=True, help="The hash of the entry that the log ends with now.")
@command
async def accept(head: str) -> None:
    """Accept a restored backup; HEAD is the hash of its last entry.

    `/readyz` and `audit verify` say that hash. Until then, a control plane that saw entries which
    the backup lacks refuses its log. This needs the database and the private statement key, and is
    itself recorded in the log.
    """
    configured = settings(OperatorsSettings)
    signer = signer_of(configured)
    async with Database.open(configured.database_url) as database:
        chain = AuditChain(database, signer, HighestGenerations(), now)
        place = await accept_restore(chain, head, actor=shell_actor())
    say(f"Entry {place.sequence} accepts the log as it is now. Each control plane goes on with it.")
    say("Sign again what went back: `/readyz` says what, if there is a CONTROL_PLANE_STATE_DIR.")


@audit.command(
    "list",
    examples=(
        "control-plane audit list --since 7d --actor alice",
        "control-plane audit list --action connection.approve --last 20",
    ),
)
@click.option("--actor", help="Who did it: an operator, or shell:USER.")
@click.option("--action", help="What was done, or how that begins: connection.approve, operator.")
@click.option("--about", help="The subject, or how it begins: connection/ID, operator/NAME.")
@click.option("--since", type=MomentType(), help="A time, or how long ago: 7d.")
@click.option("--until", type=MomentType(), help="Before this time, or so long ago.")
@click.option("--last", type=click.IntRange(min=1), help="Only so many, the newest.")
@wide
@watch
@output_form
@command
async def list_entries(
    *, last: int | None, wide: bool, watch: bool, form: OutputForm | None, **options: Any
) -> None:
    """List who did what and when: all entries, or those that match every option."""
    wanted = AuditFilter(**options)
    if watch:
        await until_interrupted(_watch(wanted, last, ListPrinter(wide=wide), form))
        return
    pages = _pages(wanted)
    if last is not None:
        pages = _newest(pages, last)
    if form:
        await print_items(pages, form)
        return
    columns, printer = _WIDE if wide else _NARROW, ListPrinter(wide=wide)
    doubted = changed = 0
    async for page in pages:
        printer.print(columns, [_cells(entry)[: len(columns)] for entry in page])
        doubted += (unbelieved := sum(not _is_believed(entry) for entry in page))
        changed += sum(bool(entry["problem"]) for entry in page) - unbelieved
    about = f" {_ABOUT_CONNECTIONS}" if wanted.about else ""
    printer.finish(f"There are no such entries.{about}")
    if changed:
        say(f"{changed} entries: {OTHER_COLUMNS}")
    if doubted:
        fail(f"{doubted} entries are not believed; see `control-plane audit verify`")
    if changed:
        fail("`control-plane audit verify` says which columns")


async def _watch(
    wanted: AuditFilter, last: int | None, printer: ListPrinter, form: OutputForm | None
) -> None:
    """Print the entries that there are, and those that come: the API is asked, from the last on."""
    if settings(AuditListSettings).database_url is not None:
        raise click.UsageError("--watch asks the API: leave out CONTROL_PLANE_DATABASE_URL")
    columns, after = _WIDE if printer.wide else _NARROW, 0
    async with ApiClient.open(settings(ClientSettings)) as api:

        async def newer() -> list[AuditEntryAnswer]:
            place = {"cursor": str(after)} if after else {}
            return await api.items(AuditEntryAnswer, "audit", query=_query(wanted) | place)

        async for entries in newer_items(newer):
            shown = entries if last is None or after else entries[-last:]
            after = max(int(entry["sequence"]) for entry in entries)
            if form is None:
                printer.print(columns, [_cells(entry)[: len(columns)] for entry in shown])
                continue
            for entry in shown:
                print_document(entry, form)


async def _newest(
    pages: AsyncIterator[Sequence[Entry]], last: int
) -> AsyncIterator[Sequence[Entry]]:
    """Yield the last entries of all pages."""
    entries: deque[Entry] = deque(maxlen=last)
    async for page in pages:
        entries.extend(page)
    yield list(entries)


async def _pages(wanted: AuditFilter) -> AsyncIterator[Sequence[Entry]]:
    """Yield the entries a few at a time, from the database if one is configured, else the API."""
    if settings(AuditListSettings).database_url is not None:
        async with (
            _log() as (database, verifier),
            aclosing(_lines(database, verifier, wanted)) as lines,
        ):
            page = list[Entry]()
            async for line in lines:
                page.append(line.view())
                if len(page) == PRINTED_ENTRIES:
                    yield page
                    page = []
            yield page
        return
    async with ApiClient.open(settings(ClientSettings)) as api:
        async for asked in api.pages(AuditEntryAnswer, "audit", query=_query(wanted)):
            yield asked.items


async def _lines(
    database: Database, verifier: Verifier, wanted: AuditFilter = EVERY_ENTRY
) -> AsyncGenerator[AuditLine, None]:
    """Yield the wanted entries. A failure of whoever prints them is none of the database's."""
    async with database.connection() as connection:
        async for line in walk(connection, verifier, wanted):
            yield line


def _query(wanted: AuditFilter) -> dict[str, str]:
    query = {
        "actor": wanted.actor,
        "action": wanted.action,
        "about": wanted.about,
        "since": wanted.since and format_time(wanted.since),
        "until": wanted.until and format_time(wanted.until),
    }
    return {name: value for name, value in query.items() if value}


def _is_believed(entry: Entry) -> bool:
    return "hash" in entry


def _cells(entry: Entry) -> list[object]:
    if not _is_believed(entry):
        return [entry["sequence"], None, None, None, entry["problem"], None]
    details = " ".join(f"{name}={value}" for name, value in entry.get("details", {}).items())
    second = to_the_second(entry.get("at", ""))
    actor, action, about = (entry.get(name) for name in ("actor", "action", "about"))
    host = entry.get("details", {}).get(HOST)
    subject = f"{host} {about}" if host else about
    return [entry["sequence"], second, actor, action, subject, details]


def _tell(report: ChainReport, agreement: str, form: OutputForm | None) -> None:
    """Say what was found; exit with 1 if anything is wrong."""
    faults = report.all_faults
    if form:
        last = report.end.hash if report.entries else None
        print_value({"entries": report.entries, "faults": faults, "last_hash": last}, form)
    for fault in faults[:MAX_REPORTED_FAULTS]:
        say(fault)
    if faults:
        fail(f"{report.entries} entries, {len(faults)} faults")
    say(f"{report.entries} entries: {agreement}")
    say(f"The hash of the last one is {report.end.hash}")


@asynccontextmanager
async def _log() -> AsyncIterator[tuple[Database, Verifier]]:
    configured = settings(AuditSettings)
    warn_of_exposure("database_url", configured.database_url)
    verifier = _verifier(configured)
    async with Database.open(configured.database_url) as database:
        yield database, verifier


def _verifier(configured: AuditSettings | AuditFileSettings) -> Verifier:
    files = (
        ("statement_public_key_file", configured.statement_public_key_file, Verifier.from_pem),
        (
            "statement_private_key_file",
            configured.statement_private_key_file,
            Signer.from_private_pem,
        ),
    )
    return Verifier.of_all(*(load_key(field, path, load) for field, path, load in files if path))
