"""Lists of referrers, and referrers, that are made to cost."""

import asyncio
from collections.abc import Callable
from typing import Final

import pytest

from shared.oci import OCI_INDEX
from shared.outside_bytes import Party
from tests.adversary.bounds import IGNORES_WAITING, Allowed
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import bounds
from tests.support.memory import MIB
from tests.support.referrers import attached, index_with, serve
from tests.support.simulators.behaviour import Answers

pytestmark = pytest.mark.attack
# As much as there may be, in figures of our own: a bound that is raised must not raise its attack.
STRINGS: Final = 256 * 1024
CONTAINERS: Final = 64 * 1024
LISTED: Final = 4096
PAGE: Final = 32
FIELD_BYTES: Final = 64 * 1024
MANIFEST_BYTES: Final = 4 * MIB
AT_ONCE: Final = 16
LATE: Final = {504} if IGNORES_WAITING else set[int]()  # what a busy machine may answer, too
# Each of the 16 while it comes, as text, and its entries: of 4 MiB.
ALLOWED: Final = Allowed(growth_bytes=192 * MIB)


def of_most_digests() -> bytes:
    """Return a list with as many entries as may be listed, and more."""
    return index_with({"digest": f"sha256:{number:064x}"} for number in range(LISTED + 1))


def of_most_texts() -> bytes:
    """Return one with as many texts as there may be."""
    return b'{"manifests":[%b]}' % b",".join([b'"abcdefghijk"'] * (STRINGS - 2))


def of_most_objects() -> bytes:
    """Return one with as many objects as there may be, and blanks."""
    objects = b",".join([b"{}"] * (CONTAINERS - 1))
    return b'{"manifests":[%b]}' % objects.ljust(MANIFEST_BYTES - 128)


def of_most_numbers() -> bytes:
    """Return one of numbers alone."""
    return b'{"manifests":[%b1]}' % (b"1," * (MANIFEST_BYTES // 2 - 64))


MADE = [of_most_digests, of_most_texts, of_most_objects, of_most_numbers]


@bounds("facade.content.referrers.LIST_READ_BYTES")
@pytest.mark.parametrize("made", MADE)
async def test_lists_with_as_much_in_them_as_there_may_be(
    made: Callable[[], bytes], attacked: AttackedFacade
) -> None:
    """Read in a thread, and only so far as entries may be listed."""
    await attacked.connect(referrers=True)
    devices, number = [attacked.attacker(f"attacker-{each}") for each in range(2)], 0
    body, name = made(), f"16 lists of referrers, {made.__name__}"
    async with attacked.watched(name, Party.REGISTRY, ALLOWED) as attack:
        while attack.goes_on:
            subjects = [f"sha256:{number + each:064x}" for each in range(AT_ONCE)]
            number += AT_ONCE
            for subject in subjects:
                attacked.registry.listing(subject, body)
            answers = await asyncio.gather(
                *(
                    devices[each % 2].get(attacked.listed(subject))
                    for each, subject in enumerate(subjects)
                )
            )
            assert {answer.status for answer in answers} <= {502, 429}
            attacked.registry.forget()


@bounds("facade.content.manifest.WHOLLY_READ_BYTES")
async def test_referrers_with_as_much_in_them_as_there_may_be(attacked: AttackedFacade) -> None:
    """Whole pages of them, each as long as a manifest may be, with as long annotations."""
    await attacked.connect(referrers=True)
    notes = {"a": "x" * (FIELD_BYTES - 64)}
    filler = [{"size": 1}] * (CONTAINERS - 16)
    device, number = attacked.attacker(), 0
    async with attacked.watched("pages of long referrers", Party.REGISTRY, ALLOWED) as attack:
        while attack.goes_on:
            number += 1
            subject = f"sha256:{number:064x}"
            many = [
                attached(subject, annotations=notes | {"n": str(each)}, layers=filler)
                for each in range(PAGE)
            ]
            serve(attacked.registry, many)
            attacked.registry.listing(subject, index_with(each.claimed for each in many))
            assert (await device.get(attacked.listed(subject))).status in {200, 429} | LATE
            attacked.registry.forget()


@bounds("facade.content.referrers.MAX_LIST_PAGES")
async def test_lists_without_an_end(attacked: AttackedFacade) -> None:
    """Each page names another one, or one that was there before."""
    await attacked.connect(referrers=True)
    device, number = attacked.attacker(), 0
    async with attacked.watched("lists without an end", Party.REGISTRY) as attack:
        while attack.goes_on:
            number += 1
            subject = f"sha256:{number:064x}"
            path = f"/v2/team/app/referrers/{subject}"
            for page in range(100):
                link = f'<{path}/{page + 1 if page < 99 else 5}>; rel="next"'
                headers = (("Content-Type", OCI_INDEX), ("Link", link))
                body = index_with([{"digest": f"sha256:{page:064x}"}])
                place = f"/{page}" if page else ""
                attacked.registry.listing(subject, b"", page=place, get=Answers(200, headers, body))
            assert (await device.get(attacked.listed(subject))).status in {502, 429}
            attacked.registry.forget()
