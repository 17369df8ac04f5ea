"""Which addresses may be spoken to: a table, and a slow and obvious oracle."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.canonical_json import Network
from shared.upstream.egress import Address, EgressRule
from shared.upstream.errors import EgressRefusedError

METADATA = "169.254.169.254"


def allows(rule: EgressRule, address: Address | str) -> bool:
    """Tell whether the rule lets the address through."""
    try:
        rule.require_address(ip_address(address) if isinstance(address, str) else address)
    except EgressRefusedError:
        return False
    return True


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700::6810:1", "::ffff:8.8.8.8", "64:ff9b::808:808", "193.0.0.1"],
)
def test_public_addresses_are_allowed(address: str) -> None:
    """Also behind NAT64, where every IPv4 host has such an address."""
    assert allows(EgressRule(), address)


EVERYTHING = EgressRule(
    allowed_networks=(ip_network("0.0.0.0/0"), ip_network("::/0")),
    allow_loopback=True,
    plain_http=True,
)


@pytest.mark.parametrize(
    "address",
    [
        METADATA,
        "169.254.170.2",
        "169.254.1.1",
        "168.63.129.16",
        "192.0.0.192",
        "100.100.100.200",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::1",
        "fe80::1%eth0",
        "febf::1",
        "0.0.0.0",  # noqa: S104 - an address to refuse, not to bind
        "0.1.2.3",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        f"::ffff:{METADATA}",
        f"::ffff:0:{METADATA}",
        f"::{METADATA}",
        f"64:ff9b::{METADATA}",
        f"64:ff9b:1::{METADATA}",
        "64:ff9b:1:a9fe:a9:fe00::",  # RFC 6052 with a /48 prefix
        "64:ff9b:1:a9:fe:a9fe::",  # with a /56
        "64:ff9b:1::a9:fea9:fe00:0",  # with a /64
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",  # Teredo's server
        "2001:0:808:808:0:0:5601:5601",  # Teredo's client, inverted
        f"2001:db8::5efe:{METADATA}",  # ISATAP
        f"2606:4700::200:5efe:{METADATA}",
        "64:ff9b::224.0.0.1",
        "2002:0:0::1",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::",
        "::127.0.0.1",
    ],
)
def test_some_addresses_are_never_allowed(address: str) -> None:
    """Whatever a record says, in whatever form."""
    assert not allows(EVERYTHING, address)


@pytest.mark.parametrize(
    "address, network",
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.1.2.0/24"),
        ("192.168.0.1", "192.168.0.1/32"),
        ("172.16.9.9", "172.16.0.0/12"),
        ("100.64.0.1", "100.64.0.0/10"),
        ("fd12:3456::1", "fd12:3456::/32"),
        ("240.0.0.1", "240.0.0.0/4"),
        ("192.0.2.1", "192.0.2.0/24"),
        ("2001:db8::1", "2001:db8::/32"),
        ("64:ff9b::10.0.0.1", "64:ff9b::/96"),
        ("2002:a00:1::", "2002::/16"),
        ("fec0::1", "fec0::/10"),
        ("4000::1", "4000::/3"),
    ],
)
def test_a_private_address_needs_its_network_named(address: str, network: str) -> None:
    """Allowed networks are beside public addresses, and an approver sees them."""
    assert not allows(EgressRule(), address)
    assert not allows(EgressRule(allowed_networks=(ip_network("10.255.0.0/16"),)), address)
    assert allows(EgressRule(allowed_networks=(ip_network(network),)), address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_needs_the_facades_own_flag(address: str) -> None:
    """A record cannot reach into the machine: a named network is not enough."""
    named = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert not allows(EgressRule(allowed_networks=named), address)
    assert allows(EgressRule(allow_loopback=True), address)


def test_a_refusal_names_the_kind_and_keeps_the_address_apart() -> None:
    """The message may reach a device, the address only the log."""
    with pytest.raises(EgressRefusedError, match="metadata") as refusal:
        EgressRule().require_address(ip_address(METADATA))
    assert METADATA not in str(refusal.value)
    assert refusal.value.address == ip_address(METADATA)


def oracle_faces(address: Address) -> set[Address]:
    """Give every address within an address, by slicing its hexadecimal digits."""
    faces: set[Address] = {address}
    if isinstance(address, IPv4Address):
        return faces
    digits = f"{int(address):032x}"

    def v4(hexadecimal: str) -> IPv4Address:
        return IPv4Address(bytes.fromhex(hexadecimal))

    tail = v4(digits[24:])
    if digits.startswith("0" * 24) and digits not in ("0" * 32, "0" * 31 + "1"):
        faces.add(tail)
    for prefix in ("0" * 20 + "ffff", "0" * 16 + "ffff0000", "0064ff9b" + "0" * 16):
        if digits.startswith(prefix):
            faces.add(tail)
    if digits.startswith("0064ff9b0001"):
        faces |= {
            tail,
            v4(digits[12:16] + digits[18:22]),
            v4(digits[14:16] + digits[18:24]),
            v4(digits[18:26]),
        }
    if digits.startswith("2002"):
        faces.add(v4(digits[4:12]))
    if digits.startswith("20010000"):
        faces |= {v4(digits[8:16]), v4("".join(f"{15 - int(d, 16):x}" for d in digits[24:]))}
    if digits[16:24] in ("00005efe", "02005efe"):
        faces.add(tail)
    return faces


def oracle_is_never(face: Address) -> bool:
    """Tell by text and the library's own predicates."""
    text = str(face)
    return (
        face.is_multicast
        or face.is_link_local
        or face.is_unspecified
        or text in ("168.63.129.16", "192.0.0.192", "100.100.100.200", "255.255.255.255")
        or (isinstance(face, IPv4Address) and text.startswith("0."))
        or face.exploded.startswith(("fd00:0ec2:", "fd20:00ce:"))
    )


