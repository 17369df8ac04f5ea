"""Manifests that are made to cost: many of them at once, of 4 MiB each."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from shared.oci import OCI_MANIFEST
from shared.outside_bytes import Party
from tests.adversary.bounds import Allowed
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.facade.common_checks import NOTHING_IS_KEPT
from tests.adversary.guards import bounds
from tests.support.memory import MIB

pytestmark = pytest.mark.attack
# As much as there may be, in figures of our own: a bound that is raised must not raise its attack.
STRINGS: Final = 256 * 1024
CONTAINERS: Final = 64 * 1024
MANIFEST_BYTES: Final = 4 * MIB
AT_ONCE: Final = 32
NAMES: Final = 350_000
ROOM: Final = MANIFEST_BYTES - 128
# Each of the 32 is held from its first byte until it is read, and once more while its pieces are
# joined: of 4 MiB.
ALLOWED: Final = Allowed(growth_bytes=256 * MIB)


def of_many_names(number: int) -> bytes:
    """Return a valid manifest with more in it than there may be."""
    names = b",".join(b'"k%d":1' % each for each in range(NAMES))
    return b'{"n":%d,' % number + names + b"}"


def of_most_names(number: int) -> bytes:
    """Return one with as many texts as there may be."""
    return b'{"n":%d,"a":[' % number + b",".join([b'"abcdefghijk"'] * (STRINGS - 2)) + b"]}"


def of_most_lists(number: int) -> bytes:
    """Return one with as many lists as there may be, and blanks."""
    lists = b",".join([b"[]"] * (CONTAINERS - 1))
    return b'{"n":%d,"a":[' % number + lists.ljust(ROOM) + b"]}"


def of_most_numbers(number: int) -> bytes:
    """Return one of numbers alone."""
    return b'{"n":%d,"a":[' % number + b"1," * (ROOM // 2) + b"1]}"


@bounds("facade.content.manifest.WHOLLY_READ_BYTES")
@pytest.mark.parametrize("made", [of_many_names, of_most_names, of_most_lists, of_most_numbers])
async def test_manifests_with_as_much_in_them_as_there_may_be(
    made: Callable[[int], bytes], attacked: AttackedFacade
) -> None:
    """Read in a thread, and only so far as it takes to know what it is."""
    await attacked.connect()
    devices = [attacked.attacker(f"attacker-{each}") for each in range(2)]
    contents, name = made_in_turn(made), f"32 manifests, {made.__name__}"
    async with attacked.watched(name, Party.REGISTRY, ALLOWED) as attack:
        while attack.goes_on:
            paths = [
                attacked.manifest(next(contents), media_type=OCI_MANIFEST) for _ in range(AT_ONCE)
            ]
            answers = await asyncio.gather(
                *(devices[each % 2].get(path) for each, path in enumerate(paths))
            )
            assert {answer.status for answer in answers} <= {200, 502, 429}
            attacked.registry.forget()


def made_in_turn(made: Callable[[int], bytes]) -> Iterator[bytes]:
    """Make another one each time, at the cost of a copy."""
    document = made(10**9)
    number = 10**9
    while True:
        number += 1
        yield document.replace(b"1000000000", b"%d" % number, 1)


@NOTHING_IS_KEPT
async def test_manifests_of_anything(attacked: AttackedFacade) -> None:
    """What is wrong is let go at once."""
    await attacked.connect()
    device, number = attacked.attacker(), 0
    name = "4 MiB of anything, 300 digests"
    async with attacked.watched(name, Party.REGISTRY) as attack:
        while attack.goes_on and number < 300:
            digests = [f"sha256:{number + each:064x}" for each in range(10)]
            number += len(digests)
            paths = [attacked.manifest(b" " * MANIFEST_BYTES, digest=digest) for digest in digests]
            answers = await asyncio.gather(*(device.get(path) for path in paths))
            assert {answer.status for answer in answers} <= {502, 429}
            attacked.registry.forget()
