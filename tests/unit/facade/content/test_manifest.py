"""A manifest is whole, right and of one meaning before a device sees its first header."""

import asyncio
import hashlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.content.manifest import (
    WHOLLY_READ_BYTES,
    VerifiedManifest,
    fetch_manifest,
    verify_manifest,
)
from facade.values.piece import WrongBytesError
from shared.oci import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    INDEX_MEDIA_TYPES,
    MANIFEST_MEDIA_TYPES,
    MAX_MANIFEST_BYTES,
    OCI_ARTIFACT_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Digest,
    RepositoryName,
)
from shared.upstream.errors import UpstreamError
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    Encoded,
    FewerBytes,
    Honest,
    MoreBytes,
    NoLength,
    OtherBytes,
    TypedAs,
    WebPage,
)
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect

IMAGE = {"schemaVersion": 2, "config": {}, "layers": []}
INDEX = {"schemaVersion": 2, "manifests": []}
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+json"
PLAIN_TYPES = ("text/plain", "application/json", "application/octet-stream", "text/html", None)
ODD_VALUES: tuple[object, ...] = (
    False,
    0,
    0.0,
    True,
    [],
    {},
    [OCI_MANIFEST],
    " ",
    "x" * 2000,
    {"": OCI_MANIFEST},
)
TYPED_IMAGE = orjson.dumps(IMAGE | {"mediaType": OCI_MANIFEST})
REPOSITORY = RepositoryName("team/app")


def verified(document: object, media_type: str | None) -> VerifiedManifest:
    """Return the verified document, whose digest is right."""
    content = orjson.dumps(document)
    return verify_manifest(content, media_type, Digest.of(content))


