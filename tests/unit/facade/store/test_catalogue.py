"""What is stored is listed in the order in which it is evicted, and verified."""

import time

from shared.oci import Digest
from tests.support.opened_index import OpenedIndex


def test_eviction_and_scrub_have_their_orders(index: OpenedIndex) -> None:
    """On probation before what was used again; the longest unverified first."""
    once, twice, found = (Digest.of(each) for each in (b"once", b"twice", b"found"))
    index.catalogue.found(found, 5)
    for digest in (twice, once):
        index.catalogue.added(digest, 4)
    index.catalogue.used({twice: 1})
    index.catalogue.used({found: 3})
    assert [each.digest for each in index.catalogue.least_used(-1)] == [once, twice, found]
    assert [each.digest for each in index.catalogue.least_scrubbed(time.time() - 60, 9)] == [found]
    index.catalogue.scrubbed([found])
    assert index.catalogue.least_scrubbed(time.time() - 60, 9) == []
    assert index.catalogue.stored_bytes() == 13
