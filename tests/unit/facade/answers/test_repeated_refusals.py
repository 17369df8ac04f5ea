"""What a device has itself refused again and again does not fill the log, and is counted."""

from attrs import define, field

from facade.answers.repeated_refusals import (
    MANY_REASONS,
    MAX_KINDS_OF_ONE_DEVICE,
    OF_ONE_DEVICE_AT_ONCE,
    TOLD_AT_ONCE,
    RefusalKind,
    RepeatedRefusals,
)
from tests.support.clock import Clock
from tests.support.eventually import eventually


@define
class Told:
    """What was told in one line."""

    lines: list[tuple[RefusalKind, int]] = field(factory=list)

    def __call__(self, kind: RefusalKind, count: int) -> None:
        """Take a line."""
        self.lines.append((kind, count))


REFUSAL = RefusalKind("press-7", 404, "tag")


async def test_the_first_are_told_and_the_rest_in_one_line_with_their_number() -> None:
    """20,000 a second were 33 GB an hour."""
    told = Told()
    refusals = RepeatedRefusals(told, 0.2, Clock())
    singly = sum(refusals.is_told(REFUSAL) for _ in range(TOLD_AT_ONCE + 1000))
    assert singly == TOLD_AT_ONCE
    await eventually(lambda: told.lines == [(REFUSAL, 1000)])


async def test_one_that_goes_on_has_one_line_a_second() -> None:
    """An operator who looks sees what it asks for."""
    clock = Clock()
    refusals = RepeatedRefusals(Told(), clock=clock)
    singly = 0
    for _ in range(TOLD_AT_ONCE + 600):
        clock.advance(0.1)
        singly += sum(refusals.is_told(REFUSAL) for _ in range(20))
    assert 0 <= TOLD_AT_ONCE + (TOLD_AT_ONCE + 600) / 10 - singly <= 1


async def test_each_device_status_and_reason_is_told_by_itself() -> None:
    """One device does not hide another's refusals, nor other ones of its own."""
    refusals = RepeatedRefusals(Told(), clock=Clock())
    for _ in range(TOLD_AT_ONCE + 1):
        refusals.is_told(REFUSAL)
    assert not refusals.is_told(REFUSAL)
    assert refusals.is_told(RefusalKind("press-8", 404, "tag"))
    assert refusals.is_told(RefusalKind("press-7", 429, "tag"))
    assert refusals.is_told(RefusalKind("press-7", 404, "digest"))


async def test_what_is_forgotten_is_counted_all_the_same() -> None:
    """The memory is bounded; a device pushes out its own."""
    told = Told()
    refusals = RepeatedRefusals(told, 0.2, Clock())
    for _ in range(TOLD_AT_ONCE + 5):
        refusals.is_told(REFUSAL)
    for number in range(2 * MAX_KINDS_OF_ONE_DEVICE):
        refusals.is_told(RefusalKind("press-7", 404, f"reason {number}"))
    assert len(refusals._counted) == MAX_KINDS_OF_ONE_DEVICE  # noqa: SLF001 - the bound
    await eventually(lambda: told.lines == [(REFUSAL, 5)])


async def test_reasons_without_end_are_told_together() -> None:
    """Some have a registry's numbers in them: each is new, and a device's lines are bounded."""
    told = Told()
    refusals = RepeatedRefusals(told, 0.2, Clock())
    kinds = (RefusalKind("press-7", 502, f"{n} bytes") for n in range(2 * OF_ONE_DEVICE_AT_ONCE))
    assert sum(map(refusals.is_told, kinds)) == OF_ONE_DEVICE_AT_ONCE
    assert refusals.is_told(RefusalKind("press-8", 502, "1 bytes"))
    together = RefusalKind("press-7", 502, MANY_REASONS)
    await eventually(lambda: told.lines == [(together, OF_ONE_DEVICE_AT_ONCE)])
