"""A file of connections, YAML or JSON: its documents, of which each is a part of a set. Pure."""

from collections.abc import Iterator
from typing import Final

import orjson

from control_plane.declared.file_problems import FilePlace, FileProblem, ValueWay, WrongFilesError
from control_plane.declared.yaml_reading import (
    MAX_DEPTH,
    MAX_FILE_BYTES,
    SourceDocument,
    read_yaml,
)
from control_plane.reading.repeated_names import repeated_names
from shared.outside_bytes import Party, reads_bytes_of

SUFFIXES: Final = (".yaml", ".yml", ".json")
_MAX_REPEATED: Final = 20  # enough to see a typing error


def read_source(name: str, content: bytes) -> list[SourceDocument]:
    """Return the documents of a file; raise `WrongFilesError` with all that is wrong.

    A file is JSON if its name says so. Other JSON is YAML as well, unless it begins with a brace
    and is whole.
    """
    if name.endswith(".json") or (content.lstrip().startswith(b"{") and _is_json(content)):
        return [read_json(name, content)]
    return read_yaml(name, content)


@reads_bytes_of(Party.OPERATOR)
def read_json(name: str, content: bytes) -> SourceDocument:
    """Return the document of a JSON file; raise `WrongFilesError`."""
    place = FilePlace(name)
    if len(content) > MAX_FILE_BYTES:
        raise WrongFilesError([FileProblem(place, (), f"longer than {MAX_FILE_BYTES} bytes")])
    try:
        value = orjson.loads(content)
        repeated = repeated_names(content, at_most=_MAX_REPEATED)
    except (orjson.JSONDecodeError, RecursionError):
        raise WrongFilesError([FileProblem(place, (), "expected JSON in UTF-8")]) from None
    if repeated:
        raise WrongFilesError(
            FileProblem(place, tuple(each.split("/")[1:]), "given more than once")
            for each in repeated
        )
    if _is_too_deep(value):
        raise WrongFilesError([FileProblem(place, (), f"deeper than {MAX_DEPTH}")])
    places: dict[ValueWay, FilePlace] = {(): place}
    if isinstance(value, dict):
        places |= {(key,): place for key in value}
        named = value.get("connections")
        for way in _ways(named) if isinstance(named, dict) else ():
            places["connections", *way] = place
    return SourceDocument(value, places)


def _ways(value: object) -> Iterator[ValueWay]:
    """Yield the way to everything in a value, lists left out."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (name,)
            yield from ((name, *way) for way in _ways(inner))


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


def _is_json(content: bytes) -> bool:
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    return True
