"""Ranges where nothing is kept: cut out of the verified whole, or passed on and marked."""

import random

import pytest

from facade.content.far_ranges import NEAR_BYTES
from facade.values.piece import PIECE_BYTES
from tests.support.device_stream import End
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import BreaksAt, OtherBytes
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import outcome_of

BLOB = random.Random(8).randbytes(NEAR_BYTES + 3 * PIECE_BYTES)  # noqa: S311 - any bytes will do
FAR = NEAR_BYTES + 100


@pytest.mark.parametrize(
    "header,first,end",
    [
        ("bytes=0-0", 0, 1),
        (f"bytes={PIECE_BYTES - 1}-{2 * PIECE_BYTES}", PIECE_BYTES - 1, 2 * PIECE_BYTES + 1),
        (f"bytes={NEAR_BYTES}-", NEAR_BYTES, len(BLOB)),
    ],
)
async def test_a_near_range_is_exact_and_verified(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    header: str,
    first: int,
    end: int,
) -> None:
    """Also over a break upstream."""
    digest = upstream.blob(BLOB, get=BreaksAt(PIECE_BYTES))
    await connect(facade, writer, upstream)
    answer = await facade.device().get(pull_path(upstream, digest), Range=header)
    assert (answer.status, answer.body) == (206, BLOB[first:end])
    assert answer.headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(BLOB)}"
    assert answer.headers["Docker-Content-Digest"] == digest


async def test_a_far_range_is_passed_on_and_marked(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A device that resumes a model of many GiB does not begin anew."""
    digest = upstream.blob(BLOB)
    await connect(facade, writer, upstream)
    answer = await facade.device().get(pull_path(upstream, digest), Range=f"bytes={FAR}-")
    assert (answer.status, answer.body) == (206, BLOB[FAR:])
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Docker-Content-Digest" not in answer.headers
    assert upstream.pulls[-1].header("Range") == f"bytes={FAR}-{len(BLOB) - 1}"


async def test_a_range_of_wrong_bytes_never_ends_cleanly(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """What lies far behind it is wrong: the last piece of the range is held back for that."""
    digest = upstream.blob(BLOB, get=OtherBytes())
    await connect(facade, writer, upstream)
    refused = await facade.device().get(pull_path(upstream, digest), Range="bytes=0-9")
    assert refused.status in (502, 503)
    outcome = await outcome_of(facade.device(), pull_path(upstream, digest))
    assert outcome.end is not End.WHOLE or outcome.status != 200
