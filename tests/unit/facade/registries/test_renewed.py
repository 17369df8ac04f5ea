"""A value that is renewed: on demand, ahead, once at a time, and with patience."""

import asyncio

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from facade.registries.refusals import REFUSAL_SECONDS, RememberedRefusal, StillRefusedError
from facade.registries.renewed import (
    AHEAD_PAUSE_SECONDS,
    EXPIRY_MARGIN_SECONDS,
    FORCED_INTERVAL_SECONDS,
    Lasting,
    Renewed,
)
from shared.upstream.errors import (
    ConnectError,
    CredentialRefusedError,
    NotNowError,
    PolicyDeniedError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ServerError,
    TokenExchangeError,
    UnexpectedAnswerError,
    UpstreamError,
)
from tests.support.clock import Clock
from tests.support.eventually import eventually

HOUR = 3600.0
DAY = 24 * HOUR


@define
class Mint:
    """Gives `value 1`, `value 2`, … of a lifetime, or raises; when it is let go."""

    lifetime_seconds: float | None = HOUR
    error: Exception | None = None
    count: int = 0
    may_end: asyncio.Event = field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        """Hold nothing back."""
        self.may_end.set()

    async def __call__(self) -> Lasting[str]:
        """Mint one."""
        self.count += 1
        number = self.count
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return Lasting(f"value {number}", self.lifetime_seconds)


@pytest.fixture
def clock() -> Clock:
    """The slot's clock."""
    return Clock()


@pytest.fixture
def mint() -> Mint:
    """What renews."""
    return Mint()


@pytest.fixture
def renewed(mint: Mint, clock: Clock) -> Renewed[str]:
    """The slot."""
    return Renewed(mint, clock)


async def settled(mint: Mint, count: int) -> None:
    """Return once so many renewals have begun and ended."""
    await eventually(lambda: mint.count == count)
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_value_is_kept_until_shortly_before_it_expires(
    renewed: Renewed[str], mint: Mint, clock: Clock
) -> None:
    """And minted anew then, while the asker waits."""
    assert await renewed.get() == "value 1"
    clock.advance(HOUR * 0.7)
    assert await renewed.get() == "value 1"
    await settled(mint, 1)
    clock.advance(HOUR * 0.3 - EXPIRY_MARGIN_SECONDS)
    assert await renewed.get() == "value 2"
    assert mint.count == 2


async def test_a_value_in_use_is_renewed_ahead_while_nobody_waits(
    renewed: Renewed[str], mint: Mint, clock: Clock
) -> None:
    """A warm pull never waits for a token."""
    await renewed.get()
    clock.advance(HOUR * 0.8)
    mint.may_end.clear()
    assert [await renewed.get() for _ in range(100)] == ["value 1"] * 100
    await eventually(lambda: mint.count == 2)
    assert await renewed.get() == "value 1"
    mint.may_end.set()
    await settled(mint, 2)
    assert await renewed.get() == "value 2"
    assert mint.count == 2


async def test_each_renewal_is_told_of_also_where_nobody_waits_for_it(
    mint: Mint, clock: Clock
) -> None:
    """Else an endpoint that is away is found out about when the last token has expired."""
    told = list[BaseException | None]()
    renewed = Renewed(mint, clock, told.append)
    await renewed.get()
    clock.advance(HOUR * 0.8)
    mint.error = ConnectError("away")
    assert await renewed.get() == "value 1"
    await settled(mint, 2)
    assert [str(each) for each in told] == ["None", "away"]


async def test_what_nobody_asks_for_is_not_renewed(
    renewed: Renewed[str], mint: Mint, clock: Clock
) -> None:
    """A connection at rest costs its provider nothing."""
    await renewed.get()
    clock.advance(DAY)
    await settled(mint, 1)


async def test_a_hundred_askers_at_once_mint_one(renewed: Renewed[str], mint: Mint) -> None:
    """A fleet that wakes up together."""
    mint.may_end.clear()
    asking = [asyncio.create_task(renewed.get()) for _ in range(100)]
    await eventually(lambda: mint.count == 1)
    mint.may_end.set()
    assert await asyncio.gather(*asking) == ["value 1"] * 100
    assert mint.count == 1


