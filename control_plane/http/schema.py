"""JSON schemas (draft 2020-12) as `openapi.json` has them, made of a few words. Pure.

An object with fields is a schema of its own, and is named (`ref`): generators of clients name the
others badly.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

Schema = dict[str, Any]

BOOLEAN: Final[Schema] = {"type": "boolean"}
INTEGER: Final[Schema] = {"type": "integer"}
TEXT: Final[Schema] = {"type": "string"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
URL: Final[Schema] = {"type": "string", "format": "uri"}
UUID: Final[Schema] = {"type": "string", "format": "uuid"}


def printable(most: int, *, least: int = 0) -> Schema:
    """Return the schema of a text on one line; what else is not printable no pattern can say."""
    bounds = {"minLength": least, "maxLength": most} if least else {"maxLength": most}
    return TEXT | bounds | {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}


# Of persons of single sign-on alone; an operator's name is what it is.
NAMES: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "description": "What people call the persons whom this answer names, by their identities.",
}


def ref(name: str) -> Schema:
    """Return a reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def described(schema: Schema, description: str, **more: object) -> Schema:
    """Return the schema with more of its keywords, and what people are told about it."""
    return {**schema, **more, "description": description}


def nullable(schema: Schema, description: str | None = None) -> Schema:
    """Return the schema of what may be null as well."""
    return {"anyOf": [schema, {"type": "null"}], **_described(description)}


def one_of(values: Iterable[str], description: str | None = None) -> Schema:
    """Return the schema of a text that is one of these."""
    return TEXT | {"enum": [str(value) for value in values]} | _described(description)


def array_of(items: Schema, description: str | None = None, **bounds: int) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **bounds, **_described(description)}


def object_of(
    properties: Mapping[str, Schema],
    description: str | None = None,
    *,
    optional: Collection[str] = (),
    required: Sequence[str] | None = None,
) -> Schema:
    """Return the schema of an object that has no other fields; those not `optional` are there."""
    if required is None:
        required = sorted(properties.keys() - set(optional))
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
        **_described(description),
    }


def page_of(name: str) -> Schema:
    """Return the schema of a page of a list."""
    return object_of({"items": array_of(ref(name)), "next_cursor": nullable(TEXT)})


def _described(description: str | None) -> Schema:
    return {"description": description} if description else {}
