"""Descriptors, and the JSON documents that they stand in. Pure.

Only what a signed digest stands for comes here. It is checked all the same: a key's owner may have
signed a document that means another thing to another reader.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from device_agent.errors import RefusedError
from device_agent.grammar import hex_of

SCHEMA_VERSION: Final = 2  # of every manifest and index that is in use


@frozen
class Descriptor:
    """Content that a document names: its digest, its bytes, its media type."""

    digest: str
    size: int
    media_type: str


def read_document(content: bytes, media_type: str, what: str) -> Mapping[str, Any]:
    """Return a manifest or an index; RefusedError unless it says that it is of this type."""
    document = read_object(content, what)
    said = (document.get("schemaVersion"), document.get("mediaType", media_type))
    if said != (SCHEMA_VERSION, media_type):
        raise RefusedError(f"{what} is not of the type that was signed, {media_type}")
    return document


def read_object(content: bytes, what: str) -> Mapping[str, Any]:
    """Return a JSON object that every reader reads alike; RefusedError if it is none."""
    try:
        document = json.loads(content, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{what} is not JSON of one meaning") from error
    if not isinstance(document, dict):
        raise RefusedError(f"{what} is no object")
    return document


def read_descriptor(value: object, limit: int) -> Descriptor:
    """Return a descriptor of at most so many bytes; RefusedError if it is none."""
    match value:
        case {"digest": str(digest), "size": int(size), "mediaType": str(media_type)}:
            if isinstance(size, bool) or not 0 <= size <= limit:
                raise RefusedError(f"what is named has {size} bytes: {limit} are allowed")
            return Descriptor(read_digest(digest), size, media_type)
        case _:
            raise RefusedError("a descriptor is none")


def read_digest(value: object) -> str:
    """Return a sha256 digest; RefusedError if it is none."""
    try:
        return f"sha256:{hex_of(str(value))}"
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that is there twice: readers differ on which one counts."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)
