"""One referrer: what a verified manifest says of itself, and of what it refers to. Pure.

Only its own bytes are read, which are those of its digest. What a registry's list says of it, its
type or its annotations, is never believed.
"""

from collections import Counter
from typing import Any, Final

import orjson
from attrs import field, frozen

from facade.content.json_fields import JsonField, UnreadableJsonError, fields_of
from facade.content.manifest import VerifiedManifest
from facade.metrics.pull_metrics import LeftOut
from shared.oci import Digest
from shared.outside_bytes import Party, reads_bytes_of

# Of one field that is read: of the annotations above all. A certificate's chain takes some 8 KiB.
MAX_REFERRER_FIELD_BYTES: Final = 64 * 1024
MAX_TYPE_CHARACTERS: Final = 255  # a media type (RFC 6838 section 4.2)
# Names of fields, case-folded: Go's JSON takes `Subject` for `subject`, and others do not.
_READ: Final = frozenset({"subject", "artifacttype", "annotations", "config"})


@frozen
class Referrer:
    """A manifest that refers to another one, as the list shows it."""

    digest: Digest
    artifact_type: str | None
    descriptor: bytes = field(repr=False)  # JSON


@reads_bytes_of(Party.REGISTRY)
def referrer_of(digest: Digest, manifest: VerifiedManifest, subject: Digest) -> Referrer | LeftOut:
    """Return what the manifest of a digest is on the list of what refers to `subject`.

    OCI distribution specification 1.1, "Listing Referrers": without an artifact type of its own,
    an image manifest has that of its configuration, and an index has none.
    """
    try:
        fields = _fields(manifest.content)
        if not _refers_to(subject, fields.get("subject")):
            return LeftOut.OTHER_SUBJECT
        artifact_type = _text(fields.get("artifactType")) or _config_type(fields.get("config"))
        annotations = _annotations(fields.get("annotations"))
    except UnreadableJsonError:
        return LeftOut.UNREADABLE
    descriptor: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": str(digest),
        "size": len(manifest.content),
    }
    if artifact_type:
        descriptor["artifactType"] = artifact_type
    if annotations:
        descriptor["annotations"] = annotations
    return Referrer(digest, artifact_type, orjson.dumps(descriptor))


def _refers_to(subject: Digest, field: JsonField | None) -> bool:
    if field is None or field.value == b"null":
        return False
    return _text(_fields(_value(field)).get("digest")) == str(subject)


def _config_type(field: JsonField | None) -> str | None:
    if field is None or field.value == b"null":
        return None
    return _text(_fields(_value(field)).get("mediaType"))


def _fields(document: bytes) -> dict[str, JsonField]:
    """Return the fields by their names; raise `UnreadableJsonError` if readers would differ."""
    fields = fields_of(document, longest=MAX_REFERRER_FIELD_BYTES)
    names = Counter(each.name.casefold() for each in fields)
    if any(names[each] > 1 for each in (*_READ, "digest", "mediatype")):
        raise UnreadableJsonError("a field stands there twice")
    return {each.name: each for each in fields}


def _annotations(field: JsonField | None) -> dict[str, str]:
    """Return the annotations; none if they are too long to be repeated in a list."""
    if field is None or field.value is None:
        return {}
    annotations = _parsed(field.value)
    if annotations is None:
        return {}
    if not isinstance(annotations, dict) or not all(
        isinstance(each, str) for each in annotations.values()
    ):
        raise UnreadableJsonError("the annotations are no texts")
    return annotations


def _text(field: JsonField | None) -> str | None:
    """Return a text; None if there is none."""
    if field is None:
        return None
    text = _parsed(_value(field))
    if text is None:
        return None
    if not isinstance(text, str) or len(text) > MAX_TYPE_CHARACTERS:
        raise UnreadableJsonError("a field is no short text")
    return text


def _value(field: JsonField) -> bytes:
    if field.value is None:
        raise UnreadableJsonError("a field is too long")
    return field.value


def _parsed(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise UnreadableJsonError("a field is not JSON") from None
