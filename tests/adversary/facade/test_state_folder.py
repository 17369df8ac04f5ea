"""Somebody writes in the state folder while the facade is down: nothing of it is served."""

import asyncio
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve

from facade.approvals.snapshot import RememberedStatement
from facade.approvals.state_file import StateFile
from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.support.eventually import eventually
from tests.support.facade_process import Facade
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack

FORGED: Final = 60_000
WAIT_SECONDS: Final = 120.0


async def test_sixty_thousand_forged_rows(
    watch: Watch, target: Target, facade: Facade, own_writer: StatementWriter
) -> None:
    """They are found out beside the victim's pulls, and each is sought in the database."""
    facade.child.kill()
    state = Path(facade.environment["FACADE_STATE_DIR"])
    await asyncio.to_thread(forge, state, own_writer)
    facade.restart()
    attack = f"{FORGED:,} forged rows in the state folder"
    async with watch("W19", attack, Party.FILE, evolve(target, pid=facade.child.pid)) as on:
        await on.to_its_end()
    await eventually(lambda: metric(facade, "facade_unverified_statements") == 0, WAIT_SECONDS)
    assert metric(facade, "facade_approved_connections") == 1


def forge(state: Path, writer: StatementWriter) -> None:
    """Write approvals that nobody signed."""
    file = StateFile.open(state)
    genuine = writer.sign(writer.approval("other.example"))
    forged = RememberedStatement(evolve(genuine, signature=bytes(64)), 1)
    file.save([(f"connection/{number:036}", forged) for number in range(FORGED)], None)
    file.close()


def metric(facade: Facade, name: str) -> float:
    """Return a metric without labels."""
    lines = facade.operations("/metrics")[1].splitlines()
    (line,) = (each for each in lines if each.startswith(f"{name} "))
    return float(line.split()[1])
