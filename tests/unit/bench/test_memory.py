"""How many devices can be measured depends on the descriptors that the machine gives."""

import pytest

from tests.bench.measures.memory import possible_counts


@pytest.mark.parametrize(
    "descriptors, counts",
    [
        (256, []),
        (1024, [100]),
        (3999, [100]),
        (4000, [100, 1000]),
        (4096, [100, 1000]),
        (1_048_576, [100, 1000]),
    ],
)
def test_no_more_devices_are_measured_than_a_facade_lets_in(
    descriptors: int, counts: list[int]
) -> None:
    """The others would wait in the kernel's queue, and the measure for them."""
    assert possible_counts(descriptors) == counts
