"""What stands out for an approver, and in which words."""

import datetime as dt
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.review.document_lines import LINES
from control_plane.review.highlights import (
    MOST_NAMED,
    Highlight,
    HighlightKind,
    Weight,
    highlights,
)
from deploy.dev.device_ca import CertificateAuthority
from shared.connection import Anonymous, ConnectionDocument, GoogleServiceAccount, UsernameAndToken
from tests.unit.control_plane.review.documents import AT, ROLE, SECRET, document, terms
from tests.unit.shared.strategies import connection_documents

CA = CertificateAuthority.create("Company CA")
ENDING = {
    HighlightKind.AUTHORITY_EXPIRED,
    HighlightKind.AUTHORITY_ENDS_SOON,
    HighlightKind.CREDENTIAL_EXPIRED,
    HighlightKind.CREDENTIAL_ENDS_SOON,
}


def standing_out(
    made: ConnectionDocument,
    serving: ConnectionDocument | None = None,
    at: dt.datetime = AT,
    credential_ends: dt.datetime | None = None,
) -> tuple[Highlight, ...]:
    """Return what stands out of a document, and of when its login ends."""
    of_serving = terms(serving, ends=credential_ends) if serving else None
    return highlights(terms(made, ends=credential_ends), of_serving, at)


def found(
    made: ConnectionDocument, serving: ConnectionDocument | None = None
) -> list[HighlightKind]:
    """Return what stands out."""
    return [each.kind for each in standing_out(made, serving)]


def only(made: ConnectionDocument, serving: ConnectionDocument | None = None) -> Highlight:
    """Return the one thing that stands out."""
    (highlight,) = standing_out(made, serving)
    return highlight


def test_a_narrow_connection_has_nothing_that_stands_out() -> None:
    """Otherwise nobody would read what does."""
    assert found(document()) == found(document(), document()) == []
    assert found(document(credential=ROLE)) == []
    assert found(document(credential=GoogleServiceAccount("e@p.iam", "p"), secret=SECRET)) == []


STANDING: dict[HighlightKind, tuple[dict[str, Any], str]] = {
    HighlightKind.SIMILAR_HOST: ({"host": "gchr.io"}, "nearly like ghcr.io"),
    HighlightKind.HOST_IS_ADDRESS: ({"host": "203.0.113.5:5000"}, "answers at 203.0.113.5:5000"),
    HighlightKind.ANONYMOUS: ({"credential": Anonymous()}, "No login"),
    HighlightKind.NO_EXTERNAL_ID: (
        {"credential": attrs.evolve(ROLE, external_id=None)},
        "Without an external id the role can be assumed for anybody",
    ),
    HighlightKind.PULL_THROUGH_CACHE: (
        {"credential": attrs.evolve(ROLE, pull_through_cache=True)},
        "may make repositories in this account",
    ),
    HighlightKind.PLAIN_HTTP: ({"plain_http": True}, "can read the secret"),
    HighlightKind.OWN_AUTHORITY: ({"ca_certificate": CA.pem.decode()}, "CN=Company CA is believed"),
    HighlightKind.FOREIGN_REALM: (
        {"auth_realms": ("https://login.example/token",)},
        "shown to https://login.example/token as well",
    ),
    HighlightKind.PRIVATE_NETWORK: ({"networks": ("10.1.0.0/16",)}, "65,536 addresses inside"),
    HighlightKind.WIDE_NETWORK: (
        {"networks": ("10.0.0.0/8",)},
        "more than the network of one site",
    ),
    HighlightKind.ALL_REPOSITORIES: ({"repositories": ()}, "Every repository below team"),
    HighlightKind.WILDCARD_PATTERN: (
        {"repositories": ("team/**",)},
        "team/** fits every such name",
    ),
    HighlightKind.ALL_FLEETS: ({"fleets": ()}, "Every device with a certificate"),
}


@pytest.mark.parametrize("kind", STANDING)
def test_it_stands_out_at_its_line_and_is_new_only_once(kind: HighlightKind) -> None:
    """A draft that leaves it as it was asks nobody to look at it again."""
    fields, words = STANDING[kind]
    highlight = only(document(**fields))
    assert (highlight.kind, highlight.is_new) == (kind, True)
    assert words in highlight.words
    assert highlight.words[-1] in ".?"
    assert not only(document(**fields), document(**fields)).is_new


