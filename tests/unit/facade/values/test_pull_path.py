"""The raw request target: one spelling for each pull, and a refusal for everything else."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.values.pull_path import (
    MAX_PATH_CHARACTERS,
    ApiVersionCheck,
    Pull,
    Refusal,
    parse_request,
)
from shared.oci import Digest, Kind, RepositoryName
from shared.registry_host import RegistryHost
from tests.unit.shared.strategies import digests, registry_hosts, repository_names

DIGEST = "sha256:" + "a" * 64
INSERTED = (
    *("/", "//", ".", "..", "/../", "/./", "\\", "%", "%2f", "%00", "\0", "\r\n", " ", ";x=y"),
    *("A", ":", "_", "__", "-", "~", "@", "#", "443", "\u0661", "\uff41", "\u202e", "\udcff"),
)
sha512_digests = st.binary(min_size=64, max_size=64).map(
    lambda content: Digest("sha512", content.hex())
)
pulls = st.builds(
    Pull, registry_hosts, repository_names, st.sampled_from(Kind), digests | sha512_digests
)
authorities = st.sampled_from(
    ["http://evil.example", "https://u:p@h:1", "HTTP://[::1]", "https://", "http://a.b"]
)
# What a device, a proxy or an attacker could put into a target, NUL and surrogates included.
targets = st.text(st.characters(codec="utf-8") | st.sampled_from("/%\\:._-@?#;\0\r\n\t ~*\udcff"))


def path_of(pull: Pull) -> str:
    """Return the one spelling of a pull."""
    return f"/v2/{pull.host.path_form}/{pull.repository}/{pull.kind.value}/{pull.digest}"


def path_part(target: str) -> str:
    """Return what is left of a target without an absolute form's authority and the query."""
    path = target.partition("?")[0]
    if path[:7].lower() == "http://" or path[:8].lower() == "https://":
        path = "/" + path.split("/", 3)[3] if path.count("/") >= 3 else ""
    return path


@given(pulls)
def test_a_pull_is_read_from_its_path(pull: Pull) -> None:
    """By GET and HEAD alike."""
    assert parse_request("GET", path_of(pull)) == pull
    assert parse_request("HEAD", path_of(pull)) == pull


@given(pulls, authorities, st.text("abc=&/%?\\.:"))
def test_authority_and_query_change_nothing(pull: Pull, authority: str, query: str) -> None:
    """RFC 9112 section 3.2.2; and `?ns=` is ignored."""
    assert parse_request("GET", authority + path_of(pull)) == pull
    assert parse_request("GET", f"{path_of(pull)}?{query}") == pull
    assert parse_request("GET", f"{authority}{path_of(pull)}?{query}") == pull


@given(st.sampled_from(["GET", "HEAD"]), targets | targets.map(lambda text: f"/v2/{text}"))
def test_any_target_is_a_pull_of_that_very_spelling_or_refused(method: str, target: str) -> None:
    """No text raises, and no second text is the same pull."""
    asked = parse_request(method, target)
    if isinstance(asked, Pull):
        assert path_of(asked) == path_part(target)
    elif isinstance(asked, ApiVersionCheck):
        assert path_part(target) == "/v2/"
    else:
        assert isinstance(asked, Refusal)


@given(pulls, st.data())
def test_a_path_with_anything_put_into_it_is_another_pull_or_refused(
    pull: Pull, data: st.DataObject
) -> None:
    """Near misses are where two spellings of one pull would be."""
    path = path_of(pull)
    position = data.draw(st.integers(0, len(path)))
    inserted = data.draw(st.sampled_from(INSERTED))
    deleted = data.draw(st.integers(0, 2))
    changed = path[:position] + inserted + path[position + deleted :]
    asked = parse_request("GET", changed)
    if isinstance(asked, Pull):
        assert path_of(asked) == changed
        assert (asked == pull) == (changed == path)


@given(st.text().filter(lambda method: method not in {"GET", "HEAD"}), targets)
def test_another_method_is_refused_whatever_is_asked(method: str, target: str) -> None:
    """Before the target is looked at."""
    assert parse_request(method, target) is Refusal.METHOD
    assert parse_request(method, f"/v2/a.example/b/blobs/{DIGEST}") is Refusal.METHOD


@given(st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=128))
def test_a_tag_is_named_as_one_for_manifests_alone(tag: str) -> None:
    """The message says that only digests are served; a blob has no tags."""
    is_tag = tag[0] not in ".-"
    expected = Refusal.TAG if is_tag else Refusal.DIGEST
    assert parse_request("GET", f"/v2/a.example/b/manifests/{tag}") is expected
    assert parse_request("GET", f"/v2/a.example/b/blobs/{tag}") is Refusal.DIGEST


