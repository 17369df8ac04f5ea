"""Names to judged addresses."""

import socket
from ipaddress import ip_address

import pytest

from shared.upstream.egress import EgressRule
from shared.upstream.errors import EgressRefusedError, ResolveError
from shared.upstream.resolver import PinnedResolver

LOOPBACK = PinnedResolver(EgressRule(allow_loopback=True))


async def test_a_name_gives_the_addresses_that_are_connected_to() -> None:
    """The connector gets numbers, so nothing is resolved a second time."""
    results = await LOOPBACK.resolve("localhost", 5000)
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
async def test_a_name_without_an_address_does_not_resolve(name: str) -> None:
    """Also a name that is none."""
    with pytest.raises(ResolveError):
        await LOOPBACK.resolve(name, 443)


@pytest.mark.parametrize("name", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376"])
async def test_an_address_in_disguise_is_judged_as_what_it_is(name: str) -> None:
    """The C library reads these as 169.254.169.254."""
    with pytest.raises(EgressRefusedError, match="metadata"):
        await LOOPBACK.resolve(name, 80)
