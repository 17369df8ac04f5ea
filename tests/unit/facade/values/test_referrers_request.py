"""A request for referrers is read off the raw target, or is none."""

from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.values.pull_path import Pull, Refusal, parse_request
from facade.values.referrers_request import (
    MAX_ARTIFACT_TYPE_CHARACTERS,
    MAX_ARTIFACT_TYPES,
    ReferrersRequest,
    parse_referrers,
)
from shared.oci import Digest, InvalidDigestError, Kind, RepositoryName
from shared.registry_host import RegistryHost
from tests.unit.facade.values.test_pull_path import DIGEST, authorities, targets

APP = f"/v2/a.example_5000/team/app/referrers/{DIGEST}"
SUBJECT = Pull(
    RegistryHost.parse("a.example:5000"),
    RepositoryName.parse("team/app"),
    Kind.MANIFEST,
    Digest.parse(DIGEST),
)
types = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=60
)


def asked(query: str = "") -> ReferrersRequest:
    """Return what a query asks for."""
    found = parse_referrers("GET", APP + query)
    assert found is not None
    return found


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_subject_is_a_manifest_by_digest(method: str) -> None:
    """Who may pull it may ask what refers to it."""
    for target in (APP, f"{APP}?ns=docker.io", f"https://u:p@h:1{APP}", f"{APP}?"):
        found = parse_referrers(method, target)
        assert found == ReferrersRequest(SUBJECT, APP)
        assert found.after() is None


@pytest.mark.parametrize(
    "method, target",
    [
        ("POST", APP),
        ("GET", APP.replace("/referrers/", "/manifests/")),
        ("GET", APP.replace(DIGEST, "latest")),
        ("GET", APP.replace(DIGEST, f"{DIGEST}/")),
        ("GET", APP.replace(DIGEST, f"{DIGEST.upper()}")),
        ("GET", APP.replace("team", "te%61m")),
        ("GET", APP.replace("team", "Team")),
        ("GET", APP.replace("/team", "//team")),
        ("GET", APP.replace("a.example_5000", "a.example:5000")),
        ("GET", f"/v2/referrers/{DIGEST}"),
        ("GET", f"/v2/a.example/referrers/{DIGEST}"),
        ("GET", f"/v1/a.example/b/referrers/{DIGEST}"),
        ("GET", "/v2/"),
    ],
)
def test_everything_else_is_refused_as_before(method: str, target: str) -> None:
    """By the grammar of pulls, which knows no such route."""
    assert parse_referrers(method, target) is None
    assert isinstance(parse_request(method, target), Refusal | Pull) or target == "/v2/"


def test_a_filter_is_read_as_clients_write_it() -> None:
    """Escaped or not: a media type has a plus, and never a space."""
    plus = "application/vnd.oci.image.config.v1+json"
    for written in (plus, quote(plus, safe=""), plus.replace("/", "%2f")):
        assert asked(f"?artifactType={written}").artifact_types == {plus}
    assert asked("?artifactType=a/b&n=5&artifactType=c/d").artifact_types == {"a/b", "c/d"}


@pytest.mark.parametrize(
    "query",
    [
        "?artifactType=",
        "?artifactType",
        "?artifacttype=a/b",
        "?artifactType=%zz",
        "?artifactType=%0a",
        "?artifactType=a/b&artifactType=%",
        f"?artifactType={'a' * (MAX_ARTIFACT_TYPE_CHARACTERS + 1)}",
        "?" + "&".join(f"artifactType={n}" for n in range(MAX_ARTIFACT_TYPES + 1)),
    ],
)
def test_a_filter_that_cannot_be_read_is_none(query: str) -> None:
    """The client is told that none was applied, and filters by itself."""
    assert asked(query).artifact_types == frozenset()


@given(types=st.lists(types, max_size=MAX_ARTIFACT_TYPES), after=st.binary(max_size=9))
def test_the_next_page_is_asked_for_in_the_same_way(types: list[str], after: bytes) -> None:
    """Its target is of visible ASCII, and is read as it was meant."""
    query = "&".join(f"artifactType={quote(each)}" for each in types)
    target = asked(f"?{query}").next_target(Digest.of(after))
    assert all("!" <= letter <= "~" and letter not in "<>" for letter in target)
    found = parse_referrers("GET", target)
    assert found is not None
    assert (found.subject, found.path, found.after()) == (SUBJECT, APP, Digest.of(after))
    assert found.artifact_types == set(types)
    assert {*parse_qs(urlsplit(target).query)} <= {"artifactType", "last"}


@given(last=st.text(max_size=80))
def test_any_place_in_the_list_is_a_digest_or_refused(last: str) -> None:
    """It comes from a link of ours, or from nobody."""
    try:
        found = asked(f"?last={quote(last)}").after()
    except InvalidDigestError:
        return
    assert str(found or "") == last


@given(method=st.sampled_from(["GET", "HEAD", "PUT"]), target=targets, authority=authorities)
def test_any_target_is_a_request_or_none(method: str, target: str, authority: str) -> None:
    """Nothing is raised, and a request names what a pull of the subject would."""
    for text in (target, f"/v2/{target}", authority + APP + target, APP + target):
        found = parse_referrers(method, text)
        if found is not None:
            pull = parse_request(method, found.path.replace("/referrers/", "/manifests/"))
            assert found.subject == pull or "/referrers/" in str(found.subject.repository)
