"""What the API does for single sign-on: it says how to log in. Pure."""

from typing import Final

from control_plane.http.operation import AnswerShape, Operation
from control_plane.http.schema import TEXT, TEXTS, URL, Schema, nullable, object_of, ref

SCHEMAS: Final[dict[str, Schema]] = {
    "LoginWays": object_of(
        {"single_sign_on": nullable(ref("ProviderLogin"), "Null where it is not configured.")},
        "How somebody may log in beside an operator's token.",
    ),
    "ProviderLogin": object_of(
        {
            "issuer": URL,
            "client_id": TEXT,
            "audience": TEXT,
            "audience_parameter": nullable(TEXT),
            "scopes": TEXTS,
        },
        "What a program on a person's machine needs to get an access token: the OpenID provider,"
        " and the public client there.",
    ),
}
SHOW_LOGIN: Final = Operation(
    "GET",
    "/v1/login",
    "showLogin",
    "How to log in by single sign-on",
    {200: AnswerShape("What there is.", ref("LoginWays"))},
)
OPERATIONS: Final = (SHOW_LOGIN,)
