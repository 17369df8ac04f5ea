"""Digest and RepositoryName: what is one, what is not, and what they tell."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.oci import (
    MANIFEST_MEDIA_TYPES,
    Digest,
    InvalidDigestError,
    InvalidRepositoryNameError,
    RepositoryName,
)
from tests.unit.shared.strategies import digests, repository_names

SHA256 = "sha256:" + "a1" * 32
SHA512 = "sha512:" + "b2" * 64


@pytest.mark.parametrize("text", [SHA256, SHA512])
def test_digest_of_a_registered_algorithm_is_read_as_it_is_written(text: str) -> None:
    """What a device asks for is what upstream is asked for."""
    assert str(Digest.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:" + "A1" * 32,
        "SHA256:" + "a1" * 32,
        "sha256:" + "a1" * 31,
        "sha256:" + "a1" * 64,
        "sha512:" + "a1" * 32,
        "sha384:" + "a1" * 48,
        "md5:" + "a1" * 16,
        "sha256+b64:" + "a1" * 32,
        "a1" * 32,
        SHA256 + "\n",
        " " + SHA256,
        SHA256 + "\0",
        "sha256:" + "a1" * 31 + "\u0661\u0661",
        "sha256:" + "\uff41" * 64,
        SHA256.replace(":", "@"),
        SHA256.replace(":", "%3a"),
    ],
)
def test_anything_else_is_no_digest(text: str) -> None:
    """A second spelling would be a second cache entry, or a way past a rule."""
    with pytest.raises(InvalidDigestError):
        Digest.parse(text)


@given(st.text())
def test_what_is_accepted_as_digest_is_canonical(text: str) -> None:
    """There is one text for one digest."""
    try:
        digest = Digest.parse(text)
    except InvalidDigestError:
        return
    assert str(digest) == text


@given(st.binary(), st.binary())
def test_digest_names_its_own_content_alone(content: bytes, other: bytes) -> None:
    """This is what every byte that is served hangs on."""
    digest = Digest.of(content)
    hasher = digest.hasher()
    hasher.update(other)
    assert digest.names(hasher) == (content == other)


def test_sha512_digest_hashes_with_sha512() -> None:
    """The algorithm is the digest's, not ours."""
    digest = Digest.parse(f"sha512:{hashlib.sha512(b'content').hexdigest()}")
    hasher = digest.hasher()
    hasher.update(b"content")
    assert digest.names(hasher)


@given(digests)
def test_digest_survives_its_text(digest: Digest) -> None:
    """Digests go through paths, headers and file names."""
    assert Digest.parse(str(digest)) == digest


@pytest.mark.parametrize(
    "text",
    ["app", "library/busybox", "a/b/c/d", "a.b/c_d/e__f/g-h/i---j", "0/1", "a" * 255],
)
def test_repository_names_of_the_specification_are_accepted(text: str) -> None:
    """Real registries use every form of the grammar."""
    assert str(RepositoryName.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "A",
        "a/B",
        "a b",
        "a\n",
        "\na",
        "a/..",
        "../a",
        ".",
        "a/./b",
        ".a",
        "a.",
        "-a",
        "a-",
        "_a",
        "a___b",
        "a..b",
        "a.-b",
        "a:b",
        "a@b",
        "a%2fb",
        "a\\b",
        "a\0b",
        "\u00e4",
        "a\u0301",
        "\uff41",
        "\u0430",  # Cyrillic a
        "a?b=c",
        "a#b",
        "a" * 256,
    ],
)
def test_other_texts_are_no_repository_names(text: str) -> None:
    """A name is put into upstream's path as it is."""
    with pytest.raises(InvalidRepositoryNameError):
        RepositoryName.parse(text)


@given(repository_names, repository_names)
def test_within_means_by_whole_components(name: RepositoryName, prefix: RepositoryName) -> None:
    """`team` grants nothing in `teammate`."""
    expected = name.components[: len(prefix.components)] == prefix.components
    assert name.is_within(prefix) == expected


@given(repository_names)
def test_a_name_is_within_itself_and_not_within_its_child(name: RepositoryName) -> None:
    """The prefix itself may be a repository."""
    child = RepositoryName(f"{name}/child")
    assert name.is_within(name)
    assert child.is_within(name)
    assert not name.is_within(child)
    assert not RepositoryName(f"{name}x").is_within(name)


def test_manifest_media_types_are_asked_for_by_name() -> None:
    """The registry distribution answers `*/*` with 404."""
    assert len(set(MANIFEST_MEDIA_TYPES)) == len(MANIFEST_MEDIA_TYPES)
    assert not any("*" in media_type for media_type in MANIFEST_MEDIA_TYPES)
