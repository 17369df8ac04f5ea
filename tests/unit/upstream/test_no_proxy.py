"""What is reached directly: which entries there are, what each covers, and what is none."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.setting_types import InvalidSettingError
from shared.upstream.no_proxy import NO_EXCEPTIONS, NoProxy
from shared.upstream.proxy import OutboundProxy
from shared.upstream.tunnel import Direct, Tunnel, ways_to

CANARY = "canary-in-a-list"


@pytest.mark.parametrize(
    "text, covered, not_covered",
    [
        (
            "corp.example",
            ["corp.example", "a.corp.example", "a.b.corp.example", "CORP.example", "corp.example."],
            ["notcorp.example", "corp.example.org", "example"],
        ),
        (".corp.example", ["a.corp.example", "A.Corp.Example."], ["corp.example", "xcorp.example"]),
        ("*.corp.example", ["a.corp.example", "b.a.corp.example"], ["corp.example"]),
        ("CORP.Example.", ["corp.example"], ["corp.example.com"]),
        ("localhost", ["localhost", "a.localhost"], ["localhost.example"]),
        ("my_bucket.store.example", ["my_bucket.store.example"], ["store.example"]),
        ("10.0.0.7", ["10.0.0.7"], ["10.0.0.70", "1.10.0.0.7.example", "10.0.0.8"]),
        ("10.0.0.0/8", ["10.0.0.7", "10.255.255.255"], ["11.0.0.1", "::a00:7"]),
        ("10.1.2.3/8", ["10.0.0.7"], ["11.0.0.1"]),
        ("fd00::/8", ["fd00::7", "[fd00::7]"], ["fe00::7", "10.0.0.7"]),
        ("[fd00::7]", ["fd00::7", "FD00:0::7"], ["fd00::8"]),
        ("fd00::7", ["fd00::7"], ["fd00::8"]),
        ("10.0.0.0/8", ["::ffff:10.0.0.7"], ["::ffff:11.0.0.7"]),
        ("::ffff:10.0.0.7", ["10.0.0.7"], ["10.0.0.8"]),
        ("::ffff:10.0.0.0/104", ["10.0.0.7", "::ffff:10.0.0.7"], ["11.0.0.7"]),
        ("*", ["corp.example", "10.0.0.7", "fd00::7"], []),
        ("a.example, .b.example  10.0.0.0/8,",
         ["a.example", "x.b.example", "10.9.9.9"], ["b.example"]),
        ("a.example,*", ["anything.example"], []),
    ],
)  # fmt: skip
def test_an_entry_covers_what_it_says(
    text: str, covered: list[str], not_covered: list[str]
) -> None:
    """As Go reads `NO_PROXY`, and with it every other tool of a container's host."""
    listed = NoProxy.parse(text)
    assert [host for host in covered if not listed.covers_name(host, 443)] == []
    assert [host for host in not_covered if listed.covers_name(host, 443)] == []


@pytest.mark.parametrize(
    "text, host",
    [
        ("corp.example:5000", "corp.example"),
        (".corp.example:5000", "a.corp.example"),
        ("*.corp.example:5000", "a.corp.example"),
        ("10.0.0.7:5000", "10.0.0.7"),
        ("[fd00::7]:5000", "fd00::7"),
    ],
)
def test_an_entry_with_a_port_covers_that_port_alone(text: str, host: str) -> None:
    """Another service of the same machine goes through the proxy."""
    assert NoProxy.parse(text).covers_name(host, 5000)
    assert not NoProxy.parse(text).covers_name(host, 443)


def test_a_network_covers_the_address_that_a_name_leads_to() -> None:
    """Where it is known; a name alone says nothing of a network."""
    listed = NoProxy.parse("10.0.0.0/8,192.0.2.7:5000")
    assert not listed.covers_name("registry.example", 443)
    inside, outside = ip_address("10.0.0.7"), ip_address("11.0.0.7")
    assert listed.covers_all("registry.example", 443, [inside])
    assert not listed.covers_all("registry.example", 443, [inside, outside])
    assert not listed.covers_all("registry.example", 443, [])
    assert listed.covers_address(ip_address("192.0.2.7"), 5000)
    assert not listed.covers_address(ip_address("192.0.2.7"), 443)


