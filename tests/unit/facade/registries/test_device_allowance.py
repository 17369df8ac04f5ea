"""A device may cost upstream so much; another's costs are not its own; the idle are forgotten."""

import math
from typing import Final

import pytest
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from facade.registries.device_allowance import (
    MAX_WAIT_SECONDS,
    CostLimits,
    DeviceAllowances,
    TooManyMissesError,
)
from tests.support.clock import Clock

A_MINUTE: Final = 60  # misses: one a second
DOWNLOADS: Final = 3
WAITING: Final = int(MAX_WAIT_SECONDS)  # how many wait for their second before one is refused
LIMITS: Final = CostLimits(A_MINUTE, DOWNLOADS)


@pytest.fixture
def clock() -> Clock:
    """The allowances' clock."""
    return Clock()


@pytest.fixture
def allowances(clock: Clock) -> DeviceAllowances:
    """Nothing cost yet."""
    return DeviceAllowances(LIMITS, clock)


def use_up(allowances: DeviceAllowances, device: str) -> None:
    """Take every miss that may be asked at once."""
    for _ in range(A_MINUTE):
        assert allowances.take_miss(device) == 0


def test_a_minutes_misses_may_come_at_once(allowances: DeviceAllowances) -> None:
    """The next ones wait for their second each; then a device is told, and when to come again."""
    use_up(allowances, "scanner")
    waits = [allowances.take_miss("scanner") for _ in range(WAITING)]
    assert waits == pytest.approx(range(1, WAITING + 1))
    with pytest.raises(TooManyMissesError) as refused:
        allowances.take_miss("scanner")
    assert refused.value.retry_after == WAITING + 1


def test_what_is_refused_is_not_counted(allowances: DeviceAllowances, clock: Clock) -> None:
    """A device that asks on and on would otherwise never be served again."""
    use_up(allowances, "scanner")
    for _ in range(WAITING):
        allowances.take_miss("scanner")
    for _ in range(1000):
        with pytest.raises(TooManyMissesError):
            allowances.take_miss("scanner")
    clock.advance(1)
    assert allowances.take_miss("scanner") == pytest.approx(WAITING)


def test_a_devices_costs_are_its_own(allowances: DeviceAllowances) -> None:
    """One that scans takes nothing from the others."""
    use_up(allowances, "scanner")
    while allowances.begin_download("scanner"):
        pass
    assert allowances.take_miss("other") == 0
    assert allowances.begin_download("other")


def test_a_miss_that_was_not_asked_is_given_back(allowances: DeviceAllowances) -> None:
    """Somebody else had begun to ask meanwhile."""
    use_up(allowances, "device")
    allowances.give_back_miss("device")
    assert allowances.take_miss("device") == 0
    assert allowances.take_miss("device") > 0
    allowances.give_back_miss("of whom nothing is known")


def test_zero_is_no_limit(clock: Clock) -> None:
    """And no memory either."""
    allowances = DeviceAllowances(CostLimits(0, 0), clock)
    assert {allowances.take_miss("device") for _ in range(10_000)} == {0}
    assert all(allowances.begin_download("device") for _ in range(10_000))
    for _ in range(10_000):
        allowances.end_download("device")
    assert allowances.count == 0


def test_who_asked_for_nothing_for_a_while_is_forgotten(
    allowances: DeviceAllowances, clock: Clock
) -> None:
    """A fleet of which each device asks once a day costs no memory."""
    for number in range(1000):
        allowances.take_miss(f"device-{number}")
    assert allowances.count == 1000
    clock.advance(1)
    allowances.take_miss("device-0")
    assert allowances.count == 1


def test_memory_is_bounded_and_the_longest_silent_goes(clock: Clock) -> None:
    """Whoever has thousands of certificates gets no more than thousands of allowances."""
    allowances = DeviceAllowances(LIMITS, clock, max_devices=10)
    for number in range(100):
        use_up(allowances, f"device-{number}")
        assert allowances.count <= 10
    assert allowances.take_miss("device-99") > 0
    assert allowances.take_miss("device-0") == 0


def test_a_running_download_is_not_forgotten(clock: Clock) -> None:
    """It would otherwise begin again and again."""
    allowances = DeviceAllowances(LIMITS, clock, max_devices=2)
    for _ in range(DOWNLOADS):
        assert allowances.begin_download("device")
    for number in range(10):
        allowances.take_miss(f"other-{number}")
    clock.advance(3600)
    assert not allowances.begin_download("device")
    allowances.end_download("device")
    assert allowances.begin_download("device")


@define
class Model:
    """One device, as simply as it can be said: tokens that may be owed, and a number."""

    tokens: float = A_MINUTE
    since: float = 0.0
    downloads: int = 0
    taken: list[float] = field(factory=list)

    def at(self, now: float) -> float:
        """Return the tokens of this moment."""
        self.tokens = min(A_MINUTE, self.tokens + (now - self.since))
        self.since = now
        return self.tokens


devices = st.sampled_from(["a", "b", "c"])


class AllowancesMachine(RuleBasedStateMachine):
    """The allowances beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.allowances = DeviceAllowances(LIMITS, self.clock)
        self.models = {device: Model(since=self.clock.now) for device in "abc"}

    @rule(eighths=st.integers(1, 800))
    def time_passes(self, eighths: int) -> None:
        """Exact in a float."""
        self.clock.advance(eighths / 8)

    @rule(device=devices, times=st.integers(1, 70))
    def miss(self, device: str, times: int) -> None:
        """One question after the other."""
        model = self.models[device]
        for _ in range(times):
            owed = 1 - model.at(self.clock.now)
            if owed > MAX_WAIT_SECONDS + 1e-6:
                with pytest.raises(TooManyMissesError) as refused:
                    self.allowances.take_miss(device)
                assert refused.value.retry_after in (math.ceil(owed - 1e-6), math.ceil(owed + 1e-6))
            elif owed < MAX_WAIT_SECONDS - 1e-6:
                wait = self.allowances.take_miss(device)
                assert wait == pytest.approx(max(0.0, owed), abs=1e-6)
                model.tokens -= 1

    @rule(device=devices)
    def download(self, device: str) -> None:
        """As many as the limit says."""
        model = self.models[device]
        assert self.allowances.begin_download(device) == (model.downloads < DOWNLOADS)
        model.downloads = min(model.downloads + 1, DOWNLOADS)

    @precondition(lambda self: any(model.downloads for model in self.models.values()))
    @rule(data=st.data())
    def download_ends(self, data: st.DataObject) -> None:
        """One of those that run."""
        running = [device for device, model in self.models.items() if model.downloads]
        device = data.draw(st.sampled_from(running))
        self.allowances.end_download(device)
        self.models[device].downloads -= 1

    @invariant()
    def nobody_is_remembered_who_never_came(self) -> None:
        """Memory is held for these three at most."""
        assert self.allowances.count <= len(self.models)


TestAllowancesAsTheModel = AllowancesMachine.TestCase
TestAllowancesAsTheModel.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
