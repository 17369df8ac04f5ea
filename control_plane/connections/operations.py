"""What the API does with connections: its operations. Pure.

`connections/routes.py` and `connections/edit_routes.py` answer them.
"""

from typing import Final

from control_plane.connections.field_rules import SECRET_RULES, TERMS_RULES
from control_plane.connections.filter import MAX_SEARCH_CHARACTERS
from control_plane.connections.reader import LOOKED_AT
from control_plane.connections.request_schemas import TYPED_HOST
from control_plane.connections.state import Status
from control_plane.http.operation import (
    CURSOR,
    CURSOR_RULE,
    ID_BEGINNING,
    JSON,
    LIMIT,
    MERGE_PATCH,
    SEQUENCE_CURSOR,
    AnswerShape,
    OperatorsOperation,
    Parameter,
    RequestBody,
    switch,
)
from control_plane.http.schema import BOOLEAN, TEXT, TIME, one_of, printable, ref
from control_plane.operators.permissions import Role
from shared.connection import Provider
from shared.oci import MAX_REPOSITORY_NAME_CHARACTERS

_ALL: Final = "/v1/connections"
_ONE: Final = f"{_ALL}/{{id}}"
_VIEW: Final = ref("Connection")
_TAGGED: Final = ("ETag",)
_CHECK: Final = "Whether the registry is asked to log in first"