def oracle_is_public(face: Address) -> bool:
    """Tell what the library calls global, without transition prefixes and later entries."""
    text = face.exploded
    if isinstance(face, IPv4Address):
        return (
            face.is_global
            and not face.is_reserved
            and not text.startswith(("192.88.99.", "192.0.0."))
        )
    if text.startswith("0064:ff9b:0000:0000:0000:0000:"):
        return True
    protocol_assignments = text.startswith("2001:0") and int(text[5:9], 16) < 0x200
    documentation = text.startswith("3fff:0")
    six_to_four = text.startswith("2002:")
    return (
        face.is_global
        and text[0] in "23"
        and not (protocol_assignments or documentation or six_to_four)
    )


def oracle_allows(rule: EgressRule, address: Address) -> bool:
    """Judge slowly, face by face."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback:
        return rule.allow_loopback
    faces = oracle_faces(address)
    if any(oracle_is_never(face) or face.is_loopback for face in faces):
        return False
    named = any(oracle_holds(network, address) for network in rule.allowed_networks)
    return named or all(oracle_is_public(face) for face in faces)


def oracle_holds(network: Network, address: Address) -> bool:
    """Compare bit by bit, as text."""
    if network.version != address.version:
        return False
    width = network.max_prefixlen
    bits, wanted = f"{int(address):0{width}b}", f"{int(network.network_address):0{width}b}"
    return bits[: network.prefixlen] == wanted[: network.prefixlen]


INTERESTING_V4 = st.one_of(
    st.ip_addresses(v=4),
    st.sampled_from(
        [
            IPv4Address(a)
            for a in (METADATA, "127.0.0.1", "10.0.0.1", "8.8.8.8", "0.0.0.9", "100.64.1.1")
        ]
    ),
)


def embed(v4: IPv4Address, form: int) -> IPv6Address:
    """Put an IPv4 address into one of the places where it may hide."""
    bits = int(v4)
    halves = bits >> 16 << 48 | (bits & 0xFFFF) << 24
    forms = (
        bits,
        0xFFFF << 32 | bits,
        0xFFFF << 48 | bits,
        0x64FF9B << 96 | bits,
        0x64FF9B0001 << 80 | bits,
        0x64FF9B0001 << 80 | halves << 16,
        0x2002 << 112 | bits << 80,
        0x20010000 << 96 | bits << 64,
        0x20010000 << 96 | 0x08080808 << 64 | (bits ^ 0xFFFFFFFF),
        0x26064700 << 96 | 0x5EFE << 32 | bits,
    )
    return IPv6Address(forms[form % len(forms)])


ADDRESSES = st.one_of(
    st.ip_addresses(),
    st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(IPv6Address),
    INTERESTING_V4,
    st.builds(embed, INTERESTING_V4, st.integers(0, 9)),
)


NETWORKS = st.sampled_from(
    [
        ip_network(text)
        for text in (
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.0.0.1/32",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "::/0",
            "::/96",
            "::ffff:0:0/96",
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "2001::/32",
            "2002::/16",
            "fc00::/7",
            "fe80::/10",
        )
    ]
)
RULES = st.builds(
    EgressRule,
    allowed_networks=st.lists(NETWORKS, max_size=3).map(tuple),
    allow_loopback=st.booleans(),
)


@settings(max_examples=1500)
@example(EgressRule(), ip_address("2001:1ff::1"))
@example(EgressRule(), ip_address("2001:200::1"))
@example(EgressRule(), ip_address("3fff:fff::1"))
@example(EgressRule(), ip_address("3fff:1000::1"))
@example(EVERYTHING, ip_address("::ffff:127.0.0.1"))
@given(RULES, ADDRESSES)
def test_the_rule_agrees_with_a_slow_oracle(rule: EgressRule, address: Address) -> None:
    """Written another way, from text and the library's predicates."""
    assert allows(rule, address) == oracle_allows(rule, address)
