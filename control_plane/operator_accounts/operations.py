"""What the API does with operators: its operations, and their schemas. Pure."""

from typing import Final

from control_plane.http.operation import AnswerShape, OperatorsOperation
from control_plane.http.schema import (
    TEXT,
    TIME,
    Schema,
    array_of,
    described,
    nullable,
    object_of,
    one_of,
    ref,
)
from control_plane.operators.operators import LoginKind
from control_plane.operators.permissions import Role

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
}

SHOW_ME: Final = OperatorsOperation(
    "GET",
    "/v1/me",
    "showMe",
    "Who calls, as what, and until when",
    {200: AnswerShape("The caller.", ref("Me"))},
    role=Role.VIEWER,
)
OPERATIONS: Final[tuple[OperatorsOperation, ...]] = (SHOW_ME,)
