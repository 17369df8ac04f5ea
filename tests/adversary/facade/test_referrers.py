"""Lists of referrers, and referrers, that are made to cost."""

import asyncio
from collections.abc import Callable

import pytest

from facade.content.json_fields import MAX_CONTAINERS, MAX_STRINGS
from facade.content.referrer import MAX_REFERRER_FIELD_BYTES
from facade.content.referrers import PAGE_REFERRERS
from facade.content.referrers_index import MAX_LISTED
from shared.oci import MAX_MANIFEST_BYTES, OCI_INDEX
from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.referrers import attached, index_with, serve
from tests.support.simulators.behaviour import Answers
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack
AT_ONCE = 16
MAX_GROWTH_BYTES = 3 * AT_ONCE * MAX_MANIFEST_BYTES  # each while it comes, as text, and its entries


def of_most_digests() -> bytes:
    """Return a list with as many entries as may be listed, and more."""
    return index_with({"digest": f"sha256:{number:064x}"} for number in range(MAX_LISTED + 1))


def of_most_texts() -> bytes:
    """Return one with as many texts as there may be."""
    return b'{"manifests":[%b]}' % b",".join([b'"abcdefghijk"'] * (MAX_STRINGS - 2))


def of_most_objects() -> bytes:
    """Return one with as many objects as there may be, and blanks."""
    objects = b",".join([b"{}"] * (MAX_CONTAINERS - 1))
    return b'{"manifests":[%b]}' % objects.ljust(MAX_MANIFEST_BYTES - 128)


def of_most_numbers() -> bytes:
    """Return one of numbers alone."""
    return b'{"manifests":[%b1]}' % (b"1," * (MAX_MANIFEST_BYTES // 2 - 64))


MADE = [of_most_digests, of_most_texts, of_most_objects, of_most_numbers]


@pytest.mark.parametrize("made", MADE)
async def test_lists_with_as_much_in_them_as_there_may_be(
    made: Callable[[], bytes],
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """Read in a thread, and only so far as entries may be listed."""
    await connect(facade, own_writer, upstream, referrers=True)
    devices, number = [facade.device() for _ in range(2)], 0
    body = made()
    watched = watch(
        "F4",
        f"16 lists of referrers, {made.__name__}",
        Party.REGISTRY,
        target,
        max_growth_bytes=MAX_GROWTH_BYTES,
    )
    async with watched as attack:
        while attack.goes_on:
            subjects = [f"sha256:{number + each:064x}" for each in range(AT_ONCE)]
            number += AT_ONCE
            for subject in subjects:
                upstream.listing(subject, body)
            paths = [pull_path(upstream, subject, kind="referrers") for subject in subjects]
            answers = await asyncio.gather(
                *(devices[each % 2].get(path) for each, path in enumerate(paths))
            )
            assert {answer.status for answer in answers} <= {502, 429}
            upstream.forget()


async def test_referrers_with_as_much_in_them_as_there_may_be(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """Whole pages of them, each as long as a manifest may be, with as long annotations."""
    await connect(facade, own_writer, upstream, referrers=True)
    notes = {"a": "x" * (MAX_REFERRER_FIELD_BYTES - 64)}
    filler = [{"size": 1}] * (MAX_CONTAINERS - 16)
    device, number = facade.device(), 0
    watched = watch(
        "F4", "pages of long referrers", Party.REGISTRY, target, max_growth_bytes=MAX_GROWTH_BYTES
    )
    async with watched as attack:
        while attack.goes_on:
            number += 1
            subject = f"sha256:{number:064x}"
            many = [
                attached(subject, annotations=notes | {"n": str(each)}, layers=filler)
                for each in range(PAGE_REFERRERS)
            ]
            serve(upstream, many)
            upstream.listing(subject, index_with(each.claimed for each in many))
            answer = await device.get(pull_path(upstream, subject, kind="referrers"))
            assert answer.status in {200, 429}
            upstream.forget()


async def test_lists_without_an_end(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """Each page names another one, or one that was there before."""
    await connect(facade, own_writer, upstream, referrers=True)
    device, number = facade.device(), 0
    async with watch("F4", "lists without an end", Party.REGISTRY, target) as attack:
        while attack.goes_on:
            number += 1
            subject = f"sha256:{number:064x}"
            path = f"/v2/team/app/referrers/{subject}"
            for page in range(100):
                link = f'<{path}/{page + 1 if page < 99 else 5}>; rel="next"'
                headers = (("Content-Type", OCI_INDEX), ("Link", link))
                body = index_with([{"digest": f"sha256:{page:064x}"}])
                place = f"/{page}" if page else ""
                upstream.listing(subject, b"", page=place, get=Answers(200, headers, body))
            answer = await device.get(pull_path(upstream, subject, kind="referrers"))
            assert answer.status in {502, 429}
            upstream.forget()