CHANGED: dict[HighlightKind, tuple[dict[str, Any], dict[str, Any], str]] = {
    HighlightKind.HOST_CHANGED: ({}, {"host": "other.example"}, "host"),
    HighlightKind.PREFIX_CHANGED: ({}, {"prefix": "team/app"}, "repository_prefix"),
    HighlightKind.IDENTITY_CHANGED: ({}, {"credential": UsernameAndToken("root")}, "username"),
    HighlightKind.SECRET_REPLACED: ({}, {"secret": attrs.evolve(SECRET, version=2)}, "secret"),
    HighlightKind.OTHER_SEALING_KEY: (
        {},
        {"secret": attrs.evolve(SECRET, key_id="f" * 16)},
        "sealing",
    ),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_a_change_stands_out_at_its_line(kind: HighlightKind) -> None:
    """Of what decides who is asked, and as whom."""
    before, after, line = CHANGED[kind]
    highlight = only(document(**after), document(**before))
    assert (highlight.kind, highlight.line, highlight.is_new) == (kind, line, True)


@pytest.mark.parametrize(
    "line, value",
    [
        ("role_arn", "arn:aws:iam::123456789012:role/other"),
        ("account", "999999999999"),
        ("region", "us-east-1"),
        ("external_id", "another-id"),
    ],
)
def test_each_part_of_a_role_stands_out_when_it_changes(line: str, value: Any) -> None:
    """Each of them alone may point a connection at somebody else's account."""
    after = document(credential=attrs.evolve(ROLE, **{line: value}))
    highlight = only(after, document(credential=ROLE))
    assert (highlight.kind, highlight.line) == (HighlightKind.IDENTITY_CHANGED, line)
    assert highlight.weight is Weight.DANGER


def test_another_kind_of_login_stands_out_once() -> None:
    """Not once for each of its parts."""
    changed = standing_out(document(credential=ROLE), document())
    assert [(each.kind, each.line) for each in changed] == [
        (HighlightKind.IDENTITY_CHANGED, "login")
    ]


def test_each_meaning_is_tested_here() -> None:
    """A new one comes with an example."""
    assert STANDING.keys() | CHANGED.keys() | ENDING == set(HighlightKind)


@pytest.mark.parametrize(
    "before_its_end, kind",
    [
        (dt.timedelta(seconds=0), HighlightKind.AUTHORITY_EXPIRED),
        (dt.timedelta(days=29), HighlightKind.AUTHORITY_ENDS_SOON),
        (dt.timedelta(days=31), None),
    ],
)
def test_an_authority_that_ends_is_told(
    before_its_end: dt.timedelta, kind: HighlightKind | None
) -> None:
    """Before the approval, and not by devices that can no longer pull."""
    made = document(ca_certificate=CA.pem.decode())
    at = CA.certificate.not_valid_after_utc - before_its_end
    told = {each.kind for each in standing_out(made, at=at)} - {HighlightKind.OWN_AUTHORITY}
    assert told == ({kind} if kind else set())


@pytest.mark.parametrize(
    "before_its_end, kind",
    [
        (dt.timedelta(seconds=0), HighlightKind.CREDENTIAL_EXPIRED),
        (dt.timedelta(days=29), HighlightKind.CREDENTIAL_ENDS_SOON),
        (dt.timedelta(days=31), None),
    ],
)
def test_a_login_that_ends_is_told(
    before_its_end: dt.timedelta, kind: HighlightKind | None
) -> None:
    """As whoever gave it stated."""
    told = standing_out(document(), document(), credential_ends=AT + before_its_end)
    assert [(each.kind, each.is_new) for each in told] == ([(kind, False)] if kind else [])


def test_what_a_registry_is_known_to_use_is_no_foreign_realm() -> None:
    """And where it is another, the known one is named beside it."""
    assert found(document("quay.io", auth_realms=("https://quay.io/v2/auth",))) == []
    assert found(document(auth_realms=("https://registry.example/any",))) == []
    realm = ("https://quay.io.evil.example/v2/auth",)
    highlight = only(document("quay.io", auth_realms=realm))
    assert "quay.io is known to use https://quay.io/v2/auth" in highlight.words
    assert highlight.weight is Weight.DANGER


def test_without_a_secret_none_is_said_to_be_shown() -> None:
    """Words that are wrong once are not read again."""
    made = document(
        credential=Anonymous(), plain_http=True, auth_realms=("https://login.example/token",)
    )
    assert [each.words for each in standing_out(made) if "secret" in each.words] == []


def test_many_patterns_are_one_highlight() -> None:
    """A page that is full of them hides what is behind them."""
    names = tuple(f"team/a{number}/*" for number in range(20))
    words = only(document(repositories=names)).words
    assert f"{names[MOST_NAMED - 1]} and {20 - MOST_NAMED} more" in words


def test_many_authorities_are_one_highlight() -> None:
    """A bundle of a hundred is one thing to look at."""
    bundle = "".join(
        CertificateAuthority.create(f"CA {number}").pem.decode() for number in range(5)
    )
    words = only(document(ca_certificate=bundle)).words
    assert words.startswith("CN=CA 0, CN=CA 1, CN=CA 2 and 2 more are believed")


def test_dangers_come_first_and_of_those_the_new_ones() -> None:
    """An approver reads from the top."""
    before = document(fleets=(), plain_http=True)
    after = document(fleets=(), plain_http=True, networks=("10.0.0.0/8",))
    told = [(each.weight, each.is_new) for each in standing_out(after, before)]
    assert told == [(Weight.DANGER, True), (Weight.DANGER, False), (Weight.CAUTION, False)]


@given(connection_documents, st.none() | connection_documents)
def test_whatever_a_document_holds_a_highlight_is_at_a_line(
    made: ConnectionDocument, serving: ConnectionDocument | None
) -> None:
    """Nothing that an approver is shown raises."""
    names = {line.name for line in LINES}
    assert {each.line for each in standing_out(made, serving)} <= names