@pytest.mark.parametrize(
    "document, media_type",
    [
        (IMAGE, OCI_MANIFEST),
        (IMAGE | {"mediaType": OCI_MANIFEST}, OCI_MANIFEST),
        (IMAGE | {"mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST),
        (INDEX, OCI_INDEX),
        (INDEX | {"mediaType": OCI_INDEX}, OCI_INDEX),
        (INDEX | {"mediaType": DOCKER_MANIFEST_LIST}, DOCKER_MANIFEST_LIST),
        ({"mediaType": OCI_ARTIFACT_MANIFEST, "blobs": []}, OCI_ARTIFACT_MANIFEST),
        ({}, OCI_MANIFEST),
        (IMAGE | {"mediaType": None}, OCI_MANIFEST),
        (IMAGE | {"mediaType": ""}, OCI_MANIFEST),
        (INDEX | {"mediaType": None}, OCI_INDEX),
        (INDEX | {"MediaType": ""}, OCI_INDEX),
        (IMAGE | {"MediaType": OCI_MANIFEST}, OCI_MANIFEST),
    ],
)
def test_what_bytes_and_header_agree_on_is_served(document: object, media_type: str) -> None:
    """With its exact bytes and that media type."""
    manifest = verified(document, media_type)
    assert (manifest.content, manifest.media_type) == (orjson.dumps(document), media_type)


@pytest.mark.parametrize(
    "document, media_type",
    [
        (IMAGE | {"mediaType": OCI_MANIFEST}, OCI_INDEX),
        (IMAGE | {"mediaType": OCI_MANIFEST}, DOCKER_MANIFEST),
        (INDEX | {"mediaType": OCI_INDEX}, OCI_MANIFEST),
        *((IMAGE | {"mediaType": odd}, OCI_MANIFEST) for odd in ODD_VALUES),
        (IMAGE | INDEX | {"mediaType": None}, OCI_MANIFEST),
        (INDEX | {"mediaType": ""}, OCI_MANIFEST),
        (IMAGE | INDEX, OCI_MANIFEST),
        (IMAGE | INDEX, OCI_INDEX),
        ({"manifests": [], "layers": []}, OCI_INDEX),
        ({"manifests": [], "config": {}}, OCI_INDEX),
        ({"manifests": [], "fsLayers": []}, OCI_MANIFEST),
        (IMAGE, OCI_INDEX),
        (INDEX, OCI_MANIFEST),
        (IMAGE, "application/json"),
        (IMAGE, "application/octet-stream"),
        (IMAGE, "text/plain"),
        (IMAGE, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        (IMAGE, None),
        (IMAGE | {"mediaType": OCI_MANIFEST}, SCHEMA_1),
        (IMAGE | {"mediaType": SCHEMA_1}, SCHEMA_1),
        (IMAGE | {"mediaType": SCHEMA_1}, None),
        (IMAGE | {"mediaType": "application/json"}, "application/json"),
        (IMAGE | {"mediaType": OCI_INDEX}, None),
        (IMAGE | {"mediaType": None}, None),
        (IMAGE | {"mediaType": ""}, "text/plain"),
        (IMAGE | {"mediaType": [OCI_MANIFEST]}, "text/plain"),
        (IMAGE | {"MediaType": OCI_MANIFEST}, None),
        (IMAGE | {"mediaType": OCI_MANIFEST, "MediaType": OCI_INDEX}, "text/plain"),
        (IMAGE | INDEX | {"mediaType": OCI_INDEX}, None),
        (IMAGE | {"MediaType": OCI_INDEX}, OCI_MANIFEST),
        (IMAGE | {"mediaType": OCI_MANIFEST, "MediaType": OCI_INDEX}, OCI_MANIFEST),
        (IMAGE | {"Manifests": []}, OCI_MANIFEST),
        (INDEX | {"layerS": []}, OCI_INDEX),
        (INDEX | {"f\u017flayers": []}, OCI_INDEX),
        ([IMAGE], OCI_MANIFEST),
        ("text", OCI_MANIFEST),
        (None, OCI_MANIFEST),
    ],
)
def test_a_media_type_that_lies_is_refused(document: object, media_type: str | None) -> None:
    """What one reader takes for an index must not be another one's image (CVE-2021-41190).

    Go's readers ignore the case of a field, and fold the long s.
    """
    with pytest.raises(WrongBytesError):
        verified(document, media_type)


@pytest.mark.parametrize("header", PLAIN_TYPES)
@pytest.mark.parametrize(
    "document",
    [
        IMAGE | {"mediaType": OCI_MANIFEST},
        IMAGE | {"mediaType": DOCKER_MANIFEST},
        INDEX | {"mediaType": OCI_INDEX},
        INDEX | {"mediaType": DOCKER_MANIFEST_LIST},
        {"mediaType": OCI_ARTIFACT_MANIFEST, "blobs": []},
    ],
)
def test_a_header_that_names_no_manifest_leaves_it_to_the_verified_body(
    document: dict[str, Any], header: str | None
) -> None:
    """Some registries know JSON alone."""
    assert verified(document, header).media_type == document["mediaType"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"<!doctype html>",
        b'{"layers": NaN}',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a": [' + b"1," * 100 + b"}",
    ],
)
def test_what_is_not_one_json_object_is_refused(content: bytes) -> None:
    """Although the digest is right."""
    with pytest.raises(WrongBytesError):
        verify_manifest(content, OCI_MANIFEST, Digest.of(content))


def test_the_digest_decides_before_anything_is_parsed() -> None:
    """Also for sha512."""
    content = orjson.dumps(IMAGE)
    sha512 = Digest("sha512", hashlib.sha512(content).hexdigest())
    assert verify_manifest(content, OCI_MANIFEST, sha512).content == content
    for digest in (Digest.of(content), sha512):
        with pytest.raises(WrongBytesError, match="digest"):
            verify_manifest(content + b" ", OCI_MANIFEST, digest)


IMAGE_FIELDS = b'"schemaVersion":2,"config":{},"layers":[]'
OWN = b'"mediaType":"%b"' % OCI_MANIFEST.encode()


@pytest.mark.parametrize(
    "fields",
    [
        (OWN, OWN),
        (OWN, b'"mediaType":"%b"' % OCI_INDEX.encode()),
        (b'"mediaType":"%b"' % OCI_INDEX.encode(), OWN),
        (OWN, b'"mediaType":null'),
        (b'"mediaType":""', OWN),
        (OWN, b'"MediaType":"%b"' % OCI_MANIFEST.encode()),
        (OWN, b'"media\\u0054ype":"%b"' % OCI_INDEX.encode()),
        (b'"layers":[{}]',),
        (b'"LAYERS":[{}]',),
        (b'"con\\u017fig":1', b'"CONFIG":{}'),
    ],
)
@pytest.mark.parametrize("header", [OCI_MANIFEST, "text/plain", None])
def test_a_field_that_is_there_twice_is_refused(
    fields: tuple[bytes, ...], header: str | None
) -> None:
    """One reader takes the first, another the last."""
    content = b"{" + b",".join((IMAGE_FIELDS, *fields)) + b"}"
    with pytest.raises(WrongBytesError):
        verify_manifest(content, header, Digest.of(content))


def test_a_field_that_decides_nothing_may_be_there_twice() -> None:
    """Right bytes are served: it makes no other manifest of it."""
    content = b"{" + IMAGE_FIELDS + b',"annotations":{},"annotations":{"a":"b"}}'
    assert verify_manifest(content, OCI_MANIFEST, Digest.of(content)).content == content


def test_a_large_manifest_is_read_at_its_top_alone() -> None:
    """With the same answer, whatever is below."""
    annotations = {"annotations": {str(number): "text" * 10 for number in range(5000)}}
    for document in (IMAGE | {"mediaType": OCI_MANIFEST}, INDEX, IMAGE | INDEX):
        large = document | annotations
        assert len(orjson.dumps(large)) > WHOLLY_READ_BYTES
        for header in (OCI_MANIFEST, OCI_INDEX, "text/plain"):
            assert outcome(large, header) == outcome(document, header)
    cut = orjson.dumps(annotations)[:-1]
    with pytest.raises(WrongBytesError):
        verify_manifest(cut, OCI_MANIFEST, Digest.of(cut))


def outcome(document: object, header: str) -> str | None:
    """Return the type that a document is served with; None if it is not."""
    try:
        return verified(document, header).media_type
    except WrongBytesError:
        return None


@pytest.mark.parametrize(
    "content",
    [
        b"{" + b",".join(b'"k%d":1' % number for number in range(350_000)) + b"}",
        b'{"a":{' + b",".join(b'"k%d":1' % number for number in range(350_000)) + b"}}",
        b'{"a":[' + b"[]," * 1_000_000 + b"[]]}",
        b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}",
    ],
    ids=["fields", "names", "lists", "depth"],
)
def test_what_would_cost_much_to_read_is_refused(content: bytes) -> None:
    """A registry chooses what a manifest of 4 MiB is made of."""
    with pytest.raises(WrongBytesError, match="than a manifest has"):
        verify_manifest(content, OCI_MANIFEST, Digest.of(content))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = ("manifests", "layers", "config", "fsLayers", "blobs")
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.sampled_from([*MANIFEST_MEDIA_TYPES, "application/json", "", None]),
        **dict.fromkeys(FIELDS, JSON),
        "annotations": JSON,
    },
)
MEDIA_TYPES = st.sampled_from([*MANIFEST_MEDIA_TYPES, "application/json", "text/html", "", None])


