"""`WWW-Authenticate` as registries send it, and as nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.upstream.challenge import (
    MAX_CHALLENGE_CHARACTERS,
    MAX_CHALLENGES,
    BasicChallenge,
    BearerChallenge,
    Challenge,
    OtherChallenge,
    parse_challenges,
    preferred,
)
from shared.upstream.errors import ChallengeError

REALM = "https://auth.example.com/token"


@pytest.mark.parametrize(
    "value, expected",
    [
        (f'Bearer realm="{REALM}"', BearerChallenge(REALM)),
        (
            f'Bearer realm="{REALM}",service="registry.example.com",scope="repository:a:pull,push"',
            BearerChallenge(REALM, "registry.example.com", "repository:a:pull,push"),
        ),
        (f'bEARER  REALM = "{REALM}" , SERVICE=x', BearerChallenge(REALM, "x")),
        (f'Bearer service="a\\"b,c",realm="{REALM}"', BearerChallenge(REALM, 'a"b,c')),
        (f',, Bearer realm="{REALM}", ,error="invalid_token",', BearerChallenge(REALM)),
        ('Basic realm="Registry Realm"', BasicChallenge("Registry Realm")),
        ("Basic", BasicChallenge("")),
        ('Basic realm="Règistre"', BasicChallenge("Règistre")),
        ("Negotiate", OtherChallenge("negotiate")),
        ("Negotiate YIIJvwYGKwYBBQUCoIIJszCCCa+=", OtherChallenge("negotiate")),
        ('Digest realm="a", qop="auth,auth-int", nonce=abc', OtherChallenge("digest")),
    ],
)
def test_one_challenge_is_read(value: str, expected: Challenge) -> None:
    """Names are case-insensitive, commas and quotes may stand within quotes (RFC 9110)."""
    assert parse_challenges([value]) == (expected,)


@pytest.mark.parametrize(
    "values",
    [
        ["Negotiate", f'Bearer realm="{REALM}"', 'Basic realm="r"'],
        [f'Negotiate, Bearer realm="{REALM}", Basic realm="r"'],
        [f'Negotiate abc==, Bearer realm="{REALM}"', "Basic realm=r"],
    ],
)
def test_several_challenges_are_read_from_one_value_and_from_several(values: list[str]) -> None:
    """`Negotiate` in the first header was seen to hide `Bearer` in the second."""
    assert parse_challenges(values) == (
        OtherChallenge("negotiate"),
        BearerChallenge(REALM),
        BasicChallenge("r"),
    )


@pytest.mark.parametrize(
    "value",
    [
        f'Bearer realm="{REALM}',
        'Bearer realm="https://a\\',
        "Bearer",
        "Bearer realm=",
        'Bearer realm=""',
        'Bearer service="s"',
        "Bearer realm",
        f'Bearer realm="{REALM}",realm="https://evil.example/token"',
        f'Bearer realm="{REALM}" service="s"',
        f'Bearer realm="{REALM}"x',
        f'Bearer realm="{REALM}" Basic realm="r"',
        "Basic a b",
        "=",
        "Basic realm=r;x=y",
        'Basic realm="a\x00b"',
        'Basic realm="a\nb"',
        "Negotiate\n",
        "Bé realm=x",
        f'Bearer realm="{REALM}",service="\udc80"',
        f'Bearer realm="{REALM}é"',
    ],
)
def test_what_is_not_a_challenge_is_refused(value: str) -> None:
    """A guess would decide who is shown a credential."""
    with pytest.raises(ChallengeError) as refusal:
        parse_challenges([value])
    assert "evil" not in str(refusal.value)


def test_length_and_number_are_bounded() -> None:
    """A challenge of 64 KiB costs nothing."""
    with pytest.raises(ChallengeError):
        parse_challenges(['Basic realm="' + "a" * 65536 + '"'])
    with pytest.raises(ChallengeError):
        parse_challenges(["Basic"] * (MAX_CHALLENGES + 1))
    with pytest.raises(ChallengeError):
        parse_challenges(["a" * (MAX_CHALLENGE_CHARACTERS // 2 + 1)] * 2)


def test_bearer_is_preferred_to_basic() -> None:
    """A token opens one repository, a password everything."""
    bearer, basic = BearerChallenge(REALM), BasicChallenge("r")
    assert preferred((OtherChallenge("negotiate"), basic, bearer)) == bearer
    assert preferred((OtherChallenge("negotiate"), basic)) == basic
    assert preferred((OtherChallenge("negotiate"),)) is None
    assert preferred(()) is None


@given(st.lists(st.text(), max_size=4))
def test_any_text_is_read_or_refused(values: list[str]) -> None:
    """Nothing but our own error leaves the parser."""
    try:
        challenges = parse_challenges(values)
    except ChallengeError:
        return
    assert all(c.realm for c in challenges if isinstance(c, BearerChallenge))


TOKENS = st.text("abcXYZ019!#$%&'*+.^_`|~-", min_size=1, max_size=12)
VISIBLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


def quoted(text: str) -> str:
    """Return a quoted-string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


BEARERS = st.builds(BearerChallenge, VISIBLE.filter(bool), VISIBLE, VISIBLE)
BASICS = st.builds(BasicChallenge, VISIBLE)
OTHERS = st.builds(
    OtherChallenge, TOKENS.map(str.lower).filter(lambda name: name not in ("bearer", "basic"))
)


def written(challenge: Challenge) -> str:
    """Write a challenge as a careful server would."""
    match challenge:
        case BearerChallenge(realm, service, scope):
            return (
                f"Bearer realm={quoted(realm)}, service={quoted(service or '')},"
                f"scope={quoted(scope or '')}"
            )
        case BasicChallenge(realm):
            return f"Basic realm={quoted(realm)}"
        case OtherChallenge(scheme):
            return scheme


@given(st.lists(st.one_of(BEARERS, BASICS, OTHERS), min_size=1, max_size=6), st.booleans())
def test_what_was_written_is_what_is_read(challenges: list[Challenge], together: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """Round trip, in one header or in several."""
    values = [written(challenge) for challenge in challenges]
    assert parse_challenges([", ".join(values)] if together else values) == tuple(challenges)
