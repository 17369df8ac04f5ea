"""Requests that a registry has not answered yet. Others that ask the same wait for the outcome.

If a thousand devices ask at once for what is not there, that is one request: all of them share its
failure. If it succeeds, each of the others makes its own request, because a body belongs to one
pull. So this is no `SingleFlight`, which shares results, too.
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

        If the same is being asked, wait, and raise the `UpstreamError` that the other request got.
        If the other one left without an answer, or was not let through, that is no failure: the
        next one asks, and may be let through.
        """
        while (other := self._open.get(question)) is not None:
            await asyncio.wait([other])
            if not other.cancelled():
                if failure := other.result():
                    raise without_frames(failure)
                break
        if question in self._open:  # the other one was answered, and somebody asks again
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
            outcome.cancel()  # if there is no result
            del self._open[question]