@given(document=DOCUMENTS, media_type=MEDIA_TYPES)
def test_what_is_served_means_one_thing_to_every_reader(
    document: dict[str, Any], media_type: str | None
) -> None:
    """Who goes by the header, by `mediaType`, or by the fields: all see the same kind."""
    try:
        manifest = verified(document, media_type)
    except WrongBytesError:
        return
    assert manifest.media_type in MANIFEST_MEDIA_TYPES
    assert (document.get("mediaType") or media_type) == manifest.media_type
    assert media_type in (manifest.media_type, "application/json", "text/html", "", None)
    is_index = manifest.media_type in INDEX_MEDIA_TYPES
    assert not (document.keys() & (set(FIELDS[1:]) if is_index else {"manifests"}))


@given(content=st.binary(max_size=200) | st.builds(lambda tree: json.dumps(tree).encode(), JSON))
def test_arbitrary_bytes_are_a_manifest_or_refused(content: bytes) -> None:
    """Nothing else comes out of the parser of outside bytes."""
    try:
        manifest = verify_manifest(content, OCI_MANIFEST, Digest.of(content))
    except WrongBytesError:
        return
    assert isinstance(json.loads(manifest.content), dict)


@pytest.mark.parametrize(
    "behaviour",
    [
        FewerBytes(),
        FewerBytes(missing=5, then="reset"),
        MoreBytes(counted=True),
        OtherBytes(),
        Encoded(),
        Encoded(declared=False),
        WebPage(),
        NoLength(missing=1),
        NoLength(head_length=False, missing=1),
        NoLength(framing="close", missing=1),
        TypedAs((OCI_INDEX,)),
        TypedAs((OCI_MANIFEST, OCI_INDEX)),
        TypedAs(("application/json", "text/plain")),
        TypedAs((f"{OCI_INDEX}, {OCI_MANIFEST}",)),
        TypedAs(("application/json",)),
        TypedAs(()),
    ],
)
async def test_a_registry_that_lies_gives_no_manifest(
    behaviour: Behaviour, connect: Connect
) -> None:
    """Whatever it does, it is an error and never bytes."""
    async with RegistrySimulator() as registry:
        digest = registry.manifest(orjson.dumps(IMAGE), get=behaviour)
        client = await connect(registry)
        with pytest.raises((WrongBytesError, UpstreamError)):
            await fetch_manifest(client, REPOSITORY, Digest.parse(digest))