def test_the_longest_pull_is_read_and_nothing_longer_is_looked_at() -> None:
    """The bound is the sum of the parts' bounds."""
    name = ".".join(["a" * 63, "a" * 63, "a" * 63, "a" * 61])
    pull = Pull(
        RegistryHost(name, 65535),
        RepositoryName("a" * 255),
        Kind.MANIFEST,
        Digest("sha512", "f" * 128),
    )
    path = path_of(pull)
    assert len(path) == MAX_PATH_CHARACTERS
    assert parse_request("GET", path) == pull
    assert parse_request("GET", f"{path}f") is Refusal.NAME


@pytest.mark.parametrize(
    "target, refusal",
    [
        ("", Refusal.ROUTE),
        ("/", Refusal.ROUTE),
        ("*", Refusal.ROUTE),
        ("/v2", Refusal.ROUTE),
        ("/v1/", Refusal.ROUTE),
        ("/V2/", Refusal.ROUTE),
        ("//v2/", Refusal.ROUTE),
        ("v2/", Refusal.ROUTE),
        ("http://h", Refusal.ROUTE),
        ("http:/v2/", Refusal.ROUTE),
        ("ftp://h/v2/", Refusal.ROUTE),
        ("/v2/_catalog", Refusal.ROUTE),
        ("/v2/a.example/b/tags/list", Refusal.ROUTE),
        (f"/v2/a.example/b/referrers/{DIGEST}", Refusal.ROUTE),
        (f"/v2/a.example/b/Blobs/{DIGEST}", Refusal.ROUTE),
        (f"/v2/blobs/{DIGEST}", Refusal.ROUTE),
        (f"/v2/a.example/blobs/{DIGEST}", Refusal.NAME),
        (f"/v2/a.example:5000/b/blobs/{DIGEST}", Refusal.PORT),
        (f"/v2/A.example:5000/b/blobs/{DIGEST}", Refusal.PORT),
        (f"/v2/a.example%3A5000/b/blobs/{DIGEST}", Refusal.PORT),
        (f"/v2/10.0.0.1:5000/b/manifests/{DIGEST}", Refusal.PORT),
        ("/v2/a.example:5000/b/manifests/latest", Refusal.PORT),
        (f"/v2/a.example:443/b/blobs/{DIGEST}", Refusal.PORT),
        (f"/v2/a.example_443/b/blobs/{DIGEST}", Refusal.PORT),
        (f"/v2/a.example:port/b/blobs/{DIGEST}", Refusal.NAME),
        (f"/v2/a.example_99999/b/blobs/{DIGEST}", Refusal.NAME),
        (f"/v2/b/a.example:5000/blobs/{DIGEST}", Refusal.NAME),
        (f"/v2/A.example/b/blobs/{DIGEST}", Refusal.NAME),
        (f"/v2/a.example./b/blobs/{DIGEST}", Refusal.NAME),
        (f"/v2/a.example/b//blobs/{DIGEST}", Refusal.NAME),
        (f"/v2/a.example/B/blobs/{DIGEST}", Refusal.NAME),
        (f"/v2/a.example/b/blobs/{DIGEST}%00", Refusal.NAME),
        (f"/v2/a.example/b/blobs/{DIGEST}#x", Refusal.NAME),
        ("/v2/a.example/b/blobs/sha256:" + "A" * 64, Refusal.DIGEST),
        ("/v2/a.example/b/blobs/sha256:" + "a" * 63, Refusal.DIGEST),
        ("/v2/a.example/b/blobs/md5:" + "a" * 32, Refusal.DIGEST),
        ("/v2/a.example/b/manifests/" + "t" * 129, Refusal.DIGEST),
        # The name is wrong before the digest is.
        ("/v2/a.example/B/blobs/latest", Refusal.NAME),
    ],
)
def test_what_is_refused_is_refused_for_what_is_wrong(target: str, refusal: Refusal) -> None:
    """Each refusal has an answer of its own."""
    assert parse_request("GET", target) is refusal


@given(registry_hosts.filter(lambda host: host.port), repository_names)
def test_a_port_as_people_write_it_is_told_the_form_of_a_path(
    host: RegistryHost, repository: RepositoryName
) -> None:
    """`:` cannot stand there; who tried it is told how a port is written."""
    path = f"/v2/{host}/{repository}/manifests/{DIGEST}"
    assert parse_request("GET", path) is Refusal.PORT
    assert parse_request("GET", path.replace(str(host), host.path_form)) != Refusal.PORT


def test_the_version_check_is_its_path_alone() -> None:
    """With any query, and nothing behind it."""
    for target in ("/v2/", "/v2/?", "/v2/?a=b", "http://h/v2/"):
        assert parse_request("GET", target) == ApiVersionCheck()
