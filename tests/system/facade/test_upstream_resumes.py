"""A pull whose registry breaks goes on with what that registry can do, and the device sees nothing.

3 MiB, cut at 2 MiB: all kinds are pulled at once, since each waits a moment before it resumes.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Final

from facade.values.piece import PIECE_BYTES
from tests.support.device_stream import End
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksAt,
    Honest,
    InTurn,
    NoLength,
    Ranged,
    RedirectsTo,
)
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.pulls import outcome_of
from tests.system.facade.stores import streamed_and_stored as facade_settings  # noqa: F401 - a fixture

MIB: Final = 1024 * 1024
BLOB: Final = random.Random(31).randbytes(3 * MIB)  # noqa: S311 - any bytes will do
CUT: Final = 2 * MIB
SMALL_PARTS: Final = "small parts"
SMALL_BYTES: Final = 1000

KINDS: Final[Mapping[str, Behaviour]] = {
    # closed and not reset, where it counts how far it came: a reset may overtake bytes
    "open ranges are refused": Ranged(breaks_at=CUT, refuses="open", then="close"),
    "ranges are refused": Ranged(breaks_at=CUT, refuses="all"),
    "ranges are refused, without the total": Ranged(
        breaks_at=CUT, refuses="all", refusal_names_total=False
    ),
    "a 206 without Content-Range": Ranged(breaks_at=CUT, described="nothing"),
    "multipart/byteranges": Ranged(breaks_at=CUT, described="multipart"),
    "parts": Ranged(breaks_at=CUT, at_most=PIECE_BYTES + 1),
    "parts of an unknown total": Ranged(breaks_at=CUT, at_most=MIB // 2, names_total=False),
    # of a small blob: what waited in the facade's buffers at a break would be too many of them
    SMALL_PARTS: Ranged(breaks_at=0, at_most=300),
    "an unknown total": Ranged(breaks_at=CUT, names_total=False),
    "another ETag": Ranged(breaks_at=CUT, times=2, etags=True),
    "closed": Ranged(breaks_at=CUT, then="close"),
    "at the first byte": Ranged(breaks_at=0),
    "behind the first byte": Ranged(breaks_at=1),
    "at the last byte": Ranged(breaks_at=3 * MIB - 1),
    "again and again": Ranged(breaks_at=CUT, times=3),
    "of unknown length, reset": Ranged(breaks_at=CUT, names_length=False, names_total=False),
    "of unknown length, ends early": Ranged(
        breaks_at=CUT, then="end", names_length=False, names_total=False
    ),
    "of unknown length, closed early": Ranged(
        breaks_at=CUT, then="close", framing="close", names_length=False, names_total=False
    ),
    "of unknown length, no ranges": Ranged(
        breaks_at=CUT, names_length=False, refuses="all", refusal_names_total=False
    ),
    "of unknown length, parts": Ranged(
        breaks_at=CUT, names_length=False, names_total=False, at_most=MIB // 2
    ),
    "of a length that ranges tell": Ranged(breaks_at=CUT, names_length=False, then="end"),
    "chunked again": InTurn(
        (Ranged(breaks_at=CUT, names_length=False), NoLength(head_length=False))
    ),
    "patience is asked for": InTurn((BreaksAt(CUT), Answers(503), Answers(429), Honest())),
    "a request was too slow, or too early": InTurn(
        (BreaksAt(CUT), Answers(408), Answers(425), Honest())
    ),
}
STORES: Final[Mapping[str, Behaviour]] = {
    **{
        f"the store answers {status}": InTurn(
            (BreaksAt(CUT), Answers(status), Answers(status), Honest())
        )
        for status in (400, 401, 403, 404, 410, 500)
    },
    "the store has closed ranges alone": Ranged(breaks_at=CUT, refuses="open"),
    "the store gives parts": Ranged(breaks_at=CUT, at_most=MIB // 2, names_total=False),
    "the store is chunked": Ranged(breaks_at=CUT, names_length=False, names_total=False),
}


async def pulled_whole(
    device: Device, upstream: RegistrySimulator, digests: Mapping[str, str]
) -> None:
    """Pull every kind at once: each is whole, and right."""
    pulls = [outcome_of(device, pull_path(upstream, digest)) for digest in digests.values()]
    for kind, outcome in zip(digests, await asyncio.gather(*pulls), strict=True):
        assert (outcome.status, outcome.end) == (200, End.WHOLE), kind
        assert outcome.digest == digests[kind], kind


async def test_a_break_is_mended_by_what_the_registry_can_do(
    device: Device, upstream: RegistrySimulator
) -> None:
    """Whatever ranges it knows, whatever it says of them, wherever it breaks."""
    digests = {
        kind: upstream.blob(content_of(number, kind), get=get, head=head_of(get))
        for number, (kind, get) in enumerate(KINDS.items())
    }
    await pulled_whole(device, upstream, digests)
    closed = [
        request.header("Range")
        for request in upstream.pulls
        if request.path.endswith(digests["open ranges are refused"])
    ]
    first, _, last = str(closed[-1]).removeprefix("bytes=").partition("-")
    # What had come and was not looked at yet when the connection broke is asked for again.
    assert 0 < int(first) <= CUT
    assert last == str(3 * MIB - 1)


def content_of(number: int, kind: str) -> bytes:
    """Return what is pulled of a kind."""
    return number.to_bytes() + BLOB[1 : SMALL_BYTES if kind == SMALL_PARTS else None]


def head_of(get: Behaviour) -> Behaviour | None:
    """Return how HEAD is answered where nobody is to know a length."""
    return None if isinstance(get, Ranged) and get.names_length else Answers(405)


async def test_a_registry_that_falls_silent_is_asked_for_the_rest(
    facade_settings: Mapping[str, str],  # noqa: F811 the fixture
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """Alone: beside all other kinds, a registry is silent for as long on a slow machine."""
    settings = {**facade_settings, "FACADE_UPSTREAM_TIMEOUT": "2s"}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    await connect(facade, own_writer, upstream)
    digest = upstream.blob(BLOB, get=Ranged(breaks_at=CUT, then="stay"))
    await pulled_whole(facade.device(), upstream, {"silent": digest})


async def test_a_break_behind_a_redirect_is_mended_by_another_link(
    device: Device, upstream: RegistrySimulator
) -> None:
    """A store's refusal is about a link, which has expired."""
    async with StoreSimulator() as store:
        digests = {}
        for number, (kind, get) in enumerate(STORES.items()):
            content = bytes([0, number]) + BLOB[2:]
            link = RedirectsTo(store.put(content, get=get))
            digests[kind] = upstream.blob(content, get=link)
        await pulled_whole(device, upstream, digests)
