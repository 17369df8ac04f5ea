"""What the API does with sessions of the console: one's own, and an admin with anybody's. Pure."""

from typing import Final

from control_plane.http.operation import (
    CURSOR,
    CURSOR_RULE,
    LIMIT,
    AnswerShape,
    OperatorsOperation,
)
from control_plane.http.schema import (
    INTEGER,
    TEXT,
    TIME,
    Schema,
    described,
    object_of,
    page_of,
    ref,
)
from control_plane.operators.permissions import Role

SCHEMAS: Final[dict[str, Schema]] = {
    "Session": object_of(
        {
            "id": described(TEXT, "What ends it is told; it lets nobody in."),
            "began_at": TIME,
            "last_used_at": described(TIME, "To a minute."),
            "ends_at": described(TIME, "At the latest: 30 minutes without use end it, too."),
        },
        "A session of the console that goes on. None of it is signed.",
    ),
    "SessionPage": page_of("Session"),
    "SignedIn": object_of(
        {
            "name": described(TEXT, "An operator's, or a person's of single sign-on (`oidc:...`)."),
            "sessions": described(INTEGER, "How many go on."),
            "last_used_at": described(TIME, "Of the one that was used last, to a minute."),
        },
        "Somebody who is signed in to the console. None of it is signed.",
    ),
    "SignedInPage": page_of("SignedIn"),
}
_OWN: Final = "/v1/sessions"
_OF_OPERATOR: Final = "/v1/operators/{caller}/sessions"
_PAGE: Final = {200: AnswerShape("A page, the newest first.", ref("SessionPage"))}
_ENDED: Final = {204: AnswerShape("Ended.")}
_REPEATED: Final = "204; what began in between is ended as well."

LIST_SESSIONS: Final = OperatorsOperation(
    "GET",
    _OWN,
    "listSessions",
    "The caller's own sessions of the console",
    _PAGE,
    parameters=(LIMIT, CURSOR),
    rules=CURSOR_RULE,
    role=Role.VIEWER,
)
END_SESSION: Final = OperatorsOperation(
    "DELETE",
    f"{_OWN}/{{session}}",
    "endSession",
    "End one of the caller's own sessions",
    _ENDED,
    repeated="404.",
    role=Role.VIEWER,
)
END_SESSIONS: Final = OperatorsOperation(
    "DELETE",
    _OWN,
    "endSessions",
    "End all of the caller's own sessions",
    _ENDED,
    repeated=_REPEATED,
    role=Role.VIEWER,
)
LIST_SIGNED_IN: Final = OperatorsOperation(
    "GET",
    "/v1/signed-in",
    "listSignedIn",
    "Who is signed in to the console: operators, and persons of single sign-on",
    {200: AnswerShape("A page, in the order of their names.", ref("SignedInPage"))},
    parameters=(LIMIT, CURSOR),
    rules=CURSOR_RULE,
    role=Role.ADMIN,
)
LIST_OPERATOR_SESSIONS: Final = OperatorsOperation(
    "GET",
    _OF_OPERATOR,
    "listOperatorSessions",
    "The sessions of an operator, or of a person of single sign-on",
    _PAGE,
    parameters=(LIMIT, CURSOR),
    rules=CURSOR_RULE,
    role=Role.ADMIN,
)
END_OPERATOR_SESSION: Final = OperatorsOperation(
    "DELETE",
    f"{_OF_OPERATOR}/{{session}}",
    "endOperatorSession",
    "End a session of an operator or a person; the audit log says so",
    _ENDED,
    repeated="404.",
    role=Role.ADMIN,
)
END_OPERATOR_SESSIONS: Final = OperatorsOperation(
    "DELETE",
    _OF_OPERATOR,
    "endOperatorSessions",
    "End all sessions of an operator or a person; the audit log says so",
    _ENDED,
    repeated=_REPEATED,
    role=Role.ADMIN,
)
OPERATIONS: Final[tuple[OperatorsOperation, ...]] = (
    LIST_SESSIONS,
    END_SESSION,
    END_SESSIONS,
    LIST_SIGNED_IN,
    LIST_OPERATOR_SESSIONS,
    END_OPERATOR_SESSION,
    END_OPERATOR_SESSIONS,
)
