"""What the upstreams of a process share."""

import pytest

from facade.serving.open_registries import transport_resources
from shared.upstream.large_reads import MOST_LARGE

DESCRIPTORS = 1024


@pytest.mark.parametrize(
    "keeps, is_limited, most",
    [(True, False, MOST_LARGE), (True, True, 0), (False, False, 0), (False, True, 0)],
)
def test_only_a_store_without_a_bandwidth_reads_in_large_steps(
    *, keeps: bool, is_limited: bool, most: int
) -> None:
    """Of four within 1 MiB/s, 10 to 18 MiB came before their turn, and 2.6 MiB without.

    50 devices that stopped held 2.4 MiB each, and 1.2 MiB without.
    """
    memory = transport_resources(DESCRIPTORS, keeps=keeps, is_limited=is_limited).memory
    while memory.large < MOST_LARGE and memory.take():
        pass
    assert memory.large == most
