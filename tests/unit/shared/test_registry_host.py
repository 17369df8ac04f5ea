"""RegistryHost: one canonical text, read alike by everything that will ever connect."""

from ipaddress import IPv4Address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from shared.oci import RepositoryName
from shared.registry_host import InvalidRegistryHostError, RegistryHost
from tests.unit.shared.strategies import registry_hosts

HOSTILE = [
    "",
    ".",
    "..",
    "a..b",
    ".a",
    "a.",
    "registry.example.",
    "-a",
    "a-",
    "a.-b",
    "a_b",
    "A",
    "Registry.example",
    "\u2460\u2461\u2466.0.0.1",  # circled digits: aiohttp connected to 127.0.0.1
    "127\u30020\u30020\u30021",  # ideographic full stops
    "\uff11\uff12\uff17.0.0.1",
    "\u0661.2.3.4",
    "b\u00fccher.example",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.1",
    "127.0.1",
    "127.0.0.01",
    "0127.0.0.1",
    "127.0.0.0x1",
    "127.0.0.1.5",
    "256.0.0.1",
    "1.2.3.4.",
    "example.1",
    "example.0x",
    "example.0xff",
    "::1",
    "[::1]",
    "[::1]:5000",
    "::ffff:127.0.0.1",
    "u:p@h",
    "u@h",
    "h:0",
    "h:00",
    "h:05000",
    "h:443",
    "h:65536",
    "h:99999",
    "h:100000",
    "h:",
    "h:-1",
    "h:+1",
    "h: 80",
    "h:8\u0660",
    "h:80:80",
    "h/v2",
    "h?x",
    "h#x",
    "h\\x",
    "h%2e",
    "h%00",
    "h\0",
    "h\n",
    "h\r\nX: y",
    " h",
    "h ",
    "h\t",
    "https://h",
    "//h",
    "*",
    "a*b",
    "a" * 64,
    ".".join(["a" * 63] * 4),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_hosts_are_refused(text: str) -> None:
    """Each was seen, somewhere, to connect to another host than it shows."""
    with pytest.raises(InvalidRegistryHostError):
        RegistryHost.parse(text)


def test_a_refusal_does_not_quote_the_host() -> None:
    """People paste `user:password@host`."""
    with pytest.raises(InvalidRegistryHostError) as caught:
        RegistryHost.parse("robot:canary@registry.example")
    assert "canary" not in repr(caught.value)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_hosts_are_refused_in_a_path(text: str) -> None:
    """A device's path is read by the same grammar."""
    with pytest.raises(InvalidRegistryHostError):
        RegistryHost.parse_path_form(text.replace(":", "_"))


@pytest.mark.parametrize(
    "text",
    [
        "ghcr.io",
        "docker.io",
        "localhost",
        "localhost:5000",
        "registry.local:5000",
        "127.0.0.1:5000",
        "0.0.0.0",  # noqa: S104  # a text; the egress rule forbids it when it is resolved
        "h:1",
        "h:65535",
        "xn--bcher-kva.example",
        "1password.example",
        "3.example",
        "a--b.example",
        "a" * 63,
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    ],
)
def test_hosts_as_they_are_connected_are_accepted(text: str) -> None:
    """Names, ports and addresses of real registries."""
    assert str(RegistryHost.parse(text)) == text


@given(registry_hosts)
def test_everything_that_connects_reads_the_same_host(host: RegistryHost) -> None:
    """What is accepted means one thing to yarl (so to aiohttp), urllib and ipaddress."""
    url = URL(f"https://{host}/v2/")
    assert url.raw_host == host.name
    assert url.explicit_port == host.port
    assert url.user is None
    parts = urlsplit(f"https://{host}/v2/")
    assert (parts.hostname, parts.port) == (host.name, host.port)
    ends_in_number = host.name.rpartition(".")[2].isdigit()
    assert host.address == (IPv4Address(host.name) if ends_in_number else None)


@given(st.text())
def test_what_is_accepted_is_canonical(text: str) -> None:
    """There is one text for one host, so two rows cannot mean the same one."""
    try:
        host = RegistryHost.parse(text)
    except InvalidRegistryHostError:
        return
    assert str(host) == text


@given(registry_hosts)
def test_path_form_comes_back(host: RegistryHost) -> None:
    """A port is written `host_port` in a device's reference, and nothing is lost."""
    assert RegistryHost.parse_path_form(host.path_form) == host
    assert RegistryHost.parse(str(host)) == host


@given(registry_hosts)
def test_path_form_is_a_component_that_clients_accept(host: RegistryHost) -> None:
    """Clients check the path of a reference against the grammar of repository names."""
    assert RepositoryName.parse(host.path_form).components == (host.path_form,)


def test_path_form_is_the_only_form_in_a_path() -> None:
    """Two spellings of one host in a path would be two names for one thing."""
    with pytest.raises(InvalidRegistryHostError):
        RegistryHost.parse_path_form("registry.local:5000")
    with pytest.raises(InvalidRegistryHostError):
        RegistryHost.parse("registry.local_5000")
