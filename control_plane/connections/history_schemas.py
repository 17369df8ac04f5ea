"""The schemas of a connection's history. Pure."""

from typing import Final

from control_plane.connections.view_schemas import FINGERPRINT
from control_plane.http.schema import (
    INTEGER,
    TEXT,
    TIME,
    Schema,
    array_of,
    described,
    nullable,
    object_of,
    page_of,
    ref,
)

SCHEMAS: Final[dict[str, Schema]] = {
    "HistoryChange": object_of(
        {
            "field": described(TEXT, "The field of a connection's view."),
            "before": {"description": "Left out where nobody knows it."},
            "after": {},
        },
        "What an act changed in a field. A secret is never told: secret_version counts up.",
        optional={"before"},
    ),
    "VerifiedAct": object_of(
        {
            "sequence": described(INTEGER, "The place of its entry in the audit log."),
            "at": TIME,
            "actor": TEXT,
            "action": TEXT,
            "revision": nullable(INTEGER, "The revision that it made, approved or ended."),
            "fingerprint": nullable(FINGERPRINT, "Of that revision."),
            "details": {"type": "object", "additionalProperties": TEXT},
            "changes": array_of(
                ref("HistoryChange"),
                "Of a draft: against the draft that waited, or else what served. Of an approval:"
                " against what served.",
            ),
            "problem": nullable(
                TEXT, "What of it is not believed: the database's columns, or a document."
            ),
        },
        "An act whose audit entry was verified.",
    ),
    "UnverifiedAct": object_of(
        {"sequence": INTEGER, "problem": TEXT},
        "An act that is not believed: only its place in the audit log, and why.",
    ),
    "HistoryAct": {"anyOf": [ref("VerifiedAct"), ref("UnverifiedAct")]},
    "HistoryPage": page_of("HistoryAct"),
}
