"""Far ranges where nothing is stored: upstream's own range, passed on before it could be verified.

A device that resumes near the end of a model of many GiB does not have to wait for the beginning.
What it gets is marked as unverified; as always, it verifies the whole itself. There are at most two
for each digest at once; others wait for the whole.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from attrs import define, evolve, field

from facade.content.source import PullInProgress
from facade.values.byte_range import Span
from shared.oci import Digest
from shared.upstream.answer import ContentRange
from shared.upstream.asked_range import AskedRange
from shared.upstream.errors import UnexpectedAnswerError

NEAR_BYTES: Final = 16 * 1024 * 1024  # ahead; what is nearer comes in a second or two
MAX_RELAYS: Final = 2  # per digest; upstream sends these bytes twice


@define(eq=False)
class FarRanges:
    """The relays of one process."""

    enabled: bool  # whether a range may end before its blob is proven
    _relayed: Counter[Digest] = field(factory=Counter, init=False)

    def takes(self, digest: Digest, span: Span, reached: int) -> bool:
        """Tell whether a span of a blob of which so much has come is to be relayed."""
        is_far = span.first > reached + NEAR_BYTES
        return self.enabled and is_far and self._relayed[digest] < MAX_RELAYS

    @asynccontextmanager
    async def relay(
        self, asked: PullInProgress, span: Span
    ) -> AsyncIterator[AsyncIterator[bytes] | None]:
        """Give upstream's bytes of a span; None if it would give others, fewer, or no range.

        If upstream breaks off, they raise `UpstreamError` instead of ending early. Raises
        `UpstreamError`, too, if upstream does not begin to answer, and `TooCostlyError`.
        """
        pull, paid = asked.pull, await asked.pay_download()
        self._relayed[pull.digest] += 1
        try:
            async with AsyncExitStack() as stack:
                yield await _spanned(asked, span, stack)
        finally:
            paid.end()
            self._relayed[pull.digest] -= 1
            if not self._relayed[pull.digest]:
                del self._relayed[pull.digest]


async def _spanned(
    asked: PullInProgress, span: Span, stack: AsyncExitStack
) -> AsyncIterator[bytes] | None:
    pull, upstream = asked.pull, await stack.enter_async_context(asked.upstream())
    fetched = upstream.fetch(
        pull.kind,
        pull.repository,
        pull.digest,
        AskedRange(span.first, span.end - 1),
    )
    try:
        answer = await stack.enter_async_context(fetched)
    except UnexpectedAnswerError:
        return None  # the device gets it anyhow, as the blob arrives from its beginning
    whole = ContentRange(span.first, span.end - 1, span.length)
    is_exact = answer.content_range in (whole, evolve(whole, total=None))
    return answer.chunks() if is_exact else None
