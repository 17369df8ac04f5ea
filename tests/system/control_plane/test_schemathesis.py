"""Whatever `openapi.json` allows is answered as it says, to each role: schemathesis calls it.

`FUZZ=200` calls each operation more than a thousand times; `make test` calls it some ten times.
"""

import asyncio
import os
import uuid
from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest
import requests
import schemathesis
import uvloop
from attrs import frozen
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.schemas import APIOperation

from control_plane.http.openapi import description
from control_plane.http.operation import Operation, OperatorsOperation
from control_plane.operators.permissions import Role
from control_plane.serving.api_description import OPERATIONS
from deploy.dev.postgres import Postgres
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    OPERATORS,
    ControlPlane,
    Json,
    KeyFiles,
    copy_of,
)

EXAMPLES: Final = int(os.environ.get("FUZZ") or "3")  # of each role and kind, for each operation
ANSWER_SECONDS: Final = 60.0
CALLERS: Final = ("eve", "nobody", "oidc:https%3A%2F%2Fid.example:42")
KINDS: Final = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

load_all_checks()
CONFORMANCE: Final[Any] = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
EXPLORING: Final = settings(
    max_examples=EXAMPLES,
    derandomize=not os.environ.get("FUZZ"),  # the same few each time; more are others each time
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    deadline=None,
)


def described() -> dict[str, APIOperation[Any, Any, Any, Any]]:
    """Return the operations of the description, by their ids."""
    schema = schemathesis.openapi.from_dict(description())
    operations = [each.ok() for each in schema.get_all_operations()]  # type: ignore[union-attr]
    return {each.definition.raw["operationId"]: each for each in operations}


DESCRIBED: Final = described()


@frozen
class Explored:
    """A control plane of its own: what is called here approves, revokes and removes for real."""

    plane: ControlPlane
    session: requests.Session

    def call(self, role: Role, method: str, path: str, body: Json | None = None) -> Any:
        """Return what an operator of a role is answered."""
        answer = self.session.request(
            method,
            f"{self.plane.url}{path}",
            json=body,
            headers=self.headers(role),
            timeout=ANSWER_SECONDS,
        )
        return answer.json() if answer.content else None

    def headers(self, role: Role) -> dict[str, str]:
        """Return what an operator of a role sends."""
        (name,) = (name for name, each in OPERATORS.items() if each is role)
        return {"Authorization": f"Bearer {self.plane.tokens[name]}"}

    def there(self, operation: Operation) -> list[dict[str, str]]:
        """Return the parameters of a path that leads to something, and of one that does not."""
        if "{name}" in operation.path:
            name = f"o-{uuid.uuid4().hex[:12]}"
            self.call(Role.ADMIN, "POST", "/v1/operators", {"name": name, "role": "viewer"})
            return [{"name": name}, {"name": "nobody"}]
        if "{session}" in operation.path or "{caller}" in operation.path:
            return [{"caller": each, "session": uuid.uuid4().hex} for each in CALLERS]
        if "{id}" not in operation.path:
            return [{}]
        made = self._revocation() if "device" in operation.path else self._connection()
        return [{"id": made}, {"id": made}, {"id": str(uuid.uuid4())}]

    def _revocation(self) -> str:
        body = {"device": f"press-{uuid.uuid4().hex}"}
        return str(self.call(Role.APPROVER, "POST", "/v1/device-revocations", body)["id"])

    def _connection(self) -> str:
        """Return the id of one that serves, with a draft beside it."""
        body = {"host": f"r-{uuid.uuid4().hex}.example", "provider": "static"}
        login = {"username": "robot", "token": "canary"}
        path = "/v1/connections"
        made = self.call(Role.CONNECTOR, "POST", f"{path}?check=false", body | login)
        approval = {"fingerprint": made["fingerprint"]}
        self.call(Role.APPROVER, "POST", f"{path}/{made['id']}/approve", approval)
        self.call(Role.CONNECTOR, "PATCH", f"{path}/{made['id']}", {"fleets": ["line-a"]})
        return str(made["id"])


@pytest.fixture(scope="module")
def explored(
    postgres: Postgres, template: str, keys: KeyFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Explored]:
    """One for all operations."""
    database = copy_of(postgres, template)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        plane = runner.run(
            ControlPlane.start(
                tmp_path_factory.mktemp("explored"),
                owner_url=database.superuser_url,
                url=database.url(LOGIN_ROLE, LOGIN_PASSWORD),
                keys=keys,
            )
        )
    with requests.Session() as session:
        yield Explored(plane, session)
    plane.stop()
    assert "unexpected error" not in plane.log.read_text()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
def test_whatever_is_sent_is_answered_as_described(
    explored: Explored, operation: Operation
) -> None:
    """To each role: what the schemas allow, and what they do not; no 5xx, no other answer."""
    for role in Role:
        paths = explored.there(operation)
        for kind in KINDS if takes_something(operation) else KINDS[:1]:
            explore(explored, operation, role, kind, paths)


def takes_something(operation: Operation) -> bool:
    """Tell whether anything can be wrong with a call."""
    return isinstance(operation, OperatorsOperation) and bool(
        operation.body or operation.parameters
    )


def explore(
    explored: Explored,
    operation: Operation,
    role: Role,
    kind: GenerationMode,
    paths: list[dict[str, str]],
) -> None:
    """Call an operation with what schemathesis makes of its description."""
    made = DESCRIBED[operation.id]
    cases = st.sampled_from(paths).flatmap(
        lambda path: made.as_strategy(kind, path_parameters=path or None)
    )

    @EXPLORING
    @given(case=cases)
    def call(case: Case[Any]) -> None:
        answer = case.call(
            base_url=explored.plane.url,
            session=explored.session,
            headers=explored.headers(role),
            timeout=ANSWER_SECONDS,
        )
        case.validate_response(answer, checks=CONFORMANCE)
        if kind is GenerationMode.POSITIVE:
            require_its_right(operation, role, answer.status_code, answer.content)

    call()


def require_its_right(operation: Operation, role: Role, status: int, content: bytes) -> None:
    """Fail unless the role decides who is refused, and the rules what is wrong."""
    if not isinstance(operation, OperatorsOperation):
        return
    assert status != 401
    if not operation.allows(role):
        assert status == 403
    elif status == 403:
        assert not all(operation.allows(role, each) for each in operation.role_of_field)
    elif status == 422:
        for error in orjson.loads(content)["errors"]:
            where = error.get("parameter") or error["pointer"].lstrip("/").partition("/")[0]
            assert where in operation.rules, error
