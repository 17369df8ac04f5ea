"""What the API does with the audit log: its operations, and their schemas. Pure.

`serving/routes.py` answers them.
"""

from typing import Final

from control_plane.http.operation import (
    LIMIT,
    SEQUENCE_CURSOR,
    AnswerShape,
    OperatorsOperation,
    Parameter,
)
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
from control_plane.proof.audit_filter import MAX_FILTER_CHARACTERS
from control_plane.reading.query_reader import MAX_SEQUENCE

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

_FILTER: Final = TEXT | {"minLength": 1, "maxLength": MAX_FILTER_CHARACTERS}

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
            INTEGER | {"minimum": 0, "maximum": MAX_SEQUENCE},
            "The sequence after which the page begins; the log's beginning if absent.",
        ),
        LIMIT,
        Parameter("cursor", SEQUENCE_CURSOR.schema, "The same as after; not with it."),
        Parameter(
            "actor",
            _FILTER,
            "Of this actor alone; shell:<user> for commands with the statement key.",
        ),
        Parameter(
            "action",
            _FILTER,
            "Of actions that begin so, such as connection. or connection.approve.",
        ),
        Parameter(
            "about",
            _FILTER,
            "About subjects that begin so, such as connection/<id>, operator/alice, device/<id>.",
        ),
        Parameter("since", TIME, "Of this moment or later."),
        Parameter("until", TIME, "Before this moment."),
    ),
    rules={
        "cursor": "the next_cursor of a page; not with after, unless that is 0",
        **dict.fromkeys(("since", "until"), "a time with its offset from UTC"),
        **dict.fromkeys(("actor", "action", "about"), "without the character NUL"),
    },
    role=Role.VIEWER,
)
OPERATIONS: Final[tuple[OperatorsOperation, ...]] = (LIST_AUDIT,)
