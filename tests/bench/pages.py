"""`make pages`: what each page of the console and each filter takes among 10,000 connections.

By the clock at the median, which others on the machine make longer, and by the processor: of the
control plane, and of PostgreSQL. On a quiet machine a page takes about their sum, because neither
works while it waits for the other.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
from attrs import frozen
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from control_plane.database.database import Database as ControlPlaneDatabase
from deploy.dev.postgres import Postgres
from shared.postgres.database_url import read_database_url
from tests.bench.process_cost import cpu_seconds
from tests.support.console_client import ConsoleClient, console_client
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    KeyFiles,
    copy_of,
    make_keys,
    make_template,
)
from tests.support.counted_acts import CountingSigner, Scene
from tests.support.database import Database
from tests.support.postgres_trips import Trips
from tests.support.signed_installation import SignedInstallation
from tests.support.text_table import lines_of

BAR_MS: Final = 300.0  # on the server, at the median
WAITING: Final = 60  # drafts beside those that serve
CONNECTED: Final = "registry-7.example"
_CONNECTIONS: Final = "/console/connections"
FILTERS: Final = (
    "",
    "?search=registry-77",
    "?search=nothing-has-this",
    "?search=%C3%BC",  # beyond what stands in a document as it is typed: each is proven
    "?status=approved",
    "?status=pending",
    "?status=revoked",
    "?provider=static",
    "?provider=aws_ecr",
    "?problem=true",
    "?problem=false",
    "?ends_within=30",
    "?status=approved&provider=static&search=registry-9999&ends_within=30",
)
PAGES: Final = (
    "/console/",
    *(f"{_CONNECTIONS}{each}" for each in FILTERS),
    f"{_CONNECTIONS}/{{id}}",
    f"{_CONNECTIONS}/{{id}}/edit",
    f"{_CONNECTIONS}/{{id}}/revoke",
    "/console/connect",
    "/console/connect/login",
    "/console/approve",
    f"{_CONNECTIONS}/{{draft}}/review",
    "/console/devices",
    "/console/devices?device=spiffe://example.com/fleet/line-a/device/7",
    "/console/audit",
    "/console/audit?actor=alice&action=connection.connect",
    "/console/audit?about=connection/{id}",
    "/console/operators",
    "/console/operators/alice",
    "/console/me",
)


@frozen
class Installation:
    """A control plane that runs, and its database."""

    postgres: Postgres
    plane: ControlPlane


@frozen
class PageCost:
    """What a page took, in milliseconds."""

    path: str
    status: int
    by_the_clock: float  # at the median
    of_control_plane: float  # of the processor, on average
    of_postgres: float


async def fill(database: Database, keys: KeyFiles, size: int) -> None:
    """Make connections that are approved, and as many devices that are revoked."""
    owner = await asyncpg.connect(database.superuser_url)
    url = database.url(LOGIN_ROLE, LOGIN_PASSWORD)
    try:
        async with ControlPlaneDatabase.open(read_database_url(url)) as pool:
            signer = _signer(keys)
            scene = Scene(SignedInstallation(pool, owner, signer), signer, Trips(), url)
            await scene.connect([f"registry-{number}.example" for number in range(size)])
            await scene.revoke(
                [f"spiffe://example.com/fleet/line-a/device/{number}" for number in range(size)]
            )
            log = await scene.chain.loaded()
            await scene.chain.write_checkpoint(log)
        await owner.execute("ANALYZE")
    finally:
        await owner.close()


def _signer(keys: KeyFiles) -> CountingSigner:
    private = load_pem_private_key(keys.statement_private.read_bytes(), None)
    return CountingSigner(private)  # type: ignore[arg-type] # `keys` made an Ed25519 one


@asynccontextmanager
async def installed(folder: Path, size: int) -> AsyncIterator[Installation]:
    """Yield a control plane with so many connections."""
    with Postgres(folder / "postgres") as postgres:
        await asyncio.to_thread(make_template, postgres, "pages")
        database, keys = copy_of(postgres, "pages"), make_keys(folder / "keys")
        await fill(database, keys, size)
        plane = await ControlPlane.start(
            folder,
            owner_url=database.superuser_url,
            url=database.url(LOGIN_ROLE, LOGIN_PASSWORD),
            keys=keys,
            environment={"CONTROL_PLANE_LOG_LEVEL": "info"},
        )
        try:
            yield Installation(postgres, plane)
        finally:
            plane.stop()


async def measured(installation: Installation, size: int, rounds: int) -> list[PageCost]:
    """Ask for each page so often, after once for what is prepared then."""
    plane = installation.plane
    alice = plane.client("alice")
    drafts = [await alice.connect(f"waiting-{number}.example") for number in range(WAITING)]
    (connection,) = await plane.client("eve").list(host=f"registry-{size // 2}.example")
    known = {"{id}": connection["id"], "{draft}": drafts[0]["id"]}
    async with console_client(plane, "root") as client:
        return [
            await cost_of(installation, client, path, named(path, known), rounds) for path in PAGES
        ]


def postmaster(postgres: Postgres) -> int:
    """Return the process that has all of a server's."""
    return int((postgres.folder / "data" / "postmaster.pid").read_text().split()[0])


def named(path: str, known: dict[str, str]) -> str:
    """Return the path of something that is there."""
    for name, each in known.items():
        path = path.replace(name, each)
    return path


async def cost_of(
    installation: Installation, client: ConsoleClient, name: str, path: str, rounds: int
) -> PageCost:
    """Return what a page takes."""
    status = (await client.get(path)).status
    own, server = [installation.plane.child.pid], [postmaster(installation.postgres)]
    before, took = (cpu_seconds(own), cpu_seconds(server)), list[float]()
    for _ in range(rounds):
        began = time.perf_counter()
        await client.get(path)
        took.append(time.perf_counter() - began)
    after = cpu_seconds(own), cpu_seconds(server)
    of_plane, of_postgres = (
        (last - first) / rounds * 1000 for first, last in zip(before, after, strict=True)
    )
    return PageCost(name, status, statistics.median(took) * 1000, of_plane, of_postgres)


def table(costs: list[PageCost]) -> list[str]:
    """Return the lines of the table."""
    rows = [
        (
            each.path,
            str(each.status),
            f"{each.by_the_clock:.0f}",
            f"{each.of_control_plane:.0f}",
            f"{each.of_postgres:.0f}",
            "" if each.of_control_plane + each.of_postgres < BAR_MS else f"over {BAR_MS:.0f} ms",
        )
        for each in costs
    ]
    return lines_of(
        ("page", "status", "median ms", "control plane, CPU ms", "PostgreSQL, CPU ms", ""), rows
    )


async def run(size: int, rounds: int) -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory(prefix="pages-") as folder:
        async with installed(Path(folder), size) as installation:
            costs = await measured(installation, size, rounds)
    sys.stdout.write("\n".join(table(costs)) + "\n")
    if any(each.status != 200 for each in costs):
        sys.exit("a page was not shown")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="make pages", description=__doc__)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    asyncio.run(run(given.size, given.rounds))


if __name__ == "__main__":
    main()
