"""What the API does by one method of one path, as its routes and `openapi.json` have it. Pure.

The answers that are problems follow from the rest: every operation may fail, whoever needs a role
may be refused, a body may be wrong, and nothing may have the id that is in a path.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from attrs import field, frozen

from control_plane.http.schema import BOOLEAN, INTEGER, TEXT, UUID, Schema, described, ref
from control_plane.operators.operator_token import NAME_PATTERN
from control_plane.operators.permissions import Role, reaches
from control_plane.operators.person import MAX_PERSON_CHARACTERS
from control_plane.reading.query_reader import DEFAULT_LIMIT, MAX_LIMIT

JSON: Final = "application/json"
JSON_LINES: Final = "application/x-ndjson"
MERGE_PATCH: Final = "application/merge-patch+json"  # RFC 7396, what our PATCH is
PROBLEM: Final = "application/problem+json"  # RFC 9457

HEADERS: Final[Mapping[str, str]] = {
    "ETag": "Of the view (RFC 9110 section 8.8.3), for If-Match.",
    "Location": "The path of what was made.",
    "Retry-After": "Seconds after which the same call may go through.",
    "WWW-Authenticate": "RFC 6750 section 3.",
}

# By the names that `#/components/responses` has them under.
PROBLEMS: Final[Mapping[str, tuple[HTTPStatus, str]]] = {
    "Unreadable": (HTTPStatus.BAD_REQUEST, "The body is not a JSON object."),
    "Unauthorized": (
        HTTPStatus.UNAUTHORIZED,
        (
            "No operator is known by this token; the detail says whether it is malformed, expired,"
            " replaced or of nobody."
        ),
    ),
    "Forbidden": (HTTPStatus.FORBIDDEN, "The operator's role does not reach."),
    "NotFound": (HTTPStatus.NOT_FOUND, "There is nothing of this id."),
    "TooSlow": (HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time."),
    "Conflict": (
        HTTPStatus.CONFLICT,
        "What is there does not allow this now; `conflict` names it, `detail` the way on.",
    ),
    "PreconditionFailed": (
        HTTPStatus.PRECONDITION_FAILED,
        "What is there is not what If-Match names; `detail` says what was done to it last.",
    ),
    "TooLarge": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large."),
    "UnsupportedMediaType": (
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The body is not application/json.",
    ),
    "Invalid": (HTTPStatus.UNPROCESSABLE_ENTITY, "Fields are wrong; every one is named."),
    "TooManyRequests": (
        HTTPStatus.TOO_MANY_REQUESTS,
        (
            "Too many checks, sign-outs, or refused logins from this address; Retry-After says when"
            " to come again."
        ),
    ),
    "Failed": (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something is wrong in the control plane; its log has it by the request id.",
    ),
    "Unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "The database is away or not believed."),
}
_HEADERS_OF: Final[Mapping[str, Sequence[str]]] = {
    "Unauthorized": ("WWW-Authenticate",),
    "TooManyRequests": ("Retry-After",),
    "Unavailable": ("Retry-After",),  # where it is the database that is away
}
_OF_OPERATORS: Final = (
    "Unauthorized",
    "Forbidden",
    "Invalid",
    "TooManyRequests",
    "Failed",
    "Unavailable",
)
_OF_BODIES: Final = ("Unreadable", "TooSlow", "TooLarge", "UnsupportedMediaType")
_ID: Final = "{id}"
_NAME: Final = "{name}"
_CALLER: Final = "{caller}"
_SESSION: Final = "{session}"
_OPERATOR: Final = TEXT | {"pattern": NAME_PATTERN}
_NAMED_CALLER: Final = described(
    TEXT,
    "An operator's name, or a person of single sign-on: oidc:<issuer>:<sub>, both percent-encoded"
    " (and once more in a path).",
    minLength=1,
    maxLength=MAX_PERSON_CHARACTERS,
)
SESSION_ID_PATTERN: Final = "^[0-9a-f]{32}$"
_IF_MATCH: Final[Schema] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": TEXT,
    "description": "The ETag of what was seen, so that nothing newer is changed; or several, or *.",
}


@frozen
class Parameter:
    """A parameter of a query, which may be left out."""

    name: str
    schema: Schema
    description: str

    def described(self) -> Schema:
        """Return its object."""
        return {
            "name": self.name,
            "in": "query",
            "required": False,
            "schema": self.schema,
            "description": self.description,
        }


@frozen
class RequestBody:
    """A body: its schema, and as which media types it may be sent."""

    schema: str
    is_required: bool = True
    media_types: Sequence[str] = (JSON,)

    def described(self) -> Schema:
        """Return its object."""
        content = {kind: {"schema": ref(self.schema)} for kind in self.media_types}
        return {"required": self.is_required, "content": content}


@frozen
class AnswerShape:
    """An answer, and the schema of its body; without one it has no body."""

    description: str
    schema: Schema | None = None
    media_type: str = JSON
    headers: Sequence[str] = ()

    def described(self) -> Schema:
        """Return its object."""
        described: Schema = {"description": self.description}
        if self.headers:
            described["headers"] = {
                name: {"$ref": f"#/components/headers/{name}"} for name in self.headers
            }
        if self.schema:
            described["content"] = {self.media_type: {"schema": self.schema}}
        return described


LIMIT: Final = Parameter(
    "limit",
    INTEGER | {"minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "Items of a page.",
)
ID_BEGINNING: Final = TEXT | {"pattern": "^[0-9A-Fa-f-]{1,36}$"}
CURSOR: Final = Parameter(
    "cursor", TEXT | {"pattern": "^[A-Za-z0-9_-]+={0,2}$"}, "next_cursor of the page before."
)
# Of a list whose cursor is the place of an entry in the audit log.
SEQUENCE_CURSOR: Final = Parameter(
    "cursor", TEXT | {"pattern": "^[0-9]{1,18}$"}, "next_cursor of the page before."
)
CURSOR_RULE: Final = {"cursor": "the next_cursor of a page"}


def switch(name: str, description: str, *, default: bool) -> Parameter:
    """Return a parameter that is true or false."""
    return Parameter(name, BOOLEAN | {"default": default}, description)


@frozen
class Operation:
    """A method and a path that anybody may ask for, and how it ends."""

    method: str
    path: str
    id: str
    summary: str
    answers: Mapping[int, AnswerShape]

    def described(self) -> dict[str, Any]:
        """Return its object in `openapi.json`."""
        return {**self._head("Open to anybody.", ("Failed",)), "security": []}

    def _head(self, description: str, problems: Iterable[str]) -> dict[str, Any]:
        responses = {str(status): answer.described() for status, answer in self.answers.items()}
        for name in problems:
            responses[str(PROBLEMS[name][0].value)] = {"$ref": f"#/components/responses/{name}"}
        return {
            "operationId": self.id,
            "summary": self.summary,
            "description": description,
            "responses": dict(sorted(responses.items())),
        }


@frozen(kw_only=True)
class OperatorsOperation(Operation):
    """An operation that needs a role: what is sent, and whether what is there may not allow it.

    `role_of_field`: a field of the body that needs another role where it is true. `rules`: what
    must hold of a field or a parameter beyond its schema, or the answer is 422. `repeated`: what
    the same call is answered after it went through, for whoever did not get the answer.
    """

    role: Role
    body: RequestBody | None = None
    parameters: Sequence[Parameter] = ()
    may_conflict: bool = False
    takes_if_match: bool = False
    role_of_field: Mapping[str, Role] = field(factory=dict)
    rules: Mapping[str, str] = field(factory=dict)
    repeated: str | None = None

    def allows(self, role: Role, *fields: str) -> bool:
        """Tell whether a role may do this, with these fields of the body true."""
        needed = (self.role, *(self.role_of_field[name] for name in fields))
        return all(reaches(role, each) for each in needed)

    def described(self) -> dict[str, Any]:
        """Return its object in `openapi.json`."""
        roles = [f"Role: {self.role} or above."]
        for name, role in self.role_of_field.items():
            roles.append(f"With {name}: {role} or above.")
        if self.repeated:
            roles.append(f"Repeated after it went through: {self.repeated}")
        described = self._head(" ".join(roles), self._problems())
        if self.rules:
            invalid = AnswerShape(self._invalid, ref("Problem"), PROBLEM)
            described["responses"][str(HTTPStatus.UNPROCESSABLE_ENTITY.value)] = invalid.described()
        if parameters := [*self._parameters()]:
            described["parameters"] = parameters
        if self.body:
            described["requestBody"] = self.body.described()
        return described

    @property
    def _invalid(self) -> str:
        _, told = PROBLEMS["Invalid"]
        rules = (f"{name or 'the whole'}: {rule}." for name, rule in self.rules.items())
        return f"{told} Beyond what their schemas say: {' '.join(rules)}"

    def _parameters(self) -> Iterator[Schema]:
        if _ID in self.path:
            yield {"name": "id", "in": "path", "required": True, "schema": UUID}
        if _NAME in self.path:
            yield {"name": "name", "in": "path", "required": True, "schema": _OPERATOR}
        if _CALLER in self.path:
            yield {"name": "caller", "in": "path", "required": True, "schema": _NAMED_CALLER}
        if _SESSION in self.path:
            schema = TEXT | {"pattern": SESSION_ID_PATTERN}
            yield {"name": "session", "in": "path", "required": True, "schema": schema}
        for parameter in self.parameters:
            yield parameter.described()
        if self.takes_if_match:
            yield _IF_MATCH

    def _problems(self) -> Iterator[str]:
        yield from _OF_OPERATORS
        if self.body:
            yield from _OF_BODIES
        if "{" in self.path:
            yield "NotFound"
        if self.may_conflict:
            yield "Conflict"
        if self.takes_if_match:
            yield "PreconditionFailed"


def problem_responses() -> dict[str, Schema]:
    """Return the answers that are problems, by their names."""
    problem = ref("Problem")
    return {
        name: AnswerShape(description, problem, PROBLEM, _HEADERS_OF.get(name, ())).described()
        for name, (_, description) in PROBLEMS.items()
    }


def headers() -> dict[str, Schema]:
    """Return the headers that answers may have, by their names."""
    return {name: {"description": says, "schema": TEXT} for name, says in HEADERS.items()}
