"""Verifying many signatures: a few in this process, many in further processes, one for each core.

A signature and the reading of what it covers take 60 us of a processor, and Python's interpreter
does a quarter of that: threads would stand in one another's way.
"""

import asyncio
import multiprocessing
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from control_plane.database.one_trip import Row
from control_plane.errors import VerifyingEndedError
from control_plane.proof.envelope_columns import envelope_of_form
from control_plane.proof.signer import Verifier
from shared.statement import (
    Statement,
    StatementRefusedError,
    StoredStatement,
    UnknownKeyError,
    read_proven,
)

ALONE_ENVELOPES: Final = 5000  # a third of a second, about what it takes to start processes
MAX_PROCESSES: Final = 8  # with more, they would wait for this process, which reads the rows
BATCHES_EACH: Final = 2  # that wait for a process, so that it always has a next one

WITHOUT_FORM: Final = "it has not the form of a statement"

_Keys = Sequence[tuple[str, bytes]]  # ids, and keys as they are
# What processes tell each other: parts of envelopes, and fields of `Answer`. To send envelopes and
# statements as objects took 14 us of each (docs/decisions).
_Parts = tuple[str, str, bytes, bytes]
_Answer = tuple[str, int, str, bool]


@frozen
class Verified:
    """The statement of an envelope, or why there is none."""

    statement: Statement | None
    problem: str = ""
    is_of_missing_key: bool = False


@frozen
class VerifiedEnvelope:
    """A row, its envelope if it has one, and what that is about, or why it is not believed."""

    row: Row
    stored: StoredStatement | None
    subject: str  # empty if it is not believed, as is the generation
    generation: int
    problem: str
    is_of_missing_key: bool

    @property
    def verified(self) -> Verified:
        """What the envelope says, read anew: no process has sent it."""
        if self.problem or self.stored is None:
            return Verified(None, self.problem, self.is_of_missing_key)
        return Verified(read_proven(self.stored))


def verify_one(verifier: Verifier, stored: StoredStatement | None) -> Verified:
    """Return what an envelope says; it may be none."""
    if stored is None:
        return Verified(None, WITHOUT_FORM)
    try:
        return Verified(verifier.verify(stored))
    except StatementRefusedError as error:
        return Verified(None, str(error), isinstance(error, UnknownKeyError))


@frozen
class _Batch:
    """Rows, their envelopes, and what will be answered of them."""

    rows: Sequence[Row]
    envelopes: Sequence[StoredStatement | None]
    answers: Awaitable[list[_Answer]]

    async def verified(self) -> list[VerifiedEnvelope]:
        """Return them once they are verified; raise `VerifyingEndedError`."""
        try:
            answers = await self.answers
        except BrokenProcessPool:
            raise VerifyingEndedError from None
        return _together(self.rows, self.envelopes, answers)


def _together(
    rows: Sequence[Row], envelopes: Sequence[StoredStatement | None], answers: Sequence[_Answer]
) -> list[VerifiedEnvelope]:
    return [
        VerifiedEnvelope(row, stored, *answer)
        for row, stored, answer in zip(rows, envelopes, answers, strict=True)
    ]


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
        under_way = deque[_Batch]()
        async for rows in batches:
            envelopes = [envelope_of_form(row) for row in rows]
            self._begun += len(rows)
            if self._begun <= self._alone or self._processes == 1:
                answers = [_answer(self._verifier, stored) for stored in envelopes]
                for each in _together(rows, envelopes, answers):
                    yield each
                continue
            under_way.append(_Batch(rows, envelopes, self._elsewhere(envelopes)))
            if len(under_way) > BATCHES_EACH * self._processes:
                for each in await under_way.popleft().verified():
                    yield each
        for batch in under_way:
            for each in await batch.verified():
                yield each

    def _elsewhere(
        self, envelopes: Sequence[StoredStatement | None]
    ) -> asyncio.Future[list[_Answer]]:
        """Give the envelopes to a process; raise `VerifyingEndedError` if one has been ended."""
        executor = self._executor = self._executor or self._start()
        parts = [_parts(each) for each in envelopes]
        try:
            answers = asyncio.get_running_loop().run_in_executor(executor, _answers_of, parts)
        except BrokenProcessPool:
            raise VerifyingEndedError from None
        answers.add_done_callback(_note_failure)
        return answers

    def _start(self) -> Executor:
        # Not by a fork: threads of this process may hold locks.
        context = multiprocessing.get_context("spawn")
        keys = _raw_keys(self._verifier)
        return ProcessPoolExecutor(self._processes, context, _begin, (keys,))


def _note_failure(answers: asyncio.Future[list[_Answer]]) -> None:
    """Take note of a failure: those of later batches are not waited for once one has failed."""
    if not answers.cancelled():
        answers.exception()


def _parts(stored: StoredStatement | None) -> _Parts | None:
    if stored is None:
        return None
    return stored.type, stored.key_id, stored.payload, stored.signature


def _answer(verifier: Verifier, stored: StoredStatement | None) -> _Answer:
    verified = verify_one(verifier, stored)
    if verified.statement is None:
        return "", 0, verified.problem, verified.is_of_missing_key
    return verified.statement.subject, verified.statement.generation, "", False


def _raw_keys(verifier: Verifier) -> _Keys:
    return [(name, key.public_bytes_raw()) for name, key in verifier.public_keys.items()]


# What a process of its own verifies with.
_OF_PROCESS: Final = list[Verifier]()


def _begin(keys: _Keys) -> None:
    _OF_PROCESS.append(
        Verifier({name: Ed25519PublicKey.from_public_bytes(raw) for name, raw in keys})
    )


def _answers_of(envelopes: Sequence[_Parts | None]) -> list[_Answer]:
    [verifier] = _OF_PROCESS
    return [_answer(verifier, StoredStatement(*parts) if parts else None) for parts in envelopes]
