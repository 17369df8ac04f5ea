"""Requests that a registry has not answered yet: whoever asks the same waits for how it goes.

A thousand devices that ask at once for what is not there are one request: the failure of the one
that asks is everybody's. Where there is an answer, the others ask for theirs: a body is one pull's.
So this is no `SingleFlight`, which shares results, too.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from attrs import define, field

from facade.registries.failing_paths import CircuitOpenError
from shared.failures import without_frames
from shared.upstream.errors import UpstreamError

_Question = TypeVar("_Question", bound=Hashable)


@define(eq=False)
class OpenQuestions(Generic[_Question]):
    """What one upstream is being asked. For one event loop."""

    _open: dict[_Question, asyncio.Future[UpstreamError | None]] = field(factory=dict, init=False)

    @asynccontextmanager
    async def ask(self, question: _Question) -> AsyncIterator[None]:
        """Guard a request up to its answer's headers.

        Where the same is being asked, wait, and raise the `UpstreamError` that the other one got.
        One that left without an answer is no failure: the next one asks. Nor is one that was not
        let through: another device perhaps is.
        """
        while (other := self._open.get(question)) is not None:
            await asyncio.wait([other])
            if not other.cancelled():
                if failure := other.result():
                    raise without_frames(failure)
                break
        if question in self._open:  # it was answered, and somebody asks again
            yield
            return
        outcome = self._open[question] = asyncio.get_running_loop().create_future()
        try:
            yield
            outcome.set_result(None)
        except CircuitOpenError:
            raise
        except UpstreamError as error:
            outcome.set_result(without_frames(error))
            raise
        finally:
            outcome.cancel()  # where there is no result
            del self._open[question]
