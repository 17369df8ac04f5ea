"""How people write hosts, and what is special about some."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.upstream.hosts import (
    HOSTS,
    HostRow,
    UnusableHostError,
    builtin_realms,
    endpoint,
    registry_host_from_people,
    upstream_repository,
)
from shared.upstream.realm import Realm, realm_allowed


@pytest.mark.parametrize(
    "typed, host",
    [
        ("ghcr.io", "ghcr.io"),
        ("  GHCR.io ", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("HTTPS://Quay.IO/", "quay.io"),
        ("https://registry.example.com:443/v2/", "registry.example.com"),
        ("registry.example.com:443", "registry.example.com"),
        ("registry.local:5000", "registry.local:5000"),
        ("https://registry.local:5000/v2", "registry.local:5000"),
        ("10.1.2.3:5000", "10.1.2.3:5000"),
        ("docker.io", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("https://index.docker.io/v1", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("https://registry-1.docker.io:443/v2/", "docker.io"),
        ("https://hub.docker.com/", "docker.io"),
        ("registry.hub.docker.com", "docker.io"),
        ("www.docker.com", "docker.io"),
        ("https://gallery.ecr.aws/", "public.ecr.aws"),
    ],
)
def test_what_people_paste_becomes_the_canonical_host(typed: str, host: str) -> None:
    """One registry has one name, in records and in devices' paths."""
    assert str(registry_host_from_people(typed)) == host


@pytest.mark.parametrize(
    "typed, word",
    [
        ("http://registry.local:5000", "plain_http"),
        ("ftp://registry.local", "https://"),
        ("https://user:password@ghcr.io", "user name"),
        ("user@ghcr.io", "user name"),
        ("ghcr.io/team/app", "path"),
        ("https://ghcr.io/v1/", "path"),
        ("https://hub.docker.com/r/library/busybox", "path"),
        ("ghcr.io/v2/team", "path"),
        ("ghcr.io?x=1", "query"),
        ("ghcr.io#x", "query"),
        ("ghcr.io\\evil", "query"),
        ("gh%63r.io", "query"),
        ("①②⑦.0.0.1", "ASCII"),
        ("ghcr.io\u3002evil.example", "ASCII"),
        ("ghcr .io", "ASCII"),
        ("ghcr.io\n", ""),
        ("gh\x00cr.io", "ASCII"),
        ("[::1]:5000", "IPv6"),
        ("::1", "IPv6"),
        ("fd00::1", "IPv6"),
        ("", "missing"),
        ("   ", "missing"),
        ("https://", "host"),
        ("ghcr.io:", "host"),
        ("ghcr.io:0", "host"),
        ("ghcr.io:65536", "port"),
        ("ghcr.io:http", "host"),
        ("-ghcr.io", "host"),
        ("ghcr..io", "host"),
        ("2130706433", "IPv4"),
        ("0x7f.1", "IPv4"),
        ("127.1", "IPv4"),
        ("a" * 3000, "long"),
    ],
)
def test_what_is_no_host_is_refused_with_a_sentence(typed: str, word: str) -> None:
    """The sentence says what to type instead, and quotes nothing."""
    if typed == "ghcr.io\n":
        assert str(registry_host_from_people(typed)) == "ghcr.io"  # a pasted line's end
        return
    with pytest.raises(UnusableHostError, match=word) as refusal:
        registry_host_from_people(typed)
    assert "password" not in str(refusal.value)


@given(st.text(max_size=40) | st.from_regex(r"(https://)?[a-z0-9.:/@\[\]-]{1,30}", fullmatch=True))
def test_any_text_becomes_a_canonical_host_or_is_refused(typed: str) -> None:
    """What comes out is what comes out again, and what the canonical grammar takes."""
    try:
        host = registry_host_from_people(typed)
    except UnusableHostError:
        return
    assert RegistryHost.parse(str(host)) == host
    assert registry_host_from_people(str(host)) == host


def test_docker_hub_is_served_elsewhere_and_has_a_namespace() -> None:
    """`docker.io/busybox` is `registry-1.docker.io/library/busybox`."""
    hub = RegistryHost.parse("docker.io")
    assert str(endpoint(hub, plain_http=False)) == "https://registry-1.docker.io"
    busybox = RepositoryName.parse("busybox")
    assert str(upstream_repository(hub, busybox)) == "library/busybox"
    assert str(upstream_repository(hub, RepositoryName.parse("team/app"))) == "team/app"
    assert upstream_repository(RegistryHost.parse("ghcr.io"), busybox) == busybox
    assert builtin_realms(hub) == {"https://auth.docker.io/token"}


@pytest.mark.parametrize("row", HOSTS.values(), ids=lambda row: str(row.host))
def test_a_row_is_of_one_registry_alone(row: HostRow) -> None:
    """Its names lead to it, and its token endpoints are no other's."""
    for alias in row.aliases:
        assert registry_host_from_people(alias) == row.host
        assert registry_host_from_people(f"https://{alias}:443/v2/") == row.host
    for realm in row.realms:
        allowed = [
            host
            for host in HOSTS
            if realm_allowed(Realm.parse(realm), host=host, plain_http=False, auth_realms=())
        ]
        assert allowed == [row.host]


def test_an_endpoint_has_scheme_and_port_of_its_connection() -> None:
    """Plain HTTP only where the connection says so."""
    host = RegistryHost.parse("registry.local:5000")
    assert str(endpoint(host, plain_http=True)) == "http://registry.local:5000"
    assert str(endpoint(host, plain_http=False)) == "https://registry.local:5000"
    assert builtin_realms(host) == frozenset()


@pytest.mark.parametrize(
    "typed, words",
    [
        ("http://foo_bar:99999/x?y", ["plain_http", "query", "1 to 65535", "'-'", "path"]),
        ("ftp://u:canary@[::1]:0/x#y",
         ["https://", "fragment", "user name", "IPv6", "1 to 65535", "path"]),
        ("①.example:0/x", ["ASCII", "1 to 65535", "path"]),
        ("HTTP://a b:x@c_d", ["plain_http", "ASCII", "user name"]),
        ("https://a..b:65536/v2/team", ["'-'", "1 to 65535", "path"]),
        ("127.1:0?x", ["IPv4", "1 to 65535", "query"]),
    ],
)  # fmt: skip
def test_everything_that_is_wrong_with_a_host_is_said(typed: str, words: list[str]) -> None:
    """In a sentence each, so that one round of corrections is enough; nothing is quoted."""
    with pytest.raises(UnusableHostError) as refusal:
        registry_host_from_people(typed)
    assert len(refusal.value.problems) == len(words)
    for word in words:
        assert [word in problem for problem in refusal.value.problems].count(True) == 1, word
    assert "canary" not in str(refusal.value)
