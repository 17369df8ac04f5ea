"""What the upstreams of a process share."""

import pytest

from facade.registries.bandwidth import Bandwidth
from facade.serving.open_registries import transport_resources
from shared.upstream.large_reads import MOST_LARGE

DESCRIPTORS = 1024


@pytest.mark.parametrize("bytes_per_second, most", [(0, MOST_LARGE), (1_000_000, 0)])
def test_under_a_bandwidth_no_body_is_read_in_large_steps(bytes_per_second: int, most: int) -> None:
    """Of four within 1 MiB/s, 10 to 18 MiB had come before their turn; now 2.6 MiB have."""
    memory = transport_resources(DESCRIPTORS, Bandwidth.of(bytes_per_second)).memory
    while memory.large < MOST_LARGE and memory.take():
        pass
    assert memory.large == most
