"""What people type for a registry, a repository, a tag and a digest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.commands.typed_reference import (
    TypedDigest,
    TypedRepository,
    TypedTag,
    UnusableReferenceError,
    parse_check_target,
)
from shared.oci import Digest, RepositoryName
from shared.registry_host import RegistryHost

DIGEST = "sha256:" + "a" * 64
TYPED = st.text(st.sampled_from("aZ0._-:/@ ") | st.characters(codec="utf-8"), max_size=40)


@pytest.mark.parametrize(
    "typed, canonical",
    [
        ("ghcr.io/team/app", "ghcr.io/team/app"),
        ("GHCR.io/team/app", "ghcr.io/team/app"),
        ("registry.local:5000/team/app", "registry.local:5000/team/app"),
        ("registry.local_5000/team/app", "registry.local:5000/team/app"),
        ("registry.local:443/app", "registry.local/app"),
        ("docker.io/busybox", "docker.io/library/busybox"),
        ("docker.io/library/busybox", "docker.io/library/busybox"),
        ("index.docker.io/team/app", "docker.io/team/app"),
        ("hub.docker.com/busybox", "docker.io/library/busybox"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000/app"),
    ],
)
def test_a_host_is_known_by_all_its_names(typed: str, canonical: str) -> None:
    """Canonical, as in a device's path, or as people say it; a repository by its full name."""
    assert str(TypedRepository.parse(typed)) == canonical


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "/",
        "ghcr.io",
        "ghcr.io/",
        "/team/app",
        "ghcr.io/Team/app",
        "ghcr.io/team//app",
        "ghcr.io/team/app/",
        "ghcr.io/team/app:1.0",
        "ghcr.io/../app",
        "user@ghcr.io/app",
        "https://ghcr.io/app",
        "registry_local/app",
        "registry.local_99999/app",
        "[::1]:5000/app",
        "ghcr.io:x/app",
        "①②⑦.0.0.1/app",
    ],
)
def test_what_is_no_repository_is_refused(typed: str) -> None:
    """With words for whoever typed it."""
    with pytest.raises(UnusableReferenceError, match=r"\w"):
        TypedRepository.parse(typed)


def test_a_tag_stands_behind_the_last_colon() -> None:
    """A port has a colon too."""
    typed = TypedTag.parse("registry.local:5000/team/app:v1.0_x-y")
    assert (str(typed.at), typed.tag) == ("registry.local:5000/team/app", "v1.0_x-y")


@pytest.mark.parametrize(
    "typed",
    [
        "ghcr.io/app",
        "registry.local:5000/app",
        "ghcr.io/app:",
        "ghcr.io/app:-x",
        "ghcr.io/app:a b",
        "ghcr.io/app:" + "x" * 129,
        f"ghcr.io/app@{DIGEST}",
        f"ghcr.io/app:1.0@{DIGEST}",
        ":1.0",
    ],
)
def test_what_has_no_tag_is_refused(typed: str) -> None:
    """`latest` is not guessed."""
    with pytest.raises(UnusableReferenceError):
        TypedTag.parse(typed)


def test_a_check_is_of_a_host_or_of_a_digest() -> None:
    """Nothing in between."""
    assert parse_check_target("registry.local_5000") == RegistryHost("registry.local", 5000)
    assert parse_check_target("hub.docker.com") == RegistryHost("docker.io")
    assert parse_check_target("https://index.docker.io/v1/") == RegistryHost("docker.io")
    assert parse_check_target("https://GHCR.io/") == RegistryHost("ghcr.io")
    assert parse_check_target(f"docker.io/busybox@{DIGEST}") == TypedDigest(
        TypedRepository(RegistryHost("docker.io"), RepositoryName("library/busybox")),
        Digest.parse(DIGEST),
    )


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ghcr.io/app",
        "ghcr.io/app:1.0",
        "ghcr.io/app@",
        "ghcr.io/app@sha256:abc",
        "ghcr.io/app@sha256:" + "A" * 64,
        f"ghcr.io/app@{DIGEST}@{DIGEST}",
        f"ghcr.io@{DIGEST}",
        f"ghcr.io/app:1.0@{DIGEST}",
    ],
)
def test_what_is_neither_a_host_nor_a_digest_is_refused(typed: str) -> None:
    """A tag is what `resolve` is for."""
    with pytest.raises(UnusableReferenceError):
        parse_check_target(typed)


@given(TYPED)
def test_anything_typed_is_read_or_refused(typed: str) -> None:
    """Nothing but its own error comes out; what is read is canonical."""
    for parse in (TypedRepository.parse, TypedTag.parse, TypedDigest.parse, parse_check_target):
        try:
            parse(typed)
        except UnusableReferenceError:
            continue
    try:
        repository = TypedRepository.parse(typed)
    except UnusableReferenceError:
        return
    assert TypedRepository.parse(str(repository)) == repository