async def test_a_waiter_that_leaves_is_nobody_elses_failure(
    renewed: Renewed[str], mint: Mint
) -> None:
    """Not even the first one, whose asking began it."""
    mint.may_end.clear()
    first = asyncio.create_task(renewed.get())
    await eventually(lambda: mint.count == 1)
    second = asyncio.create_task(renewed.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    mint.may_end.set()
    assert await second == "value 1"
    assert first.cancelled()
    assert mint.count == 1


@pytest.mark.parametrize("lifetime", [None, 12 * HOUR])
async def test_a_value_without_an_end_is_minted_once(
    renewed: Renewed[str], mint: Mint, clock: Clock, lifetime: float | None
) -> None:
    """A stored password; and by its side a long token, which ends."""
    mint.lifetime_seconds = lifetime
    await renewed.get()
    clock.advance(365 * DAY)
    await renewed.get()
    assert mint.count == (1 if lifetime is None else 2)


@pytest.mark.parametrize("lifetime", [0.5, 2.0, 10.0])
async def test_a_short_life_is_used_for_most_of_it(
    renewed: Renewed[str], mint: Mint, clock: Clock, lifetime: float
) -> None:
    """Thirty seconds of margin would leave nothing, and mint for every pull."""
    mint.lifetime_seconds = lifetime
    await renewed.get()
    clock.advance(lifetime * 0.59)
    assert await renewed.get() == "value 1"
    assert mint.count == 1
    clock.advance(lifetime * 0.41)
    assert await renewed.get() == "value 2"


@given(st.floats(min_value=0.001, max_value=1e9))
def test_a_value_is_never_given_out_after_its_end(lifetime: float) -> None:
    """Whatever the lifetime, it is useful for a while, and ends before it does."""

    async def ask() -> tuple[str, str, str]:
        clock, mint = Clock(0.0), Mint(lifetime)
        renewed = Renewed(mint, clock)
        first = await renewed.get()
        clock.advance(lifetime / 2)
        held = await renewed.get()
        clock.now = lifetime
        return first, held, await renewed.get()

    first, held, last = asyncio.run(ask())
    assert first == held == "value 1"
    assert last != "value 1"


@pytest.mark.parametrize(
    "error",
    [
        CredentialRefusedError("refused", status=401),
        RateLimitedError(retry_after=None),
        TokenExchangeError("no token", status=200),
        UnexpectedAnswerError("no HTTP"),
        PolicyDeniedError(402),
        RealmNotAllowedError("https://evil.example/token"),
        RedirectRefusedError("too many"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_refusal_is_remembered_for_every_asker(
    renewed: Renewed[str], mint: Mint, clock: Clock, error: UpstreamError
) -> None:
    """A wrong password that every device tries again locks the account."""
    mint.error = error
    for _ in range(50):
        with pytest.raises(type(error)):
            await renewed.get()
    assert mint.count == 1
    clock.advance(REFUSAL_SECONDS)
    mint.error = None
    assert await renewed.get() == "value 2"


@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError(retry_after=7.0),
        ServerError(503, retry_after=7.0),
        NotNowError(408, retry_after=7.0),
    ],
)
async def test_a_time_to_come_back_is_kept_to(
    renewed: Renewed[str], mint: Mint, clock: Clock, error: UpstreamError
) -> None:
    """`Retry-After`, also of an endpoint that is down for a while."""
    mint.error = error
    for seconds in (0, 6.9):
        clock.advance(seconds)
        with pytest.raises(type(error)):
            await renewed.get()
    assert mint.count == 1
    mint.error = None
    clock.advance(0.1)
    assert await renewed.get() == "value 2"


async def test_another_failure_is_tried_again_by_the_next_asker(
    renewed: Renewed[str], mint: Mint
) -> None:
    """With nothing in hand somebody must; the circuit breaker counts."""
    mint.error = ConnectError("away")
    for _ in range(3):
        with pytest.raises(ConnectError):
            await renewed.get()
    assert mint.count == 3


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("away"),
        ServerError(503),
        CredentialRefusedError("refused", status=401),
        RateLimitedError(retry_after=7.0),
    ],
)
async def test_a_value_in_hand_is_used_to_its_end_whatever_the_endpoint_says(
    renewed: Renewed[str], mint: Mint, clock: Clock, error: UpstreamError
) -> None:
    """An endpoint that is away for a while harms nobody, and is not asked for every pull."""
    await renewed.get()
    mint.error = error
    clock.advance(HOUR * 0.8)
    for _ in range(50):
        assert await renewed.get() == "value 1"
        await asyncio.sleep(0)
    await settled(mint, 2)
    clock.advance(max(AHEAD_PAUSE_SECONDS, REFUSAL_SECONDS))
    assert await renewed.get() == "value 1"
    await settled(mint, 3)
    clock.advance(HOUR * 0.2)
    with pytest.raises(type(error)):
        await renewed.get()
    mint.error = None
    clock.advance(HOUR)
    assert (await renewed.get()).startswith("value")


