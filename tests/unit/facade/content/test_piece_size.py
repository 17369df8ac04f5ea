"""Pieces grow for a device that keeps up, and shrink for one that does not."""

from facade.content.piece_size import (
    LARGE_BYTES,
    QUICK_PIECES,
    SLOW_SECONDS,
    SMALL_BYTES,
    PieceSize,
)


def test_pieces_are_small_until_the_device_has_kept_up_for_a_while() -> None:
    """A device that stops at once leaves little behind."""
    size = PieceSize(100.0)
    sizes = [size.next(100.0 + number / 1000) for number in range(QUICK_PIECES + 2)]
    assert sizes == [SMALL_BYTES] * QUICK_PIECES + [LARGE_BYTES] * 2


def test_what_the_kernel_takes_at_once_is_large_but_for_the_first_piece() -> None:
    """None of it waits here, whatever the device does."""
    answers, counts = iter([True, True, False, True]), list[int]()

    def takes_at_once(count: int) -> bool:
        counts.append(count)
        return next(answers)

    size = PieceSize(0.0, takes_at_once)
    sizes = [size.next(0.0) for _ in range(5)]
    assert sizes == [SMALL_BYTES, LARGE_BYTES, LARGE_BYTES, SMALL_BYTES, LARGE_BYTES]
    assert counts == [LARGE_BYTES] * 4


def test_one_slow_piece_makes_them_small_again() -> None:
    """And it takes as long as at first until they grow."""
    size, now = PieceSize(0.0), 0.0
    for _ in range(QUICK_PIECES + 1):
        size.next(now)
    now += SLOW_SECONDS
    sizes = [size.next(now) for _ in range(QUICK_PIECES + 2)]
    assert sizes == [SMALL_BYTES] * (QUICK_PIECES + 1) + [LARGE_BYTES]
