"""The JSON Schema of payloads: `make docs` writes it; tests hold every payload to it."""

from typing import Final

from control_plane.http.schema import Schema
from control_plane.webhooks.event import KIND_OF_ACTION, EventKind
from control_plane.webhooks.payload import SHOWN_DETAILS
from control_plane.webhooks.position import GapReason
from control_plane.webhooks.problem_sender import PARTS

_TEXT: Final[Schema] = {"type": "string"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_PLACE: Final[Schema] = {"type": "integer", "minimum": 0}
_CONNECTION: Final[Schema] = {
    "type": "object",
    "description": "the connection; null where its document is not stored any more",
    "required": ["id", "host", "repository_prefix", "provider"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "host": {"type": ["string", "null"]},
        "repository_prefix": {"type": ["string", "null"]},
        "provider": {"type": ["string", "null"]},
    },
}
_OF_ENTRY: Final[Schema] = {
    "sequence": {**_PLACE, "description": "the entry's place in the audit log"},
    "entry": {"type": "string", "description": "the SHA-256 of the entry's signed bytes"},
    "actor": {"type": "string", "description": "who acted"},
    "action": {"type": "string", "description": "as the audit log names it"},
    "about": {"type": "string", "description": "what the entry is about: order is kept for each"},
    "details": {
        "type": "object",
        "description": "what the entry says besides; a comment or a reason is an operator's text",
        "properties": dict.fromkeys(SHOWN_DETAILS, _TEXT),
        "additionalProperties": False,
    },
}


def payload_schema() -> Schema:
    """Return the schema."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Payload of a webhook",
        "description": "Made by `make docs`. Fields may be added; a receiver ignores those that it"
        " does not know.",
        "oneOf": [_payload(kind) for kind in EventKind],
    }


def _payload(kind: EventKind) -> Schema:
    return {
        "title": kind.value,
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": kind.value},
            "timestamp": {**_TIME, "description": "when it happened"},
            "data": _data(kind),
        },
    }


def _data(kind: EventKind) -> Schema:
    match kind:
        case EventKind.APPROVAL_ENDS:
            return _object(
                {
                    "connection": _CONNECTION,
                    "days": {"enum": [14, 7, 1]},
                    "expires_at": _TIME,
                    "fingerprint": _TEXT,
                    "approved_by": _TEXT,
                    "approved_at": _TIME,
                    "generation": {"type": "integer"},
                }
            )
        case EventKind.AUDIT_PROBLEM:
            return _object({"part": {"enum": [part.value for part in PARTS]}, "problem": _TEXT})
        case EventKind.GAP:
            reasons = {"enum": [reason.value for reason in GapReason]}
            return _object({"after": _PLACE, "up_to": _PLACE, "reason": reasons})
        case EventKind.TEST:
            return _object({"target": _TEXT, "message": _TEXT})
        case _:
            return _of_entry(kind)


def _of_entry(kind: EventKind) -> Schema:
    actions = [action for action, each in KIND_OF_ACTION.items() if each is kind]
    beside: Schema = {}
    if all(action.startswith("connection.") for action in actions):
        beside = {"connection": _CONNECTION}
    if kind is EventKind.CHECK_FAILED:
        beside = {"host": {"type": "string", "description": "the registry that was asked"}}
    return _object({**_OF_ENTRY, "action": {"enum": actions}, **beside})


def _object(properties: Schema) -> Schema:
    return {"type": "object", "required": sorted(properties), "properties": properties}
