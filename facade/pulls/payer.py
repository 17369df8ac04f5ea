"""One device pays for what it costs upstream: it waits a little, or is told to come again.

await asked.payer.pay_miss()                     # before a question to upstream
paid = await asked.payer.pay_download()          # before a download; a miss, too
...
paid.end()                                       # when it has ended, or paid.give_back()
"""

import asyncio
import time
from typing import Final

from attrs import define, field, frozen

from facade.pulls.device_allowance import (
    MAX_WAIT_SECONDS,
    CostLimits,
    DeviceAllowances,
    TooManyDownloadsError,
)

NO_LIMITS: Final = CostLimits(misses_per_minute=0, downloads=0)


@define(eq=False)
class Payers:
    """The devices of one process, as payers. For one event loop."""

    _allowances: DeviceAllowances
    _max_wait: float = MAX_WAIT_SECONDS  # for a download to end
    _ended: asyncio.Event = field(factory=asyncio.Event, init=False)

    @classmethod
    def within(cls, limits: CostLimits, *, max_wait: float = MAX_WAIT_SECONDS) -> "Payers":
        """Return payers that have cost nothing yet."""
        return cls(DeviceAllowances(limits, time.monotonic), max_wait)

    def payer(self, device: str) -> "Payer":
        """Return the device of this id."""
        return Payer(self, device)

    async def pay_miss(self, device: str) -> None:
        """Wait until the device may ask upstream; raise `TooCostlyError` if that takes long."""
        wait = self._allowances.take_miss(device)
        if not wait:
            return
        try:
            await asyncio.sleep(wait)
        except asyncio.CancelledError:
            self._allowances.give_back_miss(device)
            raise

    async def pay_download(self, device: str) -> "PaidDownload":
        """Wait until the device may begin a download; raise `TooCostlyError` if that takes long."""
        await self._begin(device)
        try:
            await self.pay_miss(device)
        except BaseException:  # whatever it is, cancellation included, the download does not begin
            self.end_download(device)
            raise
        return PaidDownload(self, device)

    def end_download(self, device: str) -> None:
        """Let the device, or one of its waiting pulls, begin another."""
        self._allowances.end_download(device)
        ended, self._ended = self._ended, asyncio.Event()
        ended.set()

    def give_back_miss(self, device: str) -> None:
        """Undo a miss that upstream was not asked for after all."""
        self._allowances.give_back_miss(device)

    async def _begin(self, device: str) -> None:
        try:
            async with asyncio.timeout(self._max_wait):
                while not self._allowances.begin_download(device):
                    await self._ended.wait()
        except TimeoutError:
            raise TooManyDownloadsError from None


@frozen
class Payer:
    """One device."""

    _payers: Payers
    device: str  # its id; empty: nobody in particular

    @classmethod
    def without_limits(cls, device: str = "") -> "Payer":
        """Return one that pays nothing more: what goes on for those who follow already."""
        return Payers.within(NO_LIMITS).payer(device)

    async def pay_miss(self) -> None:
        """Pay for a question to upstream; raise `TooCostlyError`."""
        await self._payers.pay_miss(self.device)

    async def pay_download(self) -> "PaidDownload":
        """Pay for a download; raise `TooCostlyError`."""
        return await self._payers.pay_download(self.device)


@frozen(eq=False)
class PaidDownload:
    """A download that is paid for. Exactly one of the two is called, once."""

    _payers: Payers
    device: str  # whose it is

    def end(self) -> None:
        """The download has ended, however."""
        self._payers.end_download(self.device)

    def give_back(self) -> None:
        """It did not begin: somebody else had begun it meanwhile."""
        self.end()
        self._payers.give_back_miss(self.device)
