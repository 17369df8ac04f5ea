"""What the API does with operators: its operations, and their schemas. Pure."""

from typing import Final

from control_plane.http.operation import (
    CURSOR,
    CURSOR_RULE,
    LIMIT,
    AnswerShape,
    OperatorsOperation,
    RequestBody,
)
from control_plane.http.schema import (
    TEXT,
    TIME,
    Schema,
    array_of,
    described,
    nullable,
    object_of,
    one_of,
    page_of,
    ref,
)
from control_plane.operators.authenticated_operator import LoginKind
from control_plane.operators.operator_token import NAME_PATTERN
from control_plane.operators.operators import DEFAULT_LIFETIME
from control_plane.operators.permissions import Role

_ENDS: Final = nullable(
    TIME,
    f"When the token ends, a time to come; null: never. If absent, after {DEFAULT_LIFETIME.days}"
    " days.",
)
_PERSON: Final = nullable(
    TEXT,
    "Whose token it is, oidc:<issuer>:<sub>, so that one human counts once where a second approver"
    " is required. If absent at a rotation, whose it was.",
)

SCHEMAS: Final[dict[str, Schema]] = {
    "Me": object_of(
        {
            "name": described(TEXT, "What audit log and statements call the caller."),
            "display_name": described(TEXT, "What people call the caller."),
            "person": nullable(TEXT, "Who it is to single sign-on, oidc:<issuer>:<sub>."),
            "role": one_of(Role),
            "login": one_of(LoginKind, "By what the caller was let in."),
            "expires_at": nullable(TIME, "Until when that lets them in; null: it has no end."),
            "operations": array_of(TEXT, "The operationId of each operation that the role may do."),
        },
        "Who calls.",
    ),
    "Operator": object_of(
        {
            "name": TEXT,
            "role": nullable(one_of(Role)),
            "person": nullable(TEXT, "Whose token it is to single sign-on, oidc:<issuer>:<sub>."),
            "issued_by": nullable(
                TEXT, "Who made the token; shell:<user>: with the statement key."
            ),
            "issued_at": nullable(TIME),
            "expires_at": nullable(TIME, "When the token ends; null: never."),
            "last_used_at": nullable(
                TIME,
                "When the token was used last, to a minute; null: nobody knows. It is not signed,"
                " and the ETag is without it.",
            ),
            "problem": nullable(
                TEXT, "Why the operator's row is not believed; removing and adding mends it."
            ),
        },
        "Somebody who may call. Never with a token.",
    ),
    "OperatorPage": page_of("Operator"),
    "OperatorRequest": object_of(
        {
            "name": described(TEXT, "As an operator's token has it.", pattern=NAME_PATTERN),
            "role": one_of(Role),
            "expires_at": _ENDS,
            "person": _PERSON,
        },
        optional={"expires_at", "person"},
    ),
    "RotationRequest": object_of({"expires_at": _ENDS, "person": _PERSON}, required=()),
    "IssuedToken": object_of(
        {
            "operator": ref("Operator"),
            "token": described(
                TEXT, "The whole token: it is in this one answer, and kept nowhere."
            ),
        },
        "A token that has just been made.",
    ),
}

SHOW_ME: Final = OperatorsOperation(
    "GET",
    "/v1/me",
    "showMe",
    "Who calls, as what, and until when",
    {200: AnswerShape("The caller.", ref("Me"))},
    role=Role.VIEWER,
)
_RULES: Final = {
    "expires_at": "a time to come",
    "person": "oidc:<issuer>:<sub>, both percent-encoded",
}
_ALL: Final = "/v1/operators"
_ONE: Final = f"{_ALL}/{{name}}"
_TAGGED: Final = ("ETag",)

LIST_OPERATORS: Final = OperatorsOperation(
    "GET",
    _ALL,
    "listOperators",
    "Who may call with a token, in the order of their names",
    {200: AnswerShape("A page.", ref("OperatorPage"))},
    parameters=(LIMIT, CURSOR),
    rules=CURSOR_RULE,
    role=Role.ADMIN,
)
ADD_OPERATOR: Final = OperatorsOperation(
    "POST",
    _ALL,
    "addOperator",
    "Make an operator, and the token that the answer has",
    {
        201: AnswerShape(
            "Made; the token is in this answer alone.",
            ref("IssuedToken"),
            headers=("ETag", "Location"),
        )
    },
    body=RequestBody("OperatorRequest"),
    may_conflict=True,
    rules=_RULES,
    repeated="409; who did not get the token rotates it.",
    role=Role.ADMIN,
)
SHOW_OPERATOR: Final = OperatorsOperation(
    "GET",
    _ONE,
    "showOperator",
    "One operator",
    {200: AnswerShape("The view.", ref("Operator"), headers=_TAGGED)},
    role=Role.ADMIN,
)
ROTATE_OPERATOR: Final = OperatorsOperation(
    "POST",
    f"{_ONE}/rotate",
    "rotateOperator",
    "Give an operator a new token; the present one is worth nothing from then on",
    {
        200: AnswerShape(
            "Replaced; the token is in this answer alone.", ref("IssuedToken"), headers=_TAGGED
        )
    },
    body=RequestBody("RotationRequest", is_required=False),
    takes_if_match=True,
    may_conflict=True,
    rules=_RULES,
    repeated="200 with another token; the one before is worth nothing.",
    role=Role.ADMIN,
)
REMOVE_OPERATOR: Final = OperatorsOperation(
    "DELETE",
    _ONE,
    "removeOperator",
    "Remove an operator: nobody is let in with the token; nobody removes themselves",
    {204: AnswerShape("Removed.")},
    takes_if_match=True,
    may_conflict=True,
    repeated="404.",
    role=Role.ADMIN,
)
OPERATIONS: Final[tuple[OperatorsOperation, ...]] = (
    SHOW_ME,
    LIST_OPERATORS,
    ADD_OPERATOR,
    SHOW_OPERATOR,
    ROTATE_OPERATOR,
    REMOVE_OPERATOR,
)
