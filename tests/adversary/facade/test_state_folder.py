"""Somebody writes in the state folder while the facade is down: nothing of it is served."""

import asyncio
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve

from facade.approvals.remembered_statements import RememberedStatement
from facade.approvals.state_file import StateFile
from shared.outside_bytes import Party
from tests.adversary.bounds import patient
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import check
from tests.support.eventually import eventually
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack

FORGED: Final = 60_000
WAIT_SECONDS: Final = 120.0


@check(
    "facade/approvals/unverified_rows.py",
    "islice(self._by_subject.values(), at_most)",
    "islice(self._by_subject.values(), 1000 * at_most)",
)
async def test_sixty_thousand_forged_rows(attacked: AttackedFacade) -> None:
    """They are found out beside the victim's pulls, and each is sought in the database."""
    facade = attacked.facade
    facade.child.kill()
    state = Path(facade.environment["FACADE_STATE_DIR"])
    await asyncio.to_thread(forge, state, attacked.writer)
    facade.restart()
    name = f"{FORGED:,} forged rows in the state folder"
    async with attacked.watched(name, Party.FILE) as attack:
        await eventually(
            lambda: attacked.metric("facade_unverified_statements") == 0, patient(WAIT_SECONDS)
        )
        await attack.to_its_end()
    assert attacked.metric("facade_approved_connections") == 1


def forge(state: Path, writer: StatementWriter) -> None:
    """Write approvals that nobody signed."""
    file = StateFile.open(state)
    genuine = writer.sign(writer.approval("other.example"))
    forged = RememberedStatement(evolve(genuine, signature=bytes(64)), 1)
    file.save([(f"connection/{number:036}", forged) for number in range(FORGED)], None)
    file.close()
