"""Rates, roles and networks."""

from ipaddress import ip_address, ip_network
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.connections.checks import networks_within
from control_plane.errors import NotPermittedError, TooManyRequestsError
from control_plane.operators.permissions import Role, require
from control_plane.operators.rate_limit import RateLimit
from shared.canonical_json import Network

NETWORKS = st.lists(
    st.builds(
        lambda address, length: ip_network((address, length), strict=False),
        st.integers(0, 2**32 - 1).map(lambda number: ip_address(number).compressed),
        st.integers(0, 32),
    )
    | st.sampled_from([ip_network("fd00::/8"), ip_network("fd00:1::/32"), ip_network("::/0")]),
    max_size=4,
)


def test_a_bucket_empties_and_fills() -> None:
    """Burst first, then the rate; each name has its own."""
    clock = [0.0]
    limit = RateLimit(lambda: clock[0], burst=2, per_second=0.5)
    limit.take("alice")
    limit.take("alice")
    with pytest.raises(TooManyRequestsError) as refused:
        limit.take("alice")
    assert refused.value.retry_after_seconds == 2
    limit.take("bob")
    clock[0] = 2.0
    limit.take("alice")
    with pytest.raises(TooManyRequestsError):
        limit.take("alice")
    clock[0] = 1000.0
    limit.take("alice")
    limit.take("alice")
    with pytest.raises(TooManyRequestsError):
        limit.take("alice")


@pytest.mark.parametrize("role, needed", list(product(Role, Role)))
def test_a_role_has_what_those_below_it_have(role: Role, needed: Role) -> None:
    """In the order viewer, connector, approver, admin."""
    order = ["viewer", "connector", "approver", "admin"]
    if order.index(role) >= order.index(needed):
        require(role, needed)
    else:
        with pytest.raises(NotPermittedError):
            require(role, needed)


@given(NETWORKS, NETWORKS, st.integers(0, 2**32 - 1))
def test_what_networks_have_in_common(
    wanted: list[Network], opened: list[Network], number: int
) -> None:
    """An address is in the common networks exactly if it is in one of each list."""
    common = networks_within(wanted, opened)
    for address in (ip_address(number), ip_address("fd00:1::1"), ip_address("fd00:2::1")):
        in_both = all(
            any(address in network for network in networks) for networks in (wanted, opened)
        )
        assert any(address in network for network in common) == in_both
