"""The JSON Schema (draft 2020-12) of files, made of the API's schema of a request. Pure."""

from typing import Any, Final

from control_plane.connections.fields import MAX_SECRET_LABEL_CHARACTERS, SET_NAME_PATTERN
from control_plane.connections.request_schemas import SCHEMAS
from control_plane.declared.declared_set import MAX_CONNECTIONS, NAME_PATTERN
from control_plane.declared.field_names import (
    CERTIFICATE,
    CERTIFICATE_FROM,
    PLAIN_FIELDS,
    REFERENCES,
    REQUEST,
)
from control_plane.declared.layers import CONNECTIONS, SCHEMA, SET
from control_plane.declared.secret_reference import (
    MAX_COMMAND_WORDS,
    MAX_PATH_CHARACTERS,
    MAX_WORD_CHARACTERS,
)
from control_plane.http.schema import TEXT, Schema, array_of, described, object_of
from control_plane.prefix import PREFIX

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_CONNECTION: Final = "connection"
_SECRET: Final = "secretReference"  # noqa: S105 - a schema's name
_FILE: Final = "fileReference"

# What editors say beside what the API says of a field.
_IN_FILES: Final = {
    "repository_prefix": "Only repositories below this one. With the host, it is what tells one"
    " connection from another.",
    "external_id": "Of the role's trust policy. Not there: the control plane makes one up, and it"
    " stays. Empty: none.",
    "ca_certificate": f"Certificates in PEM that are believed beside the system's authorities, the"
    f" registry's CA or its own. {CERTIFICATE_FROM} reads them from a file.",
}
_PATH: Final = described(
    TEXT,
    "Relative to the folder of the file that this stands in.",
    minLength=1,
    maxLength=MAX_PATH_CHARACTERS,
)


def file_schema(*, overlay: bool = False) -> dict[str, Any]:
    """Return the schema of a file that is whole, or of one that is laid over others."""
    connection = _connection(overlay=overlay)
    named: Schema = {
        "type": "object",
        "description": "By a name of your own, which overlays use. Host and prefix say which"
        " connection of the control plane is meant.",
        "propertyNames": {"pattern": f"^{NAME_PATTERN}$"},
        "maxProperties": MAX_CONNECTIONS,
        "additionalProperties": _within({"$ref": f"#/$defs/{_CONNECTION}"}, overlay=overlay),
    }
    whole = object_of(
        {
            SCHEMA: described(TEXT, "Where this schema is, for editors."),
            SET: described(
                TEXT,
                "Which connections `apply --prune` may end: those that were approved as this"
                " set's, and are not in its files. Without it, none.",
                pattern=f"^{SET_NAME_PATTERN}$",
            ),
            CONNECTIONS: named,
        },
        "Connections of a registry control plane, for `control-plane apply`."
        + (" To be laid over another file: null takes away what that says." if overlay else ""),
        required=() if overlay else (CONNECTIONS,),
    )
    definitions = {
        _CONNECTION: connection,
        _SECRET: _secret(overlay=overlay),
        _FILE: object_of({"file": _PATH}, "A file beside this one."),
    }
    return {"$schema": DIALECT, "title": "Registry connections", **whole, "$defs": definitions}


def _connection(*, overlay: bool) -> Schema:
    request = SCHEMAS[REQUEST]
    fields: dict[str, Schema] = {
        file_name: _field(name, request["properties"][name], overlay=overlay)
        for name, file_name in PLAIN_FIELDS.items()
    }
    for name in REFERENCES.values():
        fields[name] = _within({"$ref": f"#/$defs/{_SECRET}"}, overlay=overlay)
    fields[CERTIFICATE_FROM] = _within({"$ref": f"#/$defs/{_FILE}"}, overlay=overlay)
    said = str(request["description"])
    for name, reference in REFERENCES.items():
        said = said.replace(name, reference)
    for name, file_name in PLAIN_FIELDS.items():
        said = said.replace(name, file_name) if "_" in name else said
    required = () if overlay else [PLAIN_FIELDS[name] for name in request["required"]]
    schema = object_of(fields, said, required=required)
    if not overlay:
        schema["not"] = {"required": [CERTIFICATE, CERTIFICATE_FROM]}
    return schema


def _field(name: str, schema: Schema, *, overlay: bool) -> Schema:
    """Return an API's field; only an overlay takes one away with null."""
    bare = dict(schema)
    options = bare.pop("anyOf", None)
    if options is not None:
        bare = {**next(each for each in options if each != {"type": "null"}), **bare}
    if name == "external_id":
        bare["minLength"] = 0
    if name in _IN_FILES:
        bare["description"] = _IN_FILES[name]
    return _within(bare, overlay=overlay)


def _within(schema: Schema, *, overlay: bool) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]} if overlay else schema


def _secret(*, overlay: bool) -> Schema:
    fields: dict[str, Schema] = {
        "env": described(
            TEXT,
            "The name of a variable.",
            pattern=f"^(?!{PREFIX})[A-Za-z_][A-Za-z0-9_]{{0,254}}$",
        ),
        "file": _PATH,
        "command": array_of(
            TEXT | {"maxLength": MAX_WORD_CHARACTERS},
            "A program and its arguments, run without a shell; only with --allow-commands.",
            minItems=1,
            maxItems=MAX_COMMAND_WORDS,
        ),
        "version": {
            "type": ["string", "integer"],
            "minLength": 1,
            "maxLength": MAX_SECRET_LABEL_CHARACTERS,
            "description": "What this secret is called. Another version means that it is a new"
            " one: nobody can read the old one to compare.",
        },
    }
    fields = {name: _within(schema, overlay=overlay) for name, schema in fields.items()}
    schema = object_of(
        fields,
        "Where the secret is read when it is needed. It never stands in a file.",
        required=() if overlay else ("version",),
    )
    if not overlay:
        schema["oneOf"] = [{"required": [name]} for name in ("env", "file", "command")]
    return schema