LIST: Final = OperatorsOperation(
    "GET",
    _ALL,
    "listConnections",
    "Every connection, in the order of making; or those that all of the parameters fit",
    {
        200: AnswerShape(
            "A page; of a filtered list it may hold fewer items than its limit, or none, and yet"
            " not be the last.",
            ref("ConnectionPage"),
        )
    },
    parameters=(
        LIMIT,
        CURSOR,
        Parameter(
            "host",
            TYPED_HOST,
            "Of this host alone, as people have it: a pasted https:// URL is reduced to its host.",
        ),
        Parameter("repository_prefix", TEXT, "Of this prefix alone; empty: of the whole host."),
        Parameter("id", ID_BEGINNING, "Whose id begins so."),
        Parameter("status", one_of(Status), "Of this status alone."),
        Parameter("provider", one_of(Provider), "Of this provider alone."),
        Parameter(
            "problem",
            BOOLEAN,
            "Those that have a problem, or those that have none. It is told by no column, so a page"
            f" looks at {LOOKED_AT} connections at most.",
        ),
        Parameter(
            "expires_before",
            TIME,
            "Those that are not revoked, and whose approval or credential ends before this moment.",
        ),
        Parameter(
            "search",
            printable(MAX_SEARCH_CHARACTERS, least=1),
            "Whose host and prefix, description, user name, e-mail or role has this text, in"
            " whatever case.",
        ),
    ),
    rules={
        "host": TERMS_RULES["host"],
        "repository_prefix": TERMS_RULES["repository_prefix"],
        "search": TERMS_RULES["description"],
        "expires_before": "a time with its offset from UTC",
        **CURSOR_RULE,
    },
    role=Role.VIEWER,
)
CONNECT: Final = OperatorsOperation(
    "POST",
    _ALL,
    "connect",
    "Connect a registry; it waits for approval",
    {
        201: AnswerShape(
            "Stored; the Location header names it.", _VIEW, headers=("ETag", "Location")
        )
    },
    body=RequestBody("ConnectionRequest"),
    parameters=(switch("check", f"{_CHECK}.", default=True),),
    may_conflict=True,
    rules=TERMS_RULES,
    repeated="409, and `conflict` names the connection that the first call made.",
    role=Role.CONNECTOR,
)
SHOW: Final = OperatorsOperation(
    "GET",
    _ONE,
    "showConnection",
    "One connection",
    {200: AnswerShape("The view.", _VIEW, headers=_TAGGED)},
    role=Role.VIEWER,
)
EDIT: Final = OperatorsOperation(
    "PATCH",
    _ONE,
    "editConnection",
    "Make or change the draft; what serves goes on serving",
    {200: AnswerShape("The view, with the draft.", _VIEW, headers=_TAGGED)},
    body=RequestBody("ConnectionEdit", media_types=(JSON, MERGE_PATCH)),
    parameters=(
        switch("check", f"{_CHECK}, where the login is another than before.", default=True),
    ),
    takes_if_match=True,
    may_conflict=True,
    rules=TERMS_RULES
    | {"": "host and prefix stay; what decides who is shown the secret comes with the secret"},
    repeated="200, and nothing is changed or recorded.",
    role=Role.CONNECTOR,
)
PUT_CREDENTIAL: Final = OperatorsOperation(
    "PUT",
    f"{_ONE}/credential",
    "putCredential",
    "Give a new secret; the one before serves until it is approved",
    {
        200: AnswerShape(
            "The view, with the draft, or with the new secret serving.", _VIEW, headers=_TAGGED
        )
    },
    body=RequestBody("CredentialChange"),
    parameters=(switch("check", f"{_CHECK}.", default=True),),
    takes_if_match=True,
    may_conflict=True,
    rules=SECRET_RULES | {"": "what else changes is an edit"},
    repeated="200, and the secret is sealed anew, as one of a new version.",
    role=Role.CONNECTOR,
    role_of_field={"approve": Role.APPROVER},
)
DISCARD: Final = OperatorsOperation(
    "DELETE",
    f"{_ONE}/draft",
    "discardDraft",
    "Discard the draft; a connection that is nothing else is revoked with it and frees its place",
    {204: AnswerShape("Discarded.")},
    takes_if_match=True,
    may_conflict=True,
    repeated="404, or 409 if the connection ended with its draft.",
    role=Role.CONNECTOR,
)
GRANT: Final = OperatorsOperation(
    "GET",
    f"{_ONE}/grant",
    "showGrant",
    "What to grant in the customer's cloud",
    {200: AnswerShape("Policies to paste, or roles to bind.", ref("Grant"))},
    may_conflict=True,
    role=Role.CONNECTOR,
)
APPROVE: Final = OperatorsOperation(
    "POST",
    f"{_ONE}/approve",
    "approve",
    "Let the draft that was seen serve; without a draft, approve what serves once more",
    {200: AnswerShape("Approved.", _VIEW, headers=_TAGGED)},
    body=RequestBody("Approval"),
    takes_if_match=True,
    may_conflict=True,
    rules={"expires_at": "a time to come; said if the present approval has an end"},
    repeated="200, and what serves is approved once more.",
    role=Role.APPROVER,
)
SEND_BACK: Final = OperatorsOperation(
    "POST",
    f"{_ONE}/send-back",
    "sendBack",
    "Tell who made the draft why it is not approved; the draft stays, and an edit of it answers",
    {200: AnswerShape("The view; its draft is sent back.", _VIEW, headers=_TAGGED)},
    body=RequestBody("SendBack"),
    takes_if_match=True,
    may_conflict=True,
    rules={"comment": TERMS_RULES["description"]},
    repeated="200, and nothing is changed or recorded.",
    role=Role.APPROVER,
)
REVOKE: Final = OperatorsOperation(
    "POST",
    f"{_ONE}/revoke",
    "revoke",
    "End a connection for ever",
    {200: AnswerShape("Revoked.", _VIEW, headers=_TAGGED)},
    body=RequestBody("Revocation", is_required=False),
    takes_if_match=True,
    may_conflict=True,
    rules={"reason": TERMS_RULES["description"]},
    repeated="409, which says who revoked it, and when.",
    role=Role.APPROVER,
)
HISTORY: Final = OperatorsOperation(
    "GET",
    f"{_ONE}/history",
    "showHistory",
    "Who did what to a connection when, and what it changed; the newest act first",
    {200: AnswerShape("A page of verified acts.", ref("HistoryPage"))},
    parameters=(LIMIT, SEQUENCE_CURSOR),
    role=Role.VIEWER,
)
CHECK: Final = OperatorsOperation(
    "POST",
    "/v1/connection-checks",
    "check",
    "Ask a registry to log in; store nothing",
    {200: AnswerShape("What the registry said.", ref("Check"))},
    parameters=(
        Parameter(
            "repository",
            printable(MAX_REPOSITORY_NAME_CHARACTERS, least=1),
            "After the login it is asked for its tags, too. Some registries show those to fewer"
            " than may pull.",
        ),
    ),
    body=RequestBody("ConnectionRequest"),
    rules=TERMS_RULES | {"repository": "a repository's name"},
    repeated="200, and the registry is asked again.",
    role=Role.CONNECTOR,
)
OPERATIONS: Final[tuple[OperatorsOperation, ...]] = (
    LIST,
    CONNECT,
    SHOW,
    EDIT,
    PUT_CREDENTIAL,
    DISCARD,
    GRANT,
    APPROVE,
    SEND_BACK,
    REVOKE,
    HISTORY,
    CHECK,
)
