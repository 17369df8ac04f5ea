"""Manifests that are made to cost: many of them at once, of 4 MiB each."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from facade.content.json_fields import MAX_CONTAINERS, MAX_STRINGS
from shared.oci import MAX_MANIFEST_BYTES, OCI_MANIFEST
from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack
AT_ONCE = 32
NAMES = 350_000
ROOM = MAX_MANIFEST_BYTES - 128
# Each is held from its first byte until it is read, and once more while its pieces are joined.
MAX_GROWTH_BYTES = 2 * AT_ONCE * MAX_MANIFEST_BYTES


def of_many_names(number: int) -> bytes:
    """Return a valid manifest with more in it than there may be."""
    names = b",".join(b'"k%d":1' % each for each in range(NAMES))
    return b'{"n":%d,' % number + names + b"}"


def of_most_names(number: int) -> bytes:
    """Return one with as many texts as there may be."""
    return b'{"n":%d,"a":[' % number + b",".join([b'"abcdefghijk"'] * (MAX_STRINGS - 2)) + b"]}"


def of_most_lists(number: int) -> bytes:
    """Return one with as many lists as there may be, and blanks."""
    lists = b",".join([b"[]"] * (MAX_CONTAINERS - 1))
    return b'{"n":%d,"a":[' % number + lists.ljust(ROOM) + b"]}"


def of_most_numbers(number: int) -> bytes:
    """Return one of numbers alone."""
    return b'{"n":%d,"a":[' % number + b"1," * (ROOM // 2) + b"1]}"


@pytest.mark.parametrize("made", [of_many_names, of_most_names, of_most_lists, of_most_numbers])
async def test_manifests_with_as_much_in_them_as_there_may_be(
    made: Callable[[int], bytes],
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """Read in a thread, and only so far as it takes to know what it is."""
    await connect(facade, own_writer, upstream)
    devices = [facade.device() for _ in range(2)]
    contents = made_in_turn(made)
    watched = watch(
        "V12",
        f"32 manifests, {made.__name__}",
        Party.REGISTRY,
        target,
        max_growth_bytes=MAX_GROWTH_BYTES,
    )
    async with watched as attack:
        while attack.goes_on:
            digests = [
                upstream.manifest(next(contents), media_type=OCI_MANIFEST) for _ in range(AT_ONCE)
            ]
            paths = [pull_path(upstream, digest, kind="manifests") for digest in digests]
            answers = await asyncio.gather(
                *(devices[each % 2].get(path) for each, path in enumerate(paths))
            )
            assert {answer.status for answer in answers} <= {200, 502, 429}
            upstream.forget()


def made_in_turn(made: Callable[[int], bytes]) -> Iterator[bytes]:
    """Make another one each time, at the cost of a copy."""
    document = made(10**9)
    number = 10**9
    while True:
        number += 1
        yield document.replace(b"1000000000", b"%d" % number, 1)


async def test_manifests_of_anything(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """What is wrong is let go at once."""
    await connect(facade, own_writer, upstream)
    device, number = facade.device(), 0
    async with watch("V2", "4 MiB of anything, 300 digests", Party.REGISTRY, target) as attack:
        while attack.goes_on and number < 300:
            digests = [f"sha256:{number + each:064x}" for each in range(10)]
            number += len(digests)
            for digest in digests:
                upstream.manifest(b" " * MAX_MANIFEST_BYTES, digest=digest)
            paths = [pull_path(upstream, digest, kind="manifests") for digest in digests]
            answers = await asyncio.gather(*(device.get(path) for path in paths))
            assert {answer.status for answer in answers} <= {502, 429}
            upstream.forget()
