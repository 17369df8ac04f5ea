"""What the log says of a refused request: the names that can be read, and nothing else of it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facade.devices.incoming_requests import MAX_REQUEST_LINE_BYTES
from facade.pulls.named import MAX_REFERENCE_CHARACTERS, Named, read_names
from facade.values.pull_path import Pull, path_of
from shared.oci import Kind, RepositoryName
from shared.registry_host import RegistryHost
from tests.unit.facade.values.test_pull_path import DIGEST, INSERTED, authorities, pulls, targets
from tests.unit.facade.values.test_pull_path import path_of as path_of_pull
from tests.unit.shared.strategies import registry_hosts, repository_names

HOST = RegistryHost("registry.local", 5000)
APP = RepositoryName("team/app")
IN_PATH = "/v2/registry.local_5000/team/app"
CANARY = "canary-71d2c9f4"
# The longest host with its port, repository (behind `library/`) and reference.
MAX_NAMED_CHARACTERS = 259 + 8 + 255 + MAX_REFERENCE_CHARACTERS

tags = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", fullmatch=True)
kinds = st.sampled_from(Kind)
words = st.sampled_from([*INSERTED, "manifests", "blobs", "uploads", "tags", "list", "referrers"])
long_texts = st.sampled_from("aA0_%\0").map(lambda character: character * 4000)
hostile = (
    targets
    | st.builds("/v2/{}".format, targets)
    | st.lists(words | tags | long_texts | targets).map("/".join).map("/v2/{}".format)
    | st.builds("{}/v2/{}".format, authorities, targets)
)


@pytest.mark.parametrize(
    "target, named",
    [
        (f"{IN_PATH}/manifests/v1.2", Named(HOST, APP, Kind.MANIFEST, "v1.2")),
        (f"{IN_PATH}/blobs/v1.2", Named(HOST, APP, Kind.BLOB, "v1.2")),
        (f"{IN_PATH}/manifests/{DIGEST}", Named(HOST, APP, Kind.MANIFEST, DIGEST)),
        (f"{IN_PATH}/manifests/md5:{'a' * 32}", Named(HOST, APP, Kind.MANIFEST, f"md5:{'a' * 32}")),
        (f"{IN_PATH}/blobs/sha256:{'A' * 64}", Named(HOST, APP, Kind.BLOB, f"sha256:{'A' * 64}")),
        (f"{IN_PATH}/tags/list", Named(HOST, APP)),
        (f"{IN_PATH}/blobs/uploads/", Named(HOST, APP)),
        (f"{IN_PATH}/blobs/uploads", Named(HOST, APP)),
        (f"{IN_PATH}/blobs/uploads/{CANARY}", Named(HOST, APP)),
        (f"{IN_PATH}/referrers/{DIGEST}", Named(HOST, APP, None, DIGEST)),
        (f"{IN_PATH}/_catalog", Named(HOST)),
        (f"http://u:{CANARY}@h{IN_PATH}/manifests/v1", Named(HOST, APP, Kind.MANIFEST, "v1")),
        (f"{IN_PATH}/manifests/v1?token={CANARY}", Named(HOST, APP, Kind.MANIFEST, "v1")),
        # What another client's set-up asks for: a mirror of Docker Hub without the host.
        (
            "/v2/library/busybox/manifests/latest",
            Named(RegistryHost("library"), RepositoryName("busybox"), Kind.MANIFEST, "latest"),
        ),
        (
            "/v2/docker.io/busybox/manifests/latest",
            Named(
                RegistryHost("docker.io"),
                RepositoryName("library/busybox"),
                Kind.MANIFEST,
                "latest",
            ),
        ),
        # One part that cannot be read does not hide the others.
        (
            "/v2/registry.local:5000/team/app/manifests/v1",
            Named(None, APP, Kind.MANIFEST, "v1"),
        ),
        ("/v2/registry.local_5000/Team/app/manifests/v1", Named(HOST, None, Kind.MANIFEST, "v1")),
        ("/v2/registry.local_5000//app/manifests/v1", Named(HOST, None, Kind.MANIFEST, "v1")),
        (f"{IN_PATH}/manifests/v1%00", Named(HOST, APP, Kind.MANIFEST, None)),
        (f"{IN_PATH}/manifests/", Named(HOST, APP, Kind.MANIFEST, None)),
        (f"{IN_PATH}/manifests/v1\r\nlevel", Named(HOST, APP, Kind.MANIFEST, None)),
        (f"{IN_PATH}/manifests/{'t' * 129}", Named(HOST, APP, Kind.MANIFEST, None)),
        (f"/v2/registry.local_5000/{'a' * 256}/blobs/x", Named(HOST, None, Kind.BLOB, "x")),
        ("/v2/registry.local_5000/manifests/v1", Named(HOST, None, Kind.MANIFEST, "v1")),
        # Neither of these names anything.
        (f"/v2/{CANARY}", Named()),
        ("/v2/_catalog", Named()),
        ("/v1/_ping", Named()),
        (f"/{CANARY}/team/app/manifests/v1", Named()),
        ("*", Named()),
        ("registry.local:5000", Named()),
        ("", Named()),
    ],
)
def test_a_refused_request_names_what_can_be_read(target: str, named: Named) -> None:
    """Each part by its own grammar; neither query, authority, escape nor a session's id."""
    assert read_names(target) == named


@given(registry_hosts, repository_names, kinds, tags)
def test_a_tag_is_named_with_its_repository(
    host: RegistryHost, repository: RepositoryName, kind: Kind, tag: str
) -> None:
    """Whatever is asked by tag can be found in the log."""
    named = read_names(f"/v2/{host.path_form}/{repository}/{kind.value}/{tag}")
    assert (named.host, named.kind, named.reference) == (host, kind, tag)
    assert named.repository is not None
    assert named.repository.value.removeprefix("library/") in repository.value


@given(hostile)
@example("/v2/" + "/".join(["a" * 253, "a" * 255, "manifests", "a" * 128]))
@example("/v2/" + "/a" * (MAX_REQUEST_LINE_BYTES // 2) + "/manifests/a")
@example("/v2/a/b/manifests/" + "a" * MAX_REQUEST_LINE_BYTES)
def test_whatever_is_asked_takes_a_bounded_place_in_the_log(target: str) -> None:
    """It never raises; what it gives stood in the path, and is plain ASCII of bounded length."""
    named = read_names(target)
    path = path_of(target)
    shown = [str(part) for part in (named.host, named.repository, named.reference) if part]
    assert sum(map(len, shown)) <= MAX_NAMED_CHARACTERS
    assert all(text.isascii() and text.isprintable() and not {*'"\\ '} & {*text} for text in shown)
    spellings = [
        named.host and named.host.path_form,
        named.repository and named.repository.value.removeprefix("library/"),
        named.reference,
    ]
    assert all(spelling in path for spelling in spellings if isinstance(spelling, str))


@given(pulls)
def test_a_pull_by_another_method_is_named_whole(pull: Pull) -> None:
    """Whoever tries to write by digest is found by that digest."""
    named = read_names(path_of_pull(pull))
    assert (named.host, named.kind, named.digest) == (pull.host, pull.kind, pull.digest)
    assert named.reference == str(pull.digest)
