"""What the API does beside connections and devices: the audit log, metrics, health. Pure.

`serving/routes.py` answers them.
"""

from typing import Final

from control_plane.http.operation import (
    LIMIT,
    AnswerShape,
    Operation,
    OperatorsOperation,
    Parameter,
)
from control_plane.http.schema import (
    INTEGER,
    TEXT,
    TIME,
    Schema,
    array_of,
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
    "FieldError": object_of(
        {"pointer": TEXT, "parameter": TEXT, "detail": TEXT},
        "One wrong field of the body, by its JSON pointer, or one wrong parameter of the query.",
        optional={"pointer", "parameter"},
    ),
    "Problem": object_of(
        {
            "type": TEXT,
            "title": TEXT,
            "status": INTEGER,
            "detail": TEXT,
            "request_id": TEXT,
            "errors": array_of(ref("FieldError")),
            "check": ref("Check"),
            "conflict": {
                "anyOf": [ref("ConflictingConnection"), ref("ConflictingDeviceRevocation")]
            },
        },
        "RFC 9457.",
        required=("type", "title", "status", "detail", "request_id"),
    ),
    "Health": object_of(
        {
            "status": TEXT,
            "reason": TEXT,
            "notes": array_of(
                TEXT, "What is wrong and does not keep the process from working yet."
            ),
        },
        optional={"reason", "notes"},
    ),
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
SHOW_METRICS: Final = OperatorsOperation(
    "GET",
    "/metrics",
    "showMetrics",
    "Counters in Prometheus' text format",
    {200: AnswerShape("The counters.", TEXT, "text/plain")},
    role=Role.VIEWER,
)
LIVE: Final = Operation(
    "GET", "/healthz", "live", "The process answers", {200: AnswerShape("It does.", ref("Health"))}
)
READY: Final = Operation(
    "GET",
    "/readyz",
    "ready",
    "Everything is in place",
    {
        200: AnswerShape("It is.", ref("Health")),
        503: AnswerShape(
            "It is not; the reason says what is missing, and notes what else is wrong.",
            ref("Health"),
        ),
    },
)
DESCRIBE: Final = Operation(
    "GET",
    "/openapi.json",
    "describe",
    "This description",
    {200: AnswerShape("OpenAPI 3.1.", {"type": "object"})},
)
OPERATIONS: Final = (LIST_AUDIT, SHOW_METRICS, LIVE, READY, DESCRIBE)
