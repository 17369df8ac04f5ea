"""Whom an address belongs to."""

import pytest

from shared.site import site_of


@pytest.mark.parametrize(
    "address, site",
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_a_site_is_an_address_or_an_ipv6_network(address: str, site: str) -> None:
    """One machine has all the addresses of its network."""
    assert site_of(address) == site
