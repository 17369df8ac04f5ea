"""What the registry's answer to the range that is wanted first says of others."""

from contextlib import AsyncExitStack

import pytest

from facade.arrivals.first_answer import first_answer
from facade.values.byte_range import ByteRanges
from facade.values.piece import PIECE_BYTES
from tests.support.simulators.behaviour import BreaksAt, Ranged
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.machine import right_to

CONTENT = b"0123456789abcdef" * (PIECE_BYTES // 4)


@pytest.mark.parametrize(
    "behaviour, asked, may_others",
    [
        (Ranged(), "bytes=0-1", True),
        (Ranged(), f"bytes={len(CONTENT)}-{len(CONTENT) + 9}", True),  # it says where the end is
        (Ranged(), f"bytes={9 * len(CONTENT)}-", True),
        (Ranged(refusal_names_total=False), f"bytes={len(CONTENT)}-", False),
        (Ranged(refuses="all"), "bytes=4-9", False),  # although they are there
        (Ranged(refuses="all"), f"bytes={len(CONTENT)}-", True),  # nobody can tell yet
        (Ranged(ignores_ends=True), "bytes=4-9", False),
        (Ranged(described="nothing"), "bytes=4-9", False),
        (BreaksAt(0, times=0, ranges="ignored"), "bytes=4-9", False),
        (BreaksAt(0, times=0, ranges="wrong"), "bytes=4-9", False),
    ],
)
async def test_whether_ranges_are_asked_for_beside_it(
    connect: Connect, behaviour: Ranged | BreaksAt, asked: str, *, may_others: bool
) -> None:
    """Not if one was refused although it has bytes, or was answered with anything else."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=behaviour)
        upstream = await connect(registry)
        async with AsyncExitStack() as stack:
            answer = await first_answer(upstream, right_to(digest), ByteRanges.parse(asked), stack)
    assert answer.length == len(CONTENT)
    assert answer.has_ranges is may_others