@pytest.mark.parametrize(
    "entry",
    [
        "http://corp.example",
        f"http://user:{CANARY}@corp.example",
        f"user:{CANARY}@corp.example",
        "corp.example/path",
        "corp.example:0",
        "corp.example:65536",
        "corp.example:http",
        "corp.example:",
        "foo*.example",
        "*.*.example",
        "**",
        "*:443",
        "*.",
        ".",
        "..corp.example",
        "corp..example",
        "-corp.example",
        "corp-.example",
        "ümlaut.example",
        "10.0.0.0/33",
        "10.0.0/8",
        "10.0.0",
        "10.0.0.256",
        "1.2.3.4.5",
        "0x7f.1",
        "127.1",
        "[10.0.0.7]",
        "[fd00::7",
        "fd00::7]:443",
        "fe80::1%eth0",
        "fe80::%eth0/64",
        "fd00::/129",
        "corp.example;other.example",
        "x" * 64,
        ".".join(["x" * 60] * 5),
    ],
)
def test_what_is_no_entry_is_refused_by_its_place(entry: str) -> None:
    """The list is told to be wrong at the start, and nothing of it is quoted."""
    with pytest.raises(InvalidSettingError, match="entry 2 is none of") as refused:
        NoProxy.parse(f"corp.example,{entry},other.example")
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_an_empty_list_is_refused(text: str) -> None:
    """It is more often a template's failure than a wish."""
    with pytest.raises(InvalidSettingError, match="expected"):
        NoProxy.parse(text)


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(lambda labels: [*labels, "example"])
PORTS = st.integers(1, 65535)
ADDRESSES = st.ip_addresses()


@given(NAMES, NAMES, st.sampled_from(["", ".", "*."]), PORTS)
def test_names_are_compared_label_by_label(
    listed: list[str], asked: list[str], prefix: str, port: int
) -> None:
    """Never letter by letter: `evilcorp.example` is not below `corp.example`."""
    below = len(asked) > len(listed) and asked[-len(listed) :] == listed
    expected = below or (asked == listed and not prefix)
    text = prefix + ".".join(listed)
    assert NoProxy.parse(text).covers_name(".".join(asked), port) == expected
    deeper = [*listed[:1], *listed]
    assert NoProxy.parse(text).covers_name(".".join(deeper), port)


@given(ADDRESSES, st.integers(0, 128), ADDRESSES, PORTS)
def test_networks_are_compared_bit_by_bit(
    base: IPv4Address | IPv6Address, length: int, asked: IPv4Address | IPv6Address, port: int
) -> None:
    """Of the same version, mapped addresses as the IPv4 ones that they are."""
    network = ip_network((base, min(length, base.max_prefixlen)), strict=False)
    listed = NoProxy.parse(str(network))
    mapped = asked.ipv4_mapped if isinstance(asked, IPv6Address) else None
    plain = mapped or asked
    if plain.version == network.version:
        shift = network.max_prefixlen - network.prefixlen
        expected = int(plain) >> shift == int(network.network_address) >> shift
        assert listed.covers_address(asked, port) == expected
    assert listed.covers_address(base, port) or base in ip_network("::ffff:0:0/96")


@given(st.text(max_size=40) | st.text("abc.*:/[]0123456789,- ", max_size=30), PORTS)
def test_any_text_is_read_or_refused(text: str, port: int) -> None:
    """Nothing but the declared error; what was read answers for any host."""
    try:
        listed = NoProxy.parse(text)
    except InvalidSettingError:
        return
    for host in ("registry.example", "10.0.0.7", "fd00::7", ""):
        assert listed.covers_name(host, port) in {True, False}


ENTRIES = st.lists(
    st.sampled_from(["*", "example", ".example", "10.0.0.0/8", "::/0", "0.0.0.0/0", "1.2.3.4:443"]),
    max_size=3,
)  # fmt: skip


@given(ENTRIES, NAMES, st.sampled_from([443, 5000]), st.lists(ADDRESSES, max_size=4))
def test_a_list_chooses_ways_and_adds_no_address(
    entries: list[str],
    name: list[str],
    port: int,
    allowed: list[IPv4Address | IPv6Address],
) -> None:
    """What is dialled, directly or by the proxy, is what the egress rule let through: all of it."""
    listed = NoProxy.parse(",".join(entries)) if entries else NO_EXCEPTIONS
    proxy = OutboundProxy("proxy.example", 3128, no_proxy=listed)
    ways = ways_to(proxy, ".".join(name), port, allowed)
    direct = {each for way in ways if isinstance(way, Direct) for each in way.addresses}
    tunnels = [way.authority for way in ways if isinstance(way, Tunnel)]
    assert {f"[{each}]:{port}" if each.version == 6 else f"{each}:{port}" for each in allowed} == {
        *tunnels,
        *(f"[{each}]:{port}" if each.version == 6 else f"{each}:{port}" for each in direct),
    }
    assert len(tunnels) + len(direct) == len(set(allowed))
    assert all(way.port == port for way in ways if isinstance(way, Direct))
    if not entries:
        assert not direct
