"""Signatures are verified alike in this process and in processes beside it, in order."""

import asyncio
import gc
import multiprocessing
from collections.abc import AsyncIterator, Sequence

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.audit.verifying import Verified, Verifying, verify_one
from control_plane.clock import now
from control_plane.database.one_trip import Row
from control_plane.errors import VerifyingEndedError
from control_plane.proof.signer import Signer, Verifier
from shared.statement import OperatorRemoval, StoredStatement

SIGNER = Signer(Ed25519PrivateKey.generate())
OTHER = Signer(Ed25519PrivateKey.generate())
BATCH = 10


def removal(number: int, signer: Signer = SIGNER) -> StoredStatement:
    """Return the envelope of some statement."""
    statement = OperatorRemoval(
        name=f"operator-{number}", removed_by="root", removed_at=now(), generation=number + 1
    )
    return signer.sign(statement)


def envelopes() -> list[StoredStatement]:
    """Return good ones, one of another key, one that was changed, and one that is none."""
    good = [removal(number) for number in range(4 * BATCH)]
    good[7] = removal(7, OTHER)
    good[19] = attrs.evolve(good[19], signature=good[18].signature)
    good[31] = attrs.evolve(good[31], payload=b"")
    return good


async def batches_of(stored: Sequence[StoredStatement]) -> AsyncIterator[Sequence[Row]]:
    """Yield rows, some at a time."""
    rows = [attrs.asdict(each) for each in stored]
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


@pytest.mark.parametrize("alone", [0, 2 * BATCH, 1000])
async def test_each_row_is_verified_as_one_alone_is(alone: int) -> None:
    """Wherever it is done; what is wrong is said in the same words."""
    stored = envelopes()
    wanted = [verify_one(SIGNER, each) for each in stored]
    wanted[31] = verify_one(SIGNER, None)
    async with Verifying.open(Verifier(SIGNER.public_keys), alone=alone) as verifying:
        found = [each async for each in verifying.rows(batches_of(stored))]
    assert [each.verified for each in found] == wanted
    assert [(each.subject, each.generation) for each in found if not each.problem] == [
        (each.statement.subject, each.statement.generation) for each in wanted if each.statement
    ]
    assert [each.row["payload"] for each in found] == [each.payload for each in stored]
    refused = [at for at, each in enumerate(wanted) if each.statement is None]
    assert refused == [7, 19, 31]
    assert [wanted[at].is_of_missing_key for at in refused] == [True, False, False]
    assert found[31].stored is None
    assert isinstance(wanted[0], Verified)


async def test_a_process_that_is_killed_ends_it_in_words(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel kills what takes too much memory; nobody waits for it for ever."""

    async def verify_and_kill() -> None:
        stored = [removal(number) for number in range(40 * BATCH)]
        async with Verifying.open(Verifier(SIGNER.public_keys), alone=0) as verifying:
            async for each in verifying.rows(batches_of(stored)):
                assert not each.problem
                for process in multiprocessing.active_children():
                    process.kill()

    with pytest.raises(VerifyingEndedError, match="was ended"):
        await verify_and_kill()
    assert multiprocessing.active_children() == []
    gc.collect()  # what asyncio says of a failure that nobody took note of
    assert (capfd.readouterr().err, caplog.text) == ("", "")


async def test_a_process_that_was_killed_is_given_nothing_more() -> None:
    """What comes after that ends in the same words, wherever it is noticed."""

    async def batches_behind_a_kill() -> AsyncIterator[Sequence[Row]]:
        stored = [removal(number) for number in range(20 * BATCH)]
        async for rows in batches_of(stored):
            yield rows
            processes = multiprocessing.active_children()
            for process in processes:
                process.kill()
            for process in processes:
                await asyncio.to_thread(process.join)
            await asyncio.sleep(0.05)  # so that the executor has noticed it as well

    async with Verifying.open(Verifier(SIGNER.public_keys), alone=0) as verifying:
        with pytest.raises(VerifyingEndedError, match="was ended"):
            _ = [each async for each in verifying.rows(batches_behind_a_kill())]
    assert multiprocessing.active_children() == []
