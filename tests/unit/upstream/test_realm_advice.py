"""Nobody is advised to allow a token endpoint that the API would refuse, or that stays refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from control_plane.connections.fields import parse_realm
from shared.registry_host import RegistryHost
from shared.upstream.errors import RealmNotAllowedError
from shared.upstream.realm import require_realm

HOST = RegistryHost("registry.example")

_REALMS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS://", "//", "ftp://", ""]),
    st.sampled_from(["", "user@", "a:b@"]),
    st.sampled_from(
        ["auth.example", "registry.example", "AUTH.example", "10.0.0.1", "[::1]", "1", "ä.example"]
    ),
    st.sampled_from(["", ":", ":443", ":0", ":8443", ":99999", ":x"]),
    st.sampled_from(["", "/", "/token", "/t%2Fk?a=b", "?a=b", "/t#f", "/t ", "/\\", "/{x}"]),
)


@pytest.mark.parametrize("plain_http", [False, True])
@given(realm=_REALMS | st.text(max_size=40))
@example(realm="https://auth.example/" + "a" * 3000)
@example(realm="http://registry.example/service/token")
def test_what_is_advised_is_accepted_and_allows_the_realm(realm: str, *, plain_http: bool) -> None:
    """By the field rule of the admin API itself, and by the rule of the connection."""
    try:
        require_realm(realm, host=HOST, plain_http=plain_http, auth_realms=())
    except RealmNotAllowedError as error:
        advice, entry = error.advice, error.entry
    else:
        return
    assert ("auth_realms" in advice) is (entry is not None)
    if entry is not None:
        assert entry in advice
        assert parse_realm(entry) == entry
        require_realm(realm, host=HOST, plain_http=plain_http, auth_realms=(entry,))


@pytest.mark.parametrize(
    "realm, words",
    [
        ("https://auth.example/token", "add https://auth.example/token to"),
        ("https://auth.example:8443/t?service=x", "add https://auth.example:8443/t to"),
        ("http://registry.example/service/token", "over https alone"),
        ("http://auth.example/token", "over https alone"),
        ("https://user@auth.example/token", "not a plain https:// URL"),
        ("/token", "not a plain https:// URL"),
    ],
)
def test_an_operator_is_told_what_helps(realm: str, words: str) -> None:
    """An entry, or that the registry itself has to be mended."""
    with pytest.raises(RealmNotAllowedError) as refusal:
        require_realm(realm, host=HOST, plain_http=False, auth_realms=())
    assert words in refusal.value.advice