def headed(*headers: tuple[str, str]) -> Behaviour:
    """Answer with the image that names its type, and these headers."""
    return Answers(200, headers, TYPED_IMAGE)


@pytest.mark.parametrize(
    "behaviour",
    [
        Honest(),
        NoLength(),
        NoLength(framing="close"),
        NoLength(head_length=False),
        NoLength(framing="close", head_length=False),
        TypedAs((f"{OCI_MANIFEST}; charset=utf-8",)),
        TypedAs((OCI_MANIFEST.upper(),)),
        TypedAs((OCI_MANIFEST, OCI_MANIFEST)),
        TypedAs((OCI_MANIFEST, f"{OCI_MANIFEST};charset=utf-8")),
        TypedAs((f"{OCI_MANIFEST}, {OCI_MANIFEST}",)),
        TypedAs((OCI_MANIFEST, "text/plain")),
        TypedAs(("text/plain", "text/html")),
        TypedAs(("text/plain",)),
        TypedAs(("text/html; charset=utf-8",)),
        TypedAs(("nonsense",)),
        TypedAs(()),
        headed(("Content-Encoding", "gzip"), ("Content-Type", OCI_MANIFEST)),
        headed(("Content-Encoding", "aws-chunked")),
        headed(("Docker-Content-Digest", "sha256:" + "0" * 64), ("Content-Type", OCI_MANIFEST)),
    ],
)
@pytest.mark.parametrize("head", [None, Answers(405)])
async def test_a_registry_that_is_odd_but_right_gives_it(
    behaviour: Behaviour, head: Behaviour | None, connect: Connect
) -> None:
    """Its bytes are the digest's: no length, no type, two, or an encoding that is none."""
    async with RegistrySimulator() as registry:
        digest = registry.manifest(TYPED_IMAGE, get=behaviour, head=head)
        client = await connect(registry)
        manifest = await fetch_manifest(client, REPOSITORY, Digest.parse(digest))
    assert manifest == VerifiedManifest(TYPED_IMAGE, OCI_MANIFEST)
    assert len(registry.requests) == 1


@pytest.mark.parametrize("named", [(SCHEMA_1,), (OCI_INDEX,), (OCI_MANIFEST, SCHEMA_1)])
async def test_a_header_of_another_manifest_type_is_refused(
    named: tuple[str, ...], connect: Connect
) -> None:
    """CVE-2021-41190: the body's own type does not decide over it."""
    async with RegistrySimulator() as registry:
        digest = registry.manifest(TYPED_IMAGE, get=TypedAs(named))
        client = await connect(registry)
        with pytest.raises(WrongBytesError):
            await fetch_manifest(client, REPOSITORY, Digest.parse(digest))


@pytest.mark.parametrize(
    "behaviour", [Honest(), NoLength(head_length=False), NoLength("close", head_length=False)]
)
async def test_more_than_four_mebibytes_are_no_manifest(
    behaviour: Behaviour, connect: Connect
) -> None:
    """The specification's bound; one byte less is served."""
    largest = b"{}" + b" " * (MAX_MANIFEST_BYTES - 2)
    async with RegistrySimulator() as registry:
        client = await connect(registry)
        fits = registry.manifest(largest, get=behaviour)
        manifest = await fetch_manifest(client, REPOSITORY, Digest.parse(fits))
        assert len(manifest.content) == MAX_MANIFEST_BYTES
        too_long = registry.manifest(largest + b" ", get=behaviour)
        with pytest.raises(WrongBytesError, match="at most"):
            await fetch_manifest(client, REPOSITORY, Digest.parse(too_long))


async def test_a_large_manifest_is_not_read_on_the_loop(connect: Connect) -> None:
    """It is counted in a thread, after its connection was given back; a small one is not."""
    large = orjson.dumps(IMAGE | {"annotations": {"a": "b" * WHOLLY_READ_BYTES}})
    async with RegistrySimulator() as registry:
        upstream = await connect(registry)
        small = Digest.parse(registry.manifest(TYPED_IMAGE))
        digest = Digest.parse(registry.manifest(large))
        async with upstream.large_manifests.taken():
            assert (await fetch_manifest(upstream, REPOSITORY, small)).content == TYPED_IMAGE
            waiting = asyncio.create_task(fetch_manifest(upstream, REPOSITORY, digest))
            await eventually(lambda: len(registry.requests) == 2)
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done  # it waits for its turn
        assert (await waiting).content == large
