"""How long whoever asks the operations address waits for an answer."""

import pytest
from attrs import define, field

from facade.serving.operations_pace import (
    ANSWERED_AT_ONCE,
    ANSWERED_PER_SECOND,
    MOST_REST_SECONDS,
    PAUSE_SECONDS,
    REST_TIMES,
    OperationsPace,
)
from tests.support.clock import Clock


@define
class Paused:
    """Notes for how long it was paused, and has the clock go on."""

    clock: Clock
    pauses: list[float] = field(factory=list)

    async def __call__(self, seconds: float) -> None:
        """Note it."""
        self.pauses.append(seconds)
        self.clock.now += seconds


@pytest.fixture
def paused() -> Paused:
    """Nothing yet."""
    return Paused(Clock())


async def test_whoever_asks_in_loops_waits_for_each_answer_and_after_a_rest_for_none(
    paused: Paused,
) -> None:
    """Whoever asks a few times waits for none."""
    clock = Clock()
    pace = OperationsPace(clock)
    for _ in range(ANSWERED_AT_ONCE + 3):
        await pace.until_due(paused)
    assert paused.pauses == [PAUSE_SECONDS] * 3
    clock.now += ANSWERED_AT_ONCE / ANSWERED_PER_SECOND
    for _ in range(ANSWERED_AT_ONCE):
        await pace.until_due(paused)
    assert len(paused.pauses) == 3


@pytest.mark.parametrize("fails", [False, True])
async def test_scrapes_have_a_share_of_the_time(paused: Paused, *, fails: bool) -> None:
    """Whatever one costs, and however it ends."""
    worked = Clock()
    pace = OperationsPace(paused.clock, worked, paused)

    async def scrape() -> bytes:
        worked.now += 0.125
        paused.clock.now += 0.25  # others had their turn
        if fails:
            raise ZeroDivisionError
        return b"scraped"

    for _ in range(3):
        if fails:
            with pytest.raises(ZeroDivisionError):
                await pace.scraped(scrape)
        else:
            assert await pace.scraped(scrape) == b"scraped"
    assert paused.pauses == [0, 0.125 * REST_TIMES, 0.125 * REST_TIMES]


async def test_no_scrape_waits_for_long(paused: Paused) -> None:
    """A loop that others keep busy works much while it is scraped."""
    worked = Clock()
    pace = OperationsPace(paused.clock, worked, paused)

    async def scrape() -> bytes:
        worked.now += 1000
        return b""

    await pace.scraped(scrape)
    await pace.scraped(scrape)
    assert paused.pauses == [0, MOST_REST_SECONDS]
