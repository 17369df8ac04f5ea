"""Which token endpoints may be shown a credential."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.registry_host import RegistryHost
from shared.upstream.errors import RealmNotAllowedError
from shared.upstream.realm import MAX_REALM_CHARACTERS, InvalidRealmError, Realm, require_realm


def allows(
    realm: str, host: str, *, plain_http: bool = False, auth_realms: tuple[str, ...] = ()
) -> bool:
    """Tell whether the realm is allowed to the host's connection."""
    try:
        require_realm(
            realm, host=RegistryHost.parse(host), plain_http=plain_http, auth_realms=auth_realms
        )
    except RealmNotAllowedError:
        return False
    return True


@pytest.mark.parametrize(
    "realm, host",
    [
        ("https://ghcr.io/token", "ghcr.io"),
        ("https://GHCR.io:443/token?x=y", "ghcr.io"),
        ("https://registry.local:5000/service/token", "registry.local:5000"),
        ("https://auth.docker.io/token", "docker.io"),
        ("https://registry-1.docker.io/token", "docker.io"),
        ("https://gitlab.com/jwt/auth", "registry.gitlab.com"),
    ],
)
def test_the_registrys_own_realm_is_allowed(realm: str, host: str) -> None:
    """Its own host and port, or its row of the table."""
    assert allows(realm, host)


@pytest.mark.parametrize(
    "realm, host",
    [
        ("https://evil.example/token", "ghcr.io"),
        ("https://ghcr.io.evil.example/token", "ghcr.io"),
        ("https://evilghcr.io/token", "ghcr.io"),
        ("https://ghcr.io:8443/token", "ghcr.io"),
        ("http://ghcr.io/token", "ghcr.io"),
        ("http://ghcr.io:443/token", "ghcr.io"),
        ("https://registry.local/token", "registry.local:5000"),
        ("https://auth.docker.io/token", "ghcr.io"),
        ("https://auth.docker.io/other", "docker.io"),
        ("https://docker.io/token", "docker.io"),
        ("https://ghcr.io@evil.example/token", "ghcr.io"),
        ("https://user:password@ghcr.io/token", "ghcr.io"),
        ("https://ghcr.io\\@evil.example/token", "ghcr.io"),
        ("https://ghcr.io/token#fragment", "ghcr.io"),
        ("https://ghcr.io /token", "ghcr.io"),
        ("https://ghcr.io:99999/token", "ghcr.io"),
        ("https://[::1]/token", "ghcr.io"),
        ("https://ⓖⓗⓒⓡ.io/token", "ghcr.io"),
        ("//ghcr.io/token", "ghcr.io"),
        ("/token", "ghcr.io"),
        ("file:///etc/passwd", "ghcr.io"),
        ("https://ghcr.io/token\r\nX: y", "ghcr.io"),
        ("https://ghcr.io/" + "a" * MAX_REALM_CHARACTERS, "ghcr.io"),
        ("", "ghcr.io"),
    ],
)
def test_a_foreign_or_odd_realm_is_refused(realm: str, host: str) -> None:
    """go-containerregistry#2193: an attacker's realm got the password."""
    assert not allows(realm, host)


def test_plain_http_is_allowed_to_the_connections_own_host_alone() -> None:
    """Only where the approver saw `plain_http`, and nowhere else even if it is listed."""
    own, host = "http://registry.local:5000/token", "registry.local:5000"
    assert not allows(own, host)
    assert allows(own, host, plain_http=True)
    assert allows("http://registry.local:80/token", "registry.local", plain_http=True)
    assert not allows("http://registry.local:5001/token", host, plain_http=True)
    other = "http://auth.local/token"
    assert not allows(other, host, plain_http=True, auth_realms=(other,))


def test_a_listed_realm_is_allowed_with_its_path_or_as_an_origin() -> None:
    """Artifactory has a path per repository: a bare origin covers them, a path only itself."""
    host = "registry.local"
    listed = ("https://auth.example.com/token",)
    assert allows("https://auth.example.com/token?account=x", host, auth_realms=listed)
    assert allows("https://AUTH.example.com:443/token", host, auth_realms=listed)
    assert not allows("https://auth.example.com/token/", host, auth_realms=listed)
    assert not allows("https://auth.example.com/x/../token", host, auth_realms=listed)
    assert not allows("https://auth.example.com:8443/token", host, auth_realms=listed)
    assert not allows("http://auth.example.com/token", host, auth_realms=listed)
    assert allows("https://auth.example.com/a/b", host, auth_realms=("https://auth.example.com/",))


def test_an_entry_that_is_no_realm_allows_nothing() -> None:
    """Nor does it keep the others from allowing."""
    listed = ("nonsense", "https://user@auth.example.com/", "https://auth.example.com/token")
    assert allows("https://auth.example.com/token", "registry.local", auth_realms=listed)
    assert not allows("https://auth.example.com/x", "registry.local", auth_realms=listed)


def test_a_refusal_shows_the_realm_printable_and_bounded() -> None:
    """An operator decides about it; a log and a terminal must survive it."""
    with pytest.raises(RealmNotAllowedError) as refusal:
        require_realm(
            "https://evil.example/\x1b[2J" + "ä" * 5000,
            host=RegistryHost.parse("ghcr.io"),
            plain_http=False,
            auth_realms=(),
        )
    assert refusal.value.realm.startswith("https://evil.example/?[2J?")
    assert len(refusal.value.realm) <= MAX_REALM_CHARACTERS
    assert "evil" not in str(refusal.value)


def test_path_and_query_are_kept_verbatim() -> None:
    """Nothing is decoded or encoded anew."""
    text = "https://auth.example.com/a%2Fb/token?account=x%2by&client=a+b"
    assert str(Realm.parse(text).url) == text


@given(st.text() | st.from_regex(r"https?://[a-z.:/@?#\\\[\]0-9-]{1,40}", fullmatch=True))
def test_any_text_is_a_realm_or_refused(text: str) -> None:
    """What is accepted names one host for us and for the URL library that connects."""
    try:
        realm = Realm.parse(text)
    except InvalidRealmError:
        return
    assert realm.url.raw_host == realm.host
    assert realm.url.port == realm.port
    assert realm.url.raw_user is None
