"""What a manifest says of itself and of its subject, as the specification reads."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.content.manifest import VerifiedManifest, verify_manifest
from facade.content.referrer import MAX_REFERRER_FIELD_BYTES, Referrer, referrer_of
from facade.metrics.pull_metrics import LeftOut
from facade.values.piece import WrongBytesError
from shared.oci import MANIFEST_MEDIA_TYPES, OCI_INDEX, OCI_MANIFEST, Digest
from tests.support.referrers import SBOM, SIGNATURE, attached
from tests.unit.facade.content.test_json_fields import JSON

SUBJECT = Digest.of(b"the subject")
OTHER = Digest.of(b"another one")

texts = st.none() | st.sampled_from(["", SIGNATURE, SBOM, "x" * 256]) | st.text(max_size=5) | JSON
configs = st.fixed_dictionaries({}, optional={"mediaType": texts, "digest": JSON}) | JSON
annotations = st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3) | JSON
subjects = (
    st.fixed_dictionaries({"digest": st.sampled_from([str(SUBJECT), str(OTHER)]) | JSON}) | JSON
)
manifests = st.fixed_dictionaries(
    {"schemaVersion": st.just(2)},
    optional={
        "subject": subjects,
        "artifactType": texts,
        "config": configs,
        "annotations": annotations,
        "Subject": subjects,
        "layers": JSON,
    },
)


def read(content: bytes, media_type: str = OCI_MANIFEST) -> Referrer | LeftOut:
    """Return what some bytes are on the list of the subject."""
    return referrer_of(Digest.of(content), VerifiedManifest(content, media_type), SUBJECT)


def of(**fields: Any) -> Referrer | LeftOut:
    """Return what a manifest that refers to the subject is, with some fields of its own."""
    return read(attached(str(SUBJECT), **fields).content)


def shown(referrer: Referrer | LeftOut) -> dict[str, Any]:
    """Return the descriptor that devices are shown."""
    assert isinstance(referrer, Referrer), referrer
    descriptor = orjson.loads(referrer.descriptor)
    assert isinstance(descriptor, dict)
    return descriptor


def expected(  # noqa: PLR0911 - the rules, one after the other
    manifest: dict[str, Any], content: bytes
) -> dict[str, Any] | LeftOut:
    """Return the descriptor by the words of "Listing Referrers" (distribution 1.1)."""
    if "Subject" in manifest and "subject" in manifest:
        return LeftOut.UNREADABLE  # two readers might see two subjects
    subject = manifest.get("subject")
    if subject is None:
        return LeftOut.OTHER_SUBJECT
    if not isinstance(subject, dict) or not _is_text(subject.get("digest")):
        return LeftOut.UNREADABLE
    if subject.get("digest") != str(SUBJECT):
        return LeftOut.OTHER_SUBJECT
    config, notes = manifest.get("config"), manifest.get("annotations")
    named = manifest.get("artifactType")
    if not _is_text(named):
        return LeftOut.UNREADABLE
    if not named and config is not None:
        if not isinstance(config, dict) or not _is_text(config.get("mediaType")):
            return LeftOut.UNREADABLE
        named = config.get("mediaType")
    if notes is not None and not (
        isinstance(notes, dict) and all(isinstance(each, str) for each in notes.values())
    ):
        return LeftOut.UNREADABLE
    found: dict[str, Any] = {"mediaType": OCI_MANIFEST, "size": len(content)}
    found["digest"] = str(Digest.of(content))
    return (
        found
        | ({"artifactType": named} if named else {})
        | ({"annotations": notes} if notes else {})
    )


def _is_text(value: object) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= 255)


@given(manifest=manifests)
def test_any_manifest_is_what_the_specification_says(manifest: dict[str, Any]) -> None:
    """Or left out, for a reason."""
    content = json.dumps(manifest).encode()
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        return  # half a surrogate: no manifest
    found = read(content)
    assert (shown(found) if isinstance(found, Referrer) else found) == expected(manifest, content)


@given(content=st.binary(max_size=400) | st.text().map(str.encode))
def test_any_bytes_are_a_referrer_or_left_out(content: bytes) -> None:
    """Nothing else is raised, although nobody asks for one before its manifest was verified."""
    assert isinstance(read(content), LeftOut)


@given(manifest=manifests, media_type=st.sampled_from(MANIFEST_MEDIA_TYPES))
def test_a_descriptor_names_bytes_that_were_verified(
    manifest: dict[str, Any], media_type: str
) -> None:
    """Digest, size and media type are those of the manifest that a device then pulls."""
    content = json.dumps(manifest).encode()
    try:
        verified = verify_manifest(content, media_type, Digest.of(content))
    except WrongBytesError:
        return
    found = referrer_of(Digest.of(content), verified, SUBJECT)
    if isinstance(found, Referrer):
        descriptor = shown(found)
        assert descriptor["digest"] == str(Digest.of(content)) == str(found.digest)
        assert (descriptor["size"], descriptor["mediaType"]) == (len(content), media_type)
        assert descriptor.get("artifactType") == (found.artifact_type or None)


def test_an_index_has_no_type_but_its_own() -> None:
    """It has no configuration."""
    fields: dict[str, Any] = {"mediaType": OCI_INDEX, "config": None, "layers": None}
    assert "artifactType" not in shown(of(artifact_type=None, manifests=[], **fields))
    assert shown(of(manifests=[], **fields))["artifactType"] == SIGNATURE


@pytest.mark.parametrize(
    "spelled",
    [b'"subject":{"digest":"%b"},', b'"SUBJECT":{"digest":"%b"},', b'"artifacttype":"%b",'],
)
def test_a_field_that_stands_there_twice_is_unreadable(spelled: bytes) -> None:
    """One reader would take the first, another the last one, and Go any spelling."""
    content = attached(str(SUBJECT)).content
    twice = content.replace(b"{", b"{" + spelled % str(OTHER).encode(), 1)
    assert read(twice) is LeftOut.UNREADABLE
    inner = content.replace(
        b'"digest":"%b"' % str(SUBJECT).encode(),
        b'"digest":"%b","Digest":"%b"' % (str(SUBJECT).encode(), b"x"),
    )
    assert inner != content
    assert read(inner) is LeftOut.UNREADABLE


def test_long_annotations_are_not_repeated_on_a_list() -> None:
    """The referrer is there all the same: its annotations are in its manifest."""
    long = {"a": "x" * MAX_REFERRER_FIELD_BYTES}
    assert "annotations" not in shown(of(annotations=long))
    assert shown(of(annotations={"a": "x"}))["annotations"] == {"a": "x"}
    assert of(subject={"digest": str(SUBJECT), "data": long["a"]}) is LeftOut.UNREADABLE