async def test_an_endpoint_that_is_back_is_used_again(
    renewed: Renewed[str], mint: Mint, clock: Clock
) -> None:
    """The pause between renewals ahead ends."""
    await renewed.get()
    mint.error = ConnectError("away")
    clock.advance(HOUR * 0.8)
    await renewed.get()
    await settled(mint, 2)
    mint.error = None
    clock.advance(AHEAD_PAUSE_SECONDS)
    await renewed.get()
    await settled(mint, 3)
    assert await renewed.get() == "value 3"


async def test_a_value_that_never_worked_is_not_minted_anew(
    renewed: Renewed[str], mint: Mint
) -> None:
    """It is what was asked for that is refused: an invented repository."""
    value = await renewed.get()
    assert not renewed.drop(value)
    assert await renewed.get() == value
    assert mint.count == 1


async def test_a_value_that_worked_is_minted_anew_once_a_minute(
    renewed: Renewed[str], mint: Mint, clock: Clock
) -> None:
    """A token may end before its time; a registry that refuses everything makes no storm."""
    renewed.note_accepted()
    first = await renewed.get()
    assert renewed.drop(first)
    second = await renewed.get()
    assert second == "value 2"
    for _ in range(100):
        assert not renewed.drop(second)
    clock.advance(FORCED_INTERVAL_SECONDS)
    assert renewed.drop(second)
    assert await renewed.get() == "value 3"
    assert mint.count == 3


async def test_a_value_that_was_renewed_meanwhile_is_no_reason_to_mint(
    renewed: Renewed[str], mint: Mint
) -> None:
    """A hundred pulls that were refused with the same token drop it once."""
    renewed.note_accepted()
    first = await renewed.get()
    assert renewed.drop(first)
    second = await renewed.get()
    assert all(renewed.drop(first) for _ in range(99))
    assert await renewed.get() == second
    assert mint.count == 2


async def test_a_refusal_from_elsewhere_ends_the_value(renewed: Renewed[str], clock: Clock) -> None:
    """The token endpoint refused what the slot holds."""
    await renewed.get()
    renewed.refuse(CredentialRefusedError("refused", status=401))
    with pytest.raises(CredentialRefusedError):
        await renewed.get()
    clock.advance(REFUSAL_SECONDS)
    assert await renewed.get() == "value 2"


async def test_a_refusal_that_it_depends_on_is_remembered_no_longer(
    renewed: Renewed[str], mint: Mint, clock: Clock
) -> None:
    """A token fails as long as the password is refused, and not half a minute from then."""
    refused = CredentialRefusedError("refused", status=401)
    mint.error = StillRefusedError(RememberedRefusal(refused, clock.now + 1.0))
    for _ in range(3):
        with pytest.raises(CredentialRefusedError) as raised:
            await renewed.get()
        assert raised.value.is_same(refused)
    assert mint.count == 1
    mint.error = None
    clock.advance(1.0)
    assert renewed.refusal is None
    assert await renewed.get() == "value 2"


async def test_it_tells_whether_a_value_is_at_hand(renewed: Renewed[str], clock: Clock) -> None:
    """One that has not expired."""
    told = [renewed.is_at_hand]
    await renewed.get()
    told.append(renewed.is_at_hand)
    clock.advance(HOUR)
    told.append(renewed.is_at_hand)
    assert told == [False, True, False]


async def test_closing_ends_what_is_under_way(renewed: Renewed[str], mint: Mint) -> None:
    """A revoked connection asks for nothing more."""
    mint.may_end.clear()
    asking = asyncio.create_task(renewed.get())
    await eventually(lambda: mint.count == 1)
    renewed.close()
    await asyncio.wait([asking])
    assert asking.cancelled()


async def test_a_programming_error_is_not_swallowed(renewed: Renewed[str], mint: Mint) -> None:
    """Whoever waits sees it."""
    mint.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await renewed.get()
