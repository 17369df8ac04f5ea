"""Charges a device for what it costs upstream. It waits a little, or is told to come again later.

await asked.payer.pay_miss()                     # before a question to upstream
paid = await asked.payer.pay_download()          # before a download; pays a miss, too
...
paid.end()                                       # when it has ended, or paid.give_back()
"""

import asyncio
import time
from contextlib import suppress
from typing import Final, Protocol

from attrs import define, field, frozen

from facade.registries.device_allowance import (
    MAX_WAIT_SECONDS,
    CostLimits,
    DeviceAllowances,
    TooCostlyError,
    TooManyDownloadsError,
)
from facade.registries.spender import Spender, SpendsNothing
from facade.registries.upstream_spending import SpendingLimits, UpstreamSpending


class PaidDownload(Protocol):
    """A download that is paid for. Exactly one of the two is called, once."""

    @property
    def device(self) -> str:
        """Whose it is."""

    def end(self) -> None:
        """The download has ended, however."""

    def give_back(self) -> None:
        """It did not begin, because somebody else had begun it meanwhile."""


class PaysDownloads(Protocol):
    """Who pays for downloads."""

    def pay_download_nowait(self) -> PaidDownload | None:
        """Pay for a download now; None, and nothing paid, if `pay_download` would wait or raise."""

    async def pay_download(self) -> PaidDownload:
        """Pay for a download; raise `TooCostlyError`."""


class Payer(Spender, PaysDownloads, Protocol):
    """Who pays for what a pull costs upstream."""

    @property
    def device(self) -> str:
        """Its id; empty: nobody in particular."""

    async def pay_miss(self) -> None:
        """Pay for a question to upstream; raise `TooCostlyError`."""

    def go_on_by_download(self) -> PaidDownload:
        """Count a download that cannot be refused, because an answer has begun."""


@frozen
class FreeDownload:
    """A download that costs nobody anything."""

    device: str = ""

    def end(self) -> None:
        """Nothing was counted."""

    def give_back(self) -> None:
        """Nothing was counted."""


@frozen
class FreePayer(SpendsNothing):
    """Pays nothing, and is never refused: for work that somebody has paid for already."""

    device: str = ""

    async def pay_miss(self) -> None:
        """Go on at once."""

    def pay_download_nowait(self) -> FreeDownload:
        """Go on at once."""
        return FreeDownload(self.device)

    async def pay_download(self) -> FreeDownload:
        """Go on at once."""
        return FreeDownload(self.device)

    def go_on_by_download(self) -> FreeDownload:
        """Go on at once."""
        return FreeDownload(self.device)


FREE: Final = FreePayer()


@define(eq=False)
class Payers:
    """The devices of one process, as payers. For one event loop."""

    _allowances: DeviceAllowances
    _max_wait: float = MAX_WAIT_SECONDS  # for a download to end
    _ended: asyncio.Event = field(factory=asyncio.Event, init=False)

    @classmethod
    def within(
        cls,
        limits: CostLimits,
        spending: SpendingLimits | None = None,
        *,
        max_wait: float = MAX_WAIT_SECONDS,
    ) -> "Payers":
        """Return payers that have cost nothing yet; `spending` None: without such limits."""
        spending = spending or SpendingLimits()
        return cls(DeviceAllowances(limits, time.monotonic, spending_limits=spending), max_wait)

    def payer(self, device: str, access_key: str = "") -> "DevicePayer":
        """Return the device of this id, as it asks the registry of a connection."""
        return DevicePayer(self, device, access_key)

    def spending(self, device: str, access_key: str) -> UpstreamSpending:
        """Return the device's account at the registry of a connection."""
        return self._allowances.spending(device, access_key)

    async def pay_miss(self, device: str, access_key: str = "") -> None:
        """Wait until the device may ask upstream; raise `TooCostlyError` if that takes long."""
        wait = self._allowances.take_miss(device, access_key)
        if not wait:
            return
        try:
            await asyncio.sleep(wait)
        except asyncio.CancelledError:
            self._allowances.give_back_miss(device)
            raise

    def pay_download_nowait(self, device: str, access_key: str = "") -> PaidDownload | None:
        """Pay for a download now; None, and nothing counted, if that has to wait or is refused."""
        if not self._allowances.begin_download(device):
            return None
        with suppress(TooCostlyError):
            if not self._allowances.take_miss(device, access_key):
                return _CountedDownload(self, device)
            self.give_back_miss(device)
        self.end_download(device)
        return None

    async def pay_download(self, device: str, access_key: str = "") -> PaidDownload:
        """Wait until the device may begin a download; raise `TooCostlyError` if that takes long."""
        await self._begin(device)
        try:
            await self.pay_miss(device, access_key)
        except BaseException:  # whatever it is, also a cancellation, the download does not begin
            self.end_download(device)
            raise
        return _CountedDownload(self, device)

    def go_on_by_download(self, device: str) -> PaidDownload:
        """Count a download that an answer of the device needs to go on."""
        self._allowances.begin_download(device, is_refused=False)
        return _CountedDownload(self, device)

    def end_download(self, device: str) -> None:
        """Let the device begin another; one of its pulls may be waiting."""
        self._allowances.end_download(device)
        ended, self._ended = self._ended, asyncio.Event()
        ended.set()

    def give_back_miss(self, device: str) -> None:
        """Undo a miss for which upstream was not asked."""
        self._allowances.give_back_miss(device)

    async def _begin(self, device: str) -> None:
        try:
            async with asyncio.timeout(self._max_wait):
                while not self._allowances.begin_download(device):
                    await self._ended.wait()
        except TimeoutError:
            raise TooManyDownloadsError from None


@define(eq=False)
class DevicePayer:
    """One device at one registry. What it causes there is spent from its account (`Spender`)."""

    _payers: Payers
    device: str
    _access_key: str = ""
    _account: UpstreamSpending | None = field(default=None, init=False)

    async def pay_miss(self) -> None:
        """Pay for a question to upstream; raise `TooCostlyError`."""
        await self._payers.pay_miss(self.device, self._access_key)

    def pay_download_nowait(self) -> PaidDownload | None:
        """Pay for a download now; None, and nothing paid, if `pay_download` would wait or raise."""
        return self._payers.pay_download_nowait(self.device, self._access_key)

    async def pay_download(self) -> PaidDownload:
        """Pay for a download; raise `TooCostlyError`."""
        return await self._payers.pay_download(self.device, self._access_key)

    def go_on_by_download(self) -> PaidDownload:
        """Count a download that cannot be refused: an answer is in its middle."""
        return self._payers.go_on_by_download(self.device)

    def spend_request(self) -> None:
        """Count a request to the registry."""
        self._spending.spend_request()

    def spend_token(self) -> None:
        """Count a token."""
        self._spending.spend_token()

    def spend_bytes(self, count: int) -> None:
        """Count bytes."""
        self._spending.spend_bytes(count)

    @property
    def _spending(self) -> UpstreamSpending:
        if self._account is None:  # most pulls spend nothing
            self._account = self._payers.spending(self.device, self._access_key)
        return self._account


@frozen(eq=False)
class _CountedDownload:
    _payers: Payers
    device: str

    def end(self) -> None:
        self._payers.end_download(self.device)

    def give_back(self) -> None:
        self.end()
        self._payers.give_back_miss(self.device)
