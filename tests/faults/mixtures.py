"""A blob, and whatever mixtures of readers ask for it at once: whole, in ranges, from anywhere."""

import asyncio
import random
from typing import Final

from attrs import define

from facade.registries.spender import SpendsNothing
from facade.values.piece import PIECE_BYTES
from shared.oci import Kind
from tests.faults.stored_world import Content, World
from tests.support.simulators.behaviour import Behaviour, Honest

REPOSITORY: Final = "team/app"
_random = random.Random(19)  # noqa: S311 - any bytes will do
BLOB: Final = Content("blob", Kind.BLOB, _random.randbytes(20 * PIECE_BYTES + 4711))
LENGTH: Final = len(BLOB.content)
Asked = tuple[int, int] | None  # first byte and end; None: the whole

# Whole readers, workers of a client that pulls ranges at once, resumes, a footer first, two bytes.
WORKERS: Final = [(place * 5 * PIECE_BYTES, (place + 1) * 5 * PIECE_BYTES) for place in range(4)]
MIXTURES: Final[dict[str, list[Asked]]] = {
    "whole": [None],
    "workers": [*WORKERS, (20 * PIECE_BYTES, LENGTH)],
    "whole beside far ranges": [None, (15 * PIECE_BYTES + 3, 15 * PIECE_BYTES + 99), WORKERS[2]],
    "a footer, two bytes, then all": [(LENGTH - 99, LENGTH), (0, 2), None],
    "backwards": [*reversed(WORKERS), None],
}


@define
class Account(SpendsNothing):
    """What somebody spent: bytes of bodies that were read, wherever they came from."""

    spent: int = 0
    most_at_once: int = 0  # the more, the longer nobody read while bytes came into a socket

    def spend_bytes(self, count: int) -> None:
        """Count bytes of a body."""
        self.spent += count
        self.most_at_once = max(self.most_at_once, count)


def serve(world: World, get: Behaviour) -> None:
    """Have the registry answer so."""
    world.hosts["g"].serve(BLOB, REPOSITORY, get, Honest())


def serve_wrong(world: World, place: int, get: Behaviour) -> None:
    """Have the registry answer so, with one wrong byte."""
    wrong = bytearray(BLOB.content)
    wrong[place] ^= 1
    world.hosts["g"].simulator.blob(
        bytes(wrong), repository=REPOSITORY, get=get, digest=str(BLOB.digest)
    )


def right(asked: list[Asked]) -> list[bytes]:
    """Return what each is to get."""
    return [BLOB.content[slice(*span) if span else slice(None)] for span in asked]


async def pulled(world: World, asked: list[Asked], processes: int = 1) -> list[bytes | None]:
    """Pull all of these at once, spread over processes."""
    host = world.hosts["g"]
    return await asyncio.gather(
        *(
            world.processes[place % processes].pull(host, REPOSITORY, BLOB, span)
            for place, span in enumerate(asked)
        )
    )


def bought(world: World) -> int:
    """Return how many bytes of it the registry was asked for, as far as ranges say so."""
    return sum(end - first for first, end in _answers(world))


def cut_answers(world: World) -> int:
    """Return how many of the registry's answers had others begin within what they were to bring."""
    answers = _answers(world)
    return sum(
        any(first <= other < end for other, _ in [*answers[:place], *answers[place + 1 :]])
        for place, (first, end) in enumerate(answers)
    )


def _answers(world: World) -> list[tuple[int, int]]:
    """Return first byte and end of each answer about it that the registry was asked for."""
    answers = list[tuple[int, int]]()
    for request in world.hosts["g"].simulator.pulls:
        if request.method == "GET" and request.path.endswith(str(BLOB.digest)):
            asked = request.header("Range") or "bytes=0-"
            first, _, last = asked.removeprefix("bytes=").partition("-")
            answers.append((int(first), min(int(last or LENGTH - 1), LENGTH - 1) + 1))
    return answers
