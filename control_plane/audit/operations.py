"""What the API does with the audit log: its operations, and their schemas. Pure.

`serving/routes.py` answers them.
"""

from typing import Final

from control_plane.http.operation import LIMIT, AnswerShape, OperatorsOperation, Parameter
from control_plane.http.schema import (
    INTEGER,
    TEXT,
    TIME,
    Schema,
    nullable,
    object_of,
    page_of,
    ref,
)
from control_plane.operators.permissions import Role

SCHEMAS: Final[dict[str, Schema]] = {
    "VerifiedAuditEntry": object_of(
        {
            "sequence": INTEGER,
            "at": TIME,
            "actor": TEXT,
            "action": TEXT,
            "about": TEXT,
            "about_generation": nullable(INTEGER),
            "details": {"type": "object", "additionalProperties": TEXT},
            "previous": TEXT,
            "hash": TEXT,
            "problem": nullable(
                TEXT,
                "Why a filter may leave the entry out: the database's columns say something else"
                " than is signed.",
            ),
        },
        "An entry whose signature and place in the chain were verified.",
    ),
    "UnverifiedAuditEntry": object_of(
        {"sequence": INTEGER, "problem": TEXT},
        "An entry that is not believed: only its place, and why.",
    ),
    "AuditEntry": {"anyOf": [ref("VerifiedAuditEntry"), ref("UnverifiedAuditEntry")]},
    "AuditPage": page_of("AuditEntry"),
}

LIST_AUDIT: Final = OperatorsOperation(
    "GET",
    "/v1/audit",
    "listAudit",
    "Who did what when, chained and signed",
    {
        200: AnswerShape(
            "A page; of a filtered log it may hold fewer items than its limit, or none, and yet not"
            " be the last.",
            ref("AuditPage"),
        )
    },
    parameters=(
        Parameter(
            "after",
            INTEGER | {"minimum": 0},
            "The sequence after which the page begins; the log's beginning if absent.",
        ),
        LIMIT,
        Parameter("cursor", TEXT, "The same as after."),
        Parameter(
            "actor",
            TEXT,
            "Of this actor alone; shell:<user> for commands with the statement key.",
        ),
        Parameter(
            "action",
            TEXT,
            "Of actions that begin so, such as connection. or connection.approve.",
        ),
        Parameter(
            "about",
            TEXT,
            "About subjects that begin so, such as connection/<id>, operator/alice, device/<id>.",
        ),
        Parameter("since", TIME, "Of this moment or later."),
        Parameter("until", TIME, "Before this moment."),
    ),
    role=Role.VIEWER,
)
OPERATIONS: Final[tuple[OperatorsOperation, ...]] = (LIST_AUDIT,)
