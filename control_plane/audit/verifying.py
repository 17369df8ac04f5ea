"""Verifying many signatures: a few in this process, many in further processes, one for each core.

A signature takes 0.1 ms of a processor. Python's interpreter stands still meanwhile, so threads
would not help.
"""

import asyncio
import multiprocessing
import os
from collections import deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from control_plane.database.one_trip import Row
from control_plane.errors import VerifyingEndedError
from control_plane.proof.envelope_columns import envelope_of_form
from control_plane.proof.signer import Verifier
from shared.statement import Statement, StatementRefusedError, StoredStatement, UnknownKeyError

ALONE_ENVELOPES: Final = 5000  # half a second, about what it takes to start processes
MAX_PROCESSES: Final = 8  # with more, they would wait for this process, which reads the rows
BATCHES_EACH: Final = 2  # that wait for a process, so that it always has a next one

_Keys = Sequence[tuple[str, bytes]]  # ids, and keys as they are
_Envelopes = Sequence[StoredStatement | None]


@frozen
class Verified:
    """The statement of an envelope, or why there is none."""

    statement: Statement | None
    problem: str = ""
    is_of_missing_key: bool = False


@frozen
class VerifiedEnvelope:
    """A row, its envelope if it has one, and what that says."""

    row: Row
    stored: StoredStatement | None
    verified: Verified


def verify_one(verifier: Verifier, stored: StoredStatement | None) -> Verified:
    """Return what an envelope says; it may be none."""
    if stored is None:
        return Verified(None, "it has not the form of a statement")
    try:
        return Verified(verifier.verify(stored))
    except StatementRefusedError as error:
        return Verified(None, str(error), isinstance(error, UnknownKeyError))


@define(eq=False)
class Verifying:
    """Verifies row after row, in order."""

    _verifier: Verifier
    _processes: int
    _alone: int
    _begun: int = field(default=0, init=False)
    _executor: Executor | None = field(default=None, init=False)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, verifier: Verifier, *, alone: int = ALONE_ENVELOPES
    ) -> AsyncIterator["Verifying"]:
        """Yield one that verifies the first `alone` envelopes itself, and then starts processes."""
        verifying = cls(verifier, min(len(os.sched_getaffinity(0)), MAX_PROCESSES), alone)
        try:
            yield verifying
        finally:
            if verifying._executor is not None:
                verifying._executor.shutdown(cancel_futures=True)

    async def rows(self, batches: AsyncIterator[Sequence[Row]]) -> AsyncIterator[VerifiedEnvelope]:
        """Yield each row of the batches, verified; raise `VerifyingEndedError`."""
        under_way: deque[tuple[Sequence[Row], _Envelopes, asyncio.Future[list[Verified]]]] = deque()
        async for rows in batches:
            envelopes = [envelope_of_form(row) for row in rows]
            under_way.append((rows, envelopes, self._verify(envelopes)))
            if len(under_way) > BATCHES_EACH * self._processes:
                for each in await _finished(*under_way.popleft()):
                    yield each
        while under_way:
            for each in await _finished(*under_way.popleft()):
                yield each

    def _verify(self, envelopes: _Envelopes) -> "asyncio.Future[list[Verified]]":
        loop = asyncio.get_running_loop()
        self._begun += len(envelopes)
        if self._begun > self._alone and self._processes > 1:
            executor = self._executor = self._executor or self._start()
            return loop.run_in_executor(executor, _verify_in_process, envelopes)
        done: asyncio.Future[list[Verified]] = loop.create_future()
        done.set_result([verify_one(self._verifier, each) for each in envelopes])
        return done

    def _start(self) -> Executor:
        # Not by a fork: threads of this process may hold locks.
        context = multiprocessing.get_context("spawn")
        keys = _raw_keys(self._verifier)
        return ProcessPoolExecutor(self._processes, context, _begin, (keys,))


async def _finished(
    rows: Sequence[Row], envelopes: _Envelopes, verifying: "asyncio.Future[list[Verified]]"
) -> list[VerifiedEnvelope]:
    try:
        verified = await verifying
    except BrokenProcessPool:
        raise VerifyingEndedError from None
    return list(map(VerifiedEnvelope, rows, envelopes, verified))


def _raw_keys(verifier: Verifier) -> _Keys:
    return [
        (name, key.public_bytes(Encoding.Raw, PublicFormat.Raw))
        for name, key in verifier.public_keys.items()
    ]


# What a process of its own verifies with.
_OF_PROCESS: Final = list[Verifier]()


def _begin(keys: _Keys) -> None:
    _OF_PROCESS.append(
        Verifier({name: Ed25519PublicKey.from_public_bytes(raw) for name, raw in keys})
    )


def _verify_in_process(envelopes: _Envelopes) -> list[Verified]:
    return [verify_one(_OF_PROCESS[0], each) for each in envelopes]
