"""Names to judged addresses."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address, ip_network

import pytest

from shared.upstream.egress import EgressRule
from shared.upstream.errors import EgressRefusedError, ResolveError, Step, UpstreamTimeoutError
from shared.upstream.resolver import (
    MAX_ADDRESSES,
    MAX_LOOKUPS,
    AddressInfo,
    PinnedResolver,
    system_lookup,
)
from tests.support.eventually import PATIENCE_SECONDS, eventually
from tests.support.simulators.name_service import NameService

METADATA = "169.254.169.254"
PUBLIC = "8.8.8.8"
NAME = "registry.example.com"
PUBLIC_ONLY = EgressRule()


@pytest.fixture
async def loopback() -> AsyncIterator[PinnedResolver]:
    """A resolver of the machine's names, for which loopback is open."""
    resolver = PinnedResolver(EgressRule(allow_loopback=True))
    yield resolver
    await resolver.close()


async def resolved(names: NameService, rule: EgressRule = PUBLIC_ONLY) -> list[str]:
    """Return the addresses that a new resolver gives for the name."""
    resolver = PinnedResolver(rule, lookup=names)
    try:
        return [result["host"] for result in await resolver.resolve(NAME, 443)]
    finally:
        await resolver.close()


async def test_a_name_gives_the_addresses_that_are_connected_to(loopback: PinnedResolver) -> None:
    """The connector gets numbers, so nothing is resolved a second time."""
    results = await loopback.resolve("localhost", 5000)
    assert results
    for result in results:
        assert ip_address(result["host"]).is_loopback
        assert (result["hostname"], result["port"]) == ("localhost", 5000)
        assert result["flags"] & socket.AI_NUMERICHOST


async def test_a_name_with_no_allowed_address_is_refused_by_kind() -> None:
    """The message says which kind of address, the error keeps which."""
    with pytest.raises(EgressRefusedError, match="loopback") as refusal:
        await PinnedResolver(EgressRule()).resolve("localhost", 443)
    assert refusal.value.address is not None
    assert str(refusal.value.address) not in str(refusal.value)


@pytest.mark.parametrize("name", ["registry.invalid", "a" * 64 + ".example", "a..b"])
async def test_a_name_without_an_address_does_not_resolve(
    loopback: PinnedResolver, name: str
) -> None:
    """Also a name that is none."""
    with pytest.raises(ResolveError):
        await loopback.resolve(name, 443)


@pytest.mark.parametrize("name", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376"])
async def test_an_address_in_disguise_is_judged_as_what_it_is(
    loopback: PinnedResolver, name: str
) -> None:
    """The C library reads these as 169.254.169.254."""
    with pytest.raises(EgressRefusedError, match="metadata"):
        await loopback.resolve(name, 80)


async def test_of_several_addresses_only_the_allowed_are_given() -> None:
    """One bad record does not take a registry away, and one good one does not let it in."""
    names = NameService()
    names.answer(NAME, [METADATA, "10.0.0.1", PUBLIC, "::1", f"::ffff:{METADATA}", "1.1.1.1"])
    assert await resolved(names) == [PUBLIC, "1.1.1.1"]
    inside = EgressRule(allowed_networks=(ip_network("10.0.0.0/24"),))
    assert await resolved(names, inside) == ["10.0.0.1", PUBLIC, "1.1.1.1"]


@pytest.mark.parametrize(
    "address",
    [
        METADATA,
        "169.254.170.2",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%1",
        "10.0.0.1",
        "127.0.0.1",
        "::1",
        "0.0.0.0",  # noqa: S104 - an address to refuse, not to bind
        "::",
        f"::ffff:{METADATA}",
        f"64:ff9b::{METADATA}",
        "2002:a9fe:a9fe::1",
    ],
)
async def test_a_name_that_becomes_another_address_is_judged_again(address: str) -> None:
    """DNS rebinding: public when it was approved, an inside address when it is pulled from."""
    names = NameService()
    names.answer(NAME, [PUBLIC], [address])
    assert await resolved(names) == [PUBLIC]
    with pytest.raises(EgressRefusedError):
        await resolved(names)


async def test_a_name_with_very_many_addresses_gives_some() -> None:
    """They are tried one after the other while a device waits."""
    names = NameService()
    names.answer(NAME, [f"8.8.{n // 256}.{n % 256}" for n in range(1000)])
    assert len(await resolved(names)) == MAX_ADDRESSES


async def test_a_name_without_any_record_does_not_resolve() -> None:
    """An empty answer is none."""
    names = NameService()
    names.answer(NAME, [])
    with pytest.raises(ResolveError):
        await resolved(names)


class SilentNameServer:
    """A lookup that answers nothing until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.running = 0

    def __call__(self, host: str, port: int, family: socket.AddressFamily) -> Sequence[AddressInfo]:
        """Wait, as the C library waits for name servers."""
        self.running += 1
        self.let_go.wait(timeout=PATIENCE_SECONDS)
        return system_lookup(host, port, family)


def resolving_threads() -> int:
    """Count the threads of all resolvers."""
    return sum(each.name.startswith("resolve") for each in threading.enumerate())


async def test_no_thread_is_left_between_lookups(loopback: PinnedResolver) -> None:
    """Ten thousand registries are not as many threads."""
    for _ in range(2):
        assert all(await asyncio.gather(*(loopback.resolve("localhost", 443) for _ in range(9))))
        await eventually(lambda: resolving_threads() == 0)


async def test_a_silent_name_server_is_a_timeout_and_holds_up_nobody_else() -> None:
    """The loop's own threads are few, and shared with every other connection."""
    silent = SilentNameServer()
    resolver = PinnedResolver(EgressRule(allow_loopback=True), lookup=silent, seconds=0.3)
    try:
        lookups = [resolver.resolve("localhost", 443) for _ in range(50)]
        waiting = asyncio.gather(*lookups, return_exceptions=True)
        other = PinnedResolver(EgressRule(allow_loopback=True))
        assert await other.resolve("localhost", 443)
        await asyncio.to_thread(lambda: None)  # nor are the loop's threads taken
        assert silent.running <= MAX_LOOKUPS
        for failure in await waiting:
            assert isinstance(failure, UpstreamTimeoutError)
            assert failure.step is Step.RESOLVE
        assert silent.running <= MAX_LOOKUPS
    finally:
        silent.let_go.set()
        await resolver.close()
    await eventually(lambda: resolving_threads() == 0)
