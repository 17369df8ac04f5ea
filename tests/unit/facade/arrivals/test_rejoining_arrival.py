"""A reader of a dead process's download, which another process takes over."""

from pathlib import Path

import pytest

from facade.arrivals.announcing import NothingArrivesError
from facade.arrivals.arrival import Arrival, StoreGaveUpError
from facade.arrivals.followed_arrival import FollowedArrival
from facade.arrivals.marked_ranges import MarkedRanges
from facade.arrivals.rejoining_arrival import RejoiningArrival
from facade.arrivals.want import Want
from facade.store.followed_ingest import FollowedIngest
from facade.store.ingest_file import OwnedIngest
from shared.oci import Digest, RepositoryName

APP = RepositoryName.parse("team/app")
CONTENT = b"a blob"


@pytest.mark.parametrize("then", ["kept", "left again"])
async def test_who_comes_when_it_was_taken_over_and_has_ended_looks_at_what_became_of_it(
    tmp_path: Path, then: str
) -> None:
    """It was kept, mostly. Each that came late asked the registry for the rest, for itself."""
    folder, blob = tmp_path / "arrives", tmp_path / "stored" / "blob"
    owner = OwnedIngest.acquire(folder)
    assert owner is not None
    owner.announce(len(CONTENT), APP)
    owner.append([CONTENT])
    ingest = FollowedIngest.open(folder)
    assert ingest is not None
    followed = FollowedArrival(ingest, blob, MarkedRanges(Digest.of(CONTENT), folder))
    owner.release()  # it has died

    async def join() -> Arrival:
        taken_over = OwnedIngest.acquire(folder)
        assert taken_over is not None
        if then == "kept":
            list(taken_over.left())
            taken_over.prove()
            taken_over.move(blob, blob.with_suffix(".checksums"))
        taken_over.release()
        raise NothingArrivesError

    arrival, want = RejoiningArrival(APP, followed, join), Want.whole(len(CONTENT))
    if then == "kept":
        assert await arrival.sendable(want) == len(CONTENT)
        assert bytes(await arrival.read(0, len(CONTENT))) == CONTENT
    else:
        with pytest.raises(StoreGaveUpError):
            await arrival.sendable(want)
    followed.close()
