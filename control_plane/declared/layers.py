"""How files make one whole: a folder's beside one another, layers upon one another. Pure.

- A *layer* is one `-f`: a file, or a folder. The documents of a layer are put together; a
  connection's name stands in one of them alone.
- Each layer is a merge patch (RFC 7396) upon those before it: a mapping is merged name by name,
  anything else is replaced, and null takes away what was there.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from control_plane.declared.file_problems import (
    FilePlace,
    FileProblem,
    Places,
    ValueWay,
    WrongFilesError,
    nearest_place,
)
from control_plane.declared.yaml_reading import SourceDocument

SCHEMA, SET, CONNECTIONS = "$schema", "set", "connections"
TOP_FIELDS: Final = (SCHEMA, SET, CONNECTIONS)

Mapped = dict[str, object]


@frozen
class Layer:
    """What one `-f` says, or several laid over one another."""

    value: Mapped
    places: Places


def layer_of(name: str, documents: Sequence[SourceDocument]) -> Layer:
    """Return the documents put together; raise `WrongFilesError` if two say the same."""
    value, places, problems = Mapped(), dict[ValueWay, FilePlace](), list[FileProblem]()
    for document in documents:
        if not isinstance(document.value, dict):
            problems.append(
                FileProblem(document.places[()], (), f"expected a mapping with {CONNECTIONS}")
            )
            continue
        problems += _put(value, document)
        places |= {way: at for way, at in document.places.items() if way not in places}
    if problems:
        raise WrongFilesError(problems)
    return Layer(value, {(): FilePlace(name), **places})


def overlaid(layers: Iterable[Layer]) -> Layer:
    """Return the layers laid over one another, the later ones above."""
    value, places = Mapped(), dict[ValueWay, FilePlace]()
    for layer in layers:
        value = merged(value, layer.value)
        places |= layer.places
    return Layer(value, places)


def merged(target: object, patch: Mapped) -> Mapped:
    """Return the target with a merge patch upon it (RFC 7396 section 2)."""
    result = dict(target) if isinstance(target, dict) else Mapped()
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value) if isinstance(value, dict) else value
    return result


def _put(value: Mapped, document: SourceDocument) -> Iterable[FileProblem]:
    """Put a document beside those of its layer; yield where it says something again."""
    found = document.value
    if not isinstance(found, dict):
        return
    for name, given in found.items():
        present = value.get(name)
        if name not in value:
            value[name] = dict(given) if isinstance(given, dict) else given
        elif name == CONNECTIONS and isinstance(present, dict) and isinstance(given, dict):
            for twice in sorted(present.keys() & given.keys()):
                way = (CONNECTIONS, twice)
                yield FileProblem(
                    nearest_place(document.places, way),
                    way,
                    "another document beside it has this name too; an overlay has a -f of its own",
                )
            present |= given
        elif given != present and given is not None:
            where = nearest_place(document.places, (name,))
            yield FileProblem(where, (name,), "another document beside it says otherwise")
