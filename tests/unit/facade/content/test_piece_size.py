"""Pieces grow for a device that keeps up, and shrink for one that does not."""

import pytest

from facade.content.piece_size import (
    LARGE_BYTES,
    MOST_BYTES,
    QUICK_PIECES,
    SLOW_SECONDS,
    SMALL_BYTES,
    PieceSize,
)

MUCH = 1 << 30  # bytes that are left


def test_pieces_are_small_until_the_device_has_kept_up_for_a_while() -> None:
    """A device that stops at once leaves little behind."""
    size = PieceSize(100.0)
    sizes = [size.next(100.0 + number / 1000, MUCH) for number in range(QUICK_PIECES + 2)]
    assert sizes == [SMALL_BYTES] * QUICK_PIECES + [LARGE_BYTES] * 2


@pytest.mark.parametrize(
    "room, left, expected",
    [
        (MOST_BYTES, MUCH, MOST_BYTES),
        (MUCH, MUCH, MOST_BYTES),
        (MOST_BYTES - 1, MUCH, LARGE_BYTES),
        (LARGE_BYTES, MUCH, LARGE_BYTES),
        (LARGE_BYTES - 1, MUCH, SMALL_BYTES),
        (0, MUCH, SMALL_BYTES),
        (LARGE_BYTES + 1, LARGE_BYTES + 1, LARGE_BYTES + 1),
        (LARGE_BYTES, LARGE_BYTES + 1, LARGE_BYTES),
        (SMALL_BYTES + 1, SMALL_BYTES + 1, SMALL_BYTES + 1),
        (SMALL_BYTES, SMALL_BYTES + 1, SMALL_BYTES),
        (0, SMALL_BYTES, SMALL_BYTES),
        (0, 1, 1),
        (MUCH, 0, 0),
    ],
)
def test_what_the_kernel_takes_whole_is_large_and_never_more_than_is_left(
    room: int, left: int, expected: int
) -> None:
    """None of it waits here, whatever the device does."""
    assert PieceSize(0.0, lambda: room).next(0.0, left) == expected


def test_a_device_that_keeps_up_is_given_no_more_than_its_bound_where_the_kernel_is_full() -> None:
    """That is what a device may leave behind that stops after all."""
    size = PieceSize(0.0, lambda: 0)
    assert {size.next(0.0, MUCH) for _ in range(3 * QUICK_PIECES)} == {SMALL_BYTES, LARGE_BYTES}


def test_one_slow_piece_makes_them_small_again() -> None:
    """And it takes as long as at first until they grow."""
    size, now = PieceSize(0.0), 0.0
    for _ in range(QUICK_PIECES + 1):
        size.next(now, MUCH)
    now += SLOW_SECONDS
    sizes = [size.next(now, MUCH) for _ in range(QUICK_PIECES + 2)]
    assert sizes == [SMALL_BYTES] * (QUICK_PIECES + 1) + [LARGE_BYTES]
