"""What the API does for anybody, and what its problems look like. Pure.

`serving/routes.py` answers them. What needs a role is in `control_plane/operations.py`.
"""

from typing import Final

from control_plane.http.operation import (
    AnswerShape,
    Operation,
)
from control_plane.http.schema import (
    INTEGER,
    TEXT,
    Schema,
    array_of,
    object_of,
    ref,
)

SCHEMAS: Final[dict[str, Schema]] = {
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
}

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
OPERATIONS: Final = (LIVE, READY, DESCRIBE)
