"""What pulls take again and again is never large enough to be mapped by itself."""

import pytest

from facade.arrivals.gather_budget import GATHERED_BYTES
from facade.devices.device_transport import TURN_BYTES
from facade.loop.large_blocks import MAPPED_FROM_BYTES
from facade.store.ingest_file import REHASH_BYTES
from facade.store.page_cache_read import READ_BYTES
from facade.store.scrub import STEP_BYTES

HEADER_BYTES = 64  # of an object of Python


@pytest.mark.parametrize(
    "count", [GATHERED_BYTES, READ_BYTES, REHASH_BYTES, STEP_BYTES, TURN_BYTES]
)
def test_what_is_taken_for_each_step_of_a_blob_is_not_mapped_anew(count: int) -> None:
    """A page fault for every 4 KiB takes as long again as all else that is done with them."""
    assert count + HEADER_BYTES < MAPPED_FROM_BYTES
