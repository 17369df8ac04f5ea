"""A device waits a little for what it may cost, is told when that is long, and pays for no more."""

import asyncio
import time

import pytest

from facade.registries.device_allowance import (
    MAX_WAIT_SECONDS,
    CostLimits,
    DeviceAllowances,
    TooManyDownloadsError,
    TooManyMissesError,
)
from facade.registries.payer import FREE, Payer, Payers
from tests.support.clock import Clock

A_MINUTE = 600  # misses: ten a second
LIMITS = CostLimits(misses_per_minute=A_MINUTE, downloads=2)


@pytest.fixture
def payer() -> Payer:
    """A device that has cost nothing yet."""
    return Payers.within(LIMITS).payer("device")


async def use_up(payer: Payer) -> None:
    """Take every miss that may be asked at once."""
    for _ in range(A_MINUTE):
        await payer.pay_miss()


async def test_a_device_waits_for_its_miss(payer: Payer) -> None:
    """A large image is slowed down, and not broken."""
    before = time.monotonic()  # what a busy machine takes to use it up is waiting, too
    await use_up(payer)
    for _ in range(3):
        await payer.pay_miss()
    assert time.monotonic() - before > 0.15


async def test_a_device_that_would_wait_long_is_told_at_once() -> None:
    """It holds no connection for it."""
    payer = Payers.within(CostLimits(misses_per_minute=1, downloads=0)).payer("device")
    await payer.pay_miss()
    with pytest.raises(TooManyMissesError) as refused:
        await payer.pay_miss()
    assert MAX_WAIT_SECONDS < refused.value.retry_after <= 60


async def test_one_that_leaves_while_it_waits_has_paid_nothing(payer: Payer) -> None:
    """Otherwise those that wait and leave would starve those that stay."""
    await use_up(payer)
    waiting = [asyncio.create_task(payer.pay_miss()) for _ in range(60)]  # some wait too long
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await payer.pay_miss()  # had they paid, there would be nothing within five seconds


async def test_a_download_waits_until_another_has_ended(payer: Payer) -> None:
    """Of the same device; of another it does not matter."""
    first, _ = await payer.pay_download(), await payer.pay_download()
    third = asyncio.create_task(payer.pay_download())
    await asyncio.sleep(0.05)
    assert not third.done()
    first.end()
    await third


async def test_downloads_of_devices_are_counted_apart() -> None:
    """One that starts everything takes nothing from the others."""
    payers = Payers.within(LIMITS)
    for _ in range(2):
        await payers.payer("greedy").pay_download()
    await payers.payer("other").pay_download()  # or it raises


async def test_a_download_that_waits_too_long_is_refused() -> None:
    """And pays nothing."""
    payer = Payers.within(LIMITS, max_wait=0.05).payer("device")
    started = [await payer.pay_download() for _ in range(2)]
    with pytest.raises(TooManyDownloadsError) as refused:
        await payer.pay_download()
    assert refused.value.retry_after > 0
    started[0].end()
    await payer.pay_download()


async def test_a_download_costs_a_miss_and_gives_both_back() -> None:
    """Where it turns out that somebody else had begun it."""
    payer = Payers.within(CostLimits(misses_per_minute=1, downloads=1)).payer("device")
    for _ in range(10):
        paid = await payer.pay_download()
        paid.give_back()
    paid = await payer.pay_download()
    paid.end()
    with pytest.raises(TooManyMissesError):
        await payer.pay_download()
    with pytest.raises(TooManyMissesError):  # and not one for the download that did not begin
        await payer.pay_download()


async def test_a_download_that_can_be_paid_at_once_is_paid_as_any(payer: Payer) -> None:
    """It counts as one of the device's, and costs a miss."""
    started = [payer.pay_download_nowait() for _ in range(3)]
    assert started[0] is not None
    assert started[1] is not None
    assert started[2] is None  # the limit is two
    started[0].end()
    assert payer.pay_download_nowait() is not None


async def test_what_would_have_to_wait_is_not_paid_at_once() -> None:
    """Nor is anything counted for it, however often it is tried."""
    clock = Clock()  # it stands still: a busy machine's earns a miss meanwhile
    allowances = DeviceAllowances(LIMITS, clock)
    payer = Payers(allowances, MAX_WAIT_SECONDS).payer("device")
    await use_up(payer)
    assert [payer.pay_download_nowait() for _ in range(100)] == [None] * 100
    assert allowances.take_miss("device") == pytest.approx(60 / A_MINUTE)  # of 100, ten seconds
    clock.advance(60)
    assert None not in [payer.pay_download_nowait() for _ in range(LIMITS.downloads)]


async def test_what_would_be_refused_is_not_paid_at_once() -> None:
    """Nor does it count as a download that runs."""
    payer = Payers.within(CostLimits(misses_per_minute=1, downloads=1)).payer("device")
    await payer.pay_miss()
    assert payer.pay_download_nowait() is None
    with pytest.raises(TooManyMissesError):
        await payer.pay_download()


async def test_what_is_nobodys_has_no_limit() -> None:
    """What goes on for those who follow already is not refused in its middle."""
    payer = FREE
    for _ in range(1000):
        await payer.pay_download()
