"""What a manifest is: the one media type that its header and its own fields agree on. Pure.

Readers differ. Some go by the Content-Type, some by `mediaType`, some by the fields; if a field
stands there twice, some take the first and some the last. A manifest that two readers could take
for different things is refused (CVE-2021-41190).
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from typing import Final

import orjson

from facade.content.json_fields import JsonField
from facade.values.piece import WrongBytesError
from shared.oci import INDEX_MEDIA_TYPES, MANIFEST_MEDIA_TYPES

# Names of fields, case-folded: Go's JSON, and so every client's, takes `MediaType` and `LAYERS` for
# the fields that they fold to.
_MEDIA_TYPE_FIELD: Final = "mediatype"
_INDEX_FIELDS: Final = frozenset({"manifests"})
_IMAGE_FIELDS: Final = frozenset({"layers", "config", "fslayers", "blobs"})
_DECIDING_FIELDS: Final = _INDEX_FIELDS | _IMAGE_FIELDS | {_MEDIA_TYPE_FIELD}

# Any type that somebody calls a manifest, served here or not: schema 1, or another vendor's.
_NAMED_MANIFEST: Final = re.compile(r"application/vnd\..*\b(?:manifest|index)\b.*", re.ASCII)


def header_media_type(content_types: Iterable[str]) -> str | None:
    """Return the manifest type that Content-Type names; None if it names none.

    It may name types of other things besides. Raises `WrongBytesError` if it names several manifest
    types.
    """
    named = {each for each in content_types if _NAMED_MANIFEST.fullmatch(each)}
    if len(named) > 1:
        raise WrongBytesError("the Content-Type lines name several manifest types")
    return named.pop() if named else None


def media_type_of(header: str | None, fields: Collection[JsonField]) -> str:
    """Return the media type of a manifest with these fields.

    `header` is the manifest type that the Content-Type names. If it is None, the manifest's own
    `mediaType` counts. If there are both, they must agree. `null` and "" count as no `mediaType`.
    Raises `WrongBytesError`.
    """
    names = Counter(each.name.casefold() for each in fields)
    if any(names[deciding] > 1 for deciding in _DECIDING_FIELDS):
        raise WrongBytesError("the manifest has a field twice")
    own = next((each for each in fields if each.name.casefold() == _MEDIA_TYPE_FIELD), None)
    named = _value(own) if own is not None else None
    # not every reader reads another spelling
    media_type = header or (named if own is not None and own.name == "mediaType" else None)
    if not isinstance(media_type, str) or media_type not in MANIFEST_MEDIA_TYPES:
        raise WrongBytesError(
            "neither the Content-Type nor the body names a manifest type that is served"
        )
    if named not in (None, media_type):
        raise WrongBytesError("mediaType disagrees with the Content-Type")
    _require_one_kind(names.keys(), media_type)
    return media_type


def _value(media_type: JsonField) -> object:
    """Return a field's value; None if it is missing or names nothing (`null`, "")."""
    if media_type.value is None:
        raise WrongBytesError("mediaType is no media type")
    try:
        value = orjson.loads(media_type.value)
    except orjson.JSONDecodeError:
        raise WrongBytesError("mediaType cannot be read") from None
    return None if value is None or value == "" else value


def _require_one_kind(fields: AbstractSet[str], media_type: str) -> None:
    """Refuse a manifest that one reader would take for an index and another for an image."""
    # CVE-2021-41190: with both, the Content-Type alone would decide what is pulled
    if fields & _INDEX_FIELDS and fields & _IMAGE_FIELDS:
        raise WrongBytesError("the manifest is an index and an image at once")
    foreign = _IMAGE_FIELDS if media_type in INDEX_MEDIA_TYPES else _INDEX_FIELDS
    if fields & foreign:
        raise WrongBytesError("the manifest's fields are those of another media type")
