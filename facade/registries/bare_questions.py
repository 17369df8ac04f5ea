"""Who asks a registry bare, without a login, because what was remembered of its login failed.

For each scope, one pull asks with its own request, and the others wait for what the registry says
to it. So a token endpoint that has moved costs one more request, however many devices pull at once.
This is no `SingleFlight`, because the others wait for a step of a pull that goes on with its own
answer.
"""

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final, Generic, TypeVar

from attrs import define, field

from shared.upstream.challenge import BasicChallenge, BearerChallenge
from shared.upstream.errors import UpstreamError

# By then a healthy registry has said how to log in. The one request may be slow for other reasons
# (a proxy fetches the blob first, say): then the others ask, too.
MAX_WAIT_SECONDS: Final = 5.0

_Key = TypeVar("_Key", bound=Hashable)


@define(eq=False)
class BareQuestion:
    """A request under way without a login, and what failed before it."""

    _owner: asyncio.Task[object]
    tried: BearerChallenge | BasicChallenge | None = None
    failure: UpstreamError | None = None
    is_over: asyncio.Event = field(factory=asyncio.Event, init=False)
    _left: Callable[[object], None] | None = field(default=None, init=False)

    @property
    def is_mine(self) -> bool:
        """Whether the running task asks it."""
        return self._owner is asyncio.current_task()

    def end_with_its_task(self, end: Callable[[object], None]) -> None:
        """Make it end when its task does, at the latest."""
        self._left = end
        self._owner.add_done_callback(end)

    def end(self) -> None:
        """Let the others go on."""
        self.is_over.set()
        if self._left is not None:
            self._owner.remove_done_callback(self._left)


@define(eq=False)
class BareQuestions(Generic[_Key]):
    """What one registry is being asked bare. For one event loop."""

    _max_wait: float = MAX_WAIT_SECONDS
    _open: dict[_Key, BareQuestion] = field(factory=dict, init=False)

    async def until_answered(self, key: _Key) -> None:
        """Return once nobody else asks, or after `MAX_WAIT_SECONDS`."""
        if self._of_another(key) is None:
            return
        try:
            async with asyncio.timeout(self._max_wait):
                while (question := self._of_another(key)) is not None:
                    await question.is_over.wait()
        except TimeoutError:
            return  # the one that asks is slow

    def begin(
        self,
        key: _Key,
        tried: BearerChallenge | BasicChallenge | None = None,
        failure: UpstreamError | None = None,
    ) -> None:
        """Make the running task the one that asks, unless another one does."""
        owner = asyncio.current_task()
        if owner is None or key in self._open:
            return
        question = self._open[key] = BareQuestion(owner, tried, failure)
        question.end_with_its_task(partial(self._end, key, question))

    def mine(self, key: _Key) -> BareQuestion | None:
        """Return what the running task asks."""
        question = self._open.get(key)
        return question if question is not None and question.is_mine else None

    def end(self, key: _Key) -> None:
        """If the running task is the one that asks, note that it has its answer, or gave up."""
        if (question := self.mine(key)) is not None:
            self._end(key, question)

    def _of_another(self, key: _Key) -> BareQuestion | None:
        question = self._open.get(key)
        return question if question is not None and not question.is_mine else None

    def _end(self, key: _Key, question: BareQuestion, _: object = None) -> None:
        if self._open.get(key) is question:
            del self._open[key]
        question.end()
