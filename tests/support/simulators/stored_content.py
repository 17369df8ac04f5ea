"""A content that a simulated registry has, and the parts that its answers are made of."""

import re
from typing import Final

from attrs import define, field

from tests.support.simulators.behaviour import Behaviour, BreaksAt, InTurn, Ranged
from tests.support.simulators.wire import RecordedRequest, Wire

RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
SUFFIX: Final = re.compile(r"bytes=-(\d+)")


@define
class StoredContent:
    """A content with its type, and how it is answered. `head` None: HEAD behaves as GET does."""

    content: bytes
    media_type: str
    digest: str
    get: Behaviour
    head: Behaviour | None
    breaks_left: int = field(init=False)
    _given: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with every break."""
        turns = self.get.turns if isinstance(self.get, InTurn) else (self.get,)
        self.breaks_left = sum(each.times for each in turns if isinstance(each, BreaksAt | Ranged))

    def next_get(self) -> Behaviour:
        """Return how the next GET is answered."""
        if not isinstance(self.get, InTurn):
            return self.get
        self._given += 1
        return self.get.turns[min(self._given, len(self.get.turns)) - 1]

    def headers(self, length: int | None, *more: tuple[str, str]) -> list[tuple[str, str]]:
        """Return the headers of an answer."""
        headers = [("Content-Type", self.media_type), ("Docker-Content-Digest", self.digest), *more]
        return headers if length is None else [*headers, ("Content-Length", str(length))]

    def asked_span(self, request: RecordedRequest) -> tuple[int, int] | None:
        """Return first byte and end of what is asked for; None for the whole."""
        asked, total = request.header("Range") or "", len(self.content)
        if match := SUFFIX.fullmatch(asked):
            return max(0, total - int(match[1])), total
        match = RANGE.fullmatch(asked)
        if match is None:
            return None
        return int(match[1]), min(int(match[2]) + 1, total) if match[2] else total


async def write_plain(
    wire: Wire, status: int, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()
) -> None:
    """Answer with a status, headers and a body of known length."""
    await wire.head(status, (*headers, ("Content-Length", str(len(body)))))
    await wire.write(body)


async def end_answer(wire: Wire, then: str) -> None:
    """End an answer by closing or resetting the connection, or leave it silent."""
    match then:
        case "reset":
            await wire.until_read()  # a reset would overtake what was written
            wire.reset()
        case "stay":
            await wire.until_peer_left()
        case _:
            wire.close()
