"""Clients that people generate from `/openapi.json`, against the real control plane.

Two generators that read it with different libraries: openapi-python-client makes attrs classes and
asks with httpx, clientele makes pydantic models and asks with httpx2. Both are programs of the
`test` extra; the well known ones in Java and TypeScript would need a runtime that Debian 12 lacks.
"""

import re
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import pytest
from clientele.api.exceptions import APIException

from control_plane.http.openapi import description
from tests.support.control_plane import ControlPlane
from tests.support.database import Database

TOOLS = Path(sys.executable).parent
WITH_ATTRS = "client_with_attrs"
WITH_PYDANTIC = "client_with_pydantic"
GENERATE_SECONDS = 120


class GeneratedClient(Protocol):
    """One operator's client, as its generator made it."""

    called: set[str]  # the operations' ids

    def call(self, operation: str, /, body: Any = None, **parameters: Any) -> Any:
        """Return the model of the answer; raise if the description has no such answer."""

    def refused(self, operation: str, /, body: Any = None, **parameters: Any) -> tuple[int, str]:
        """Return status and detail of the problem that an operation ends with."""

    def model(self, name: str, /, **fields: Any) -> Any:
        """Return a request's body."""

    def close(self) -> None:
        """Close what is open to the control plane."""


def generate(program: str, *arguments: str | Path) -> None:
    """Run a generator. Fails if it could not do all of the description."""
    answer = subprocess.run(
        [TOOLS / program, *arguments],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=GENERATE_SECONDS,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def generated(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make both clients of what the control plane serves, and let them be imported."""
    folder = tmp_path_factory.mktemp("generated")
    description = folder / "openapi.json"
    with urllib.request.urlopen(f"http://127.0.0.1:{plane.port}/openapi.json") as answer:
        description.write_bytes(answer.read())
    no_formatter = folder / "config.yaml"
    no_formatter.write_text("post_hooks: []\n")
    generate(
        "openapi-python-client",
        *("generate", "--path", description, "--config", no_formatter),
        *("--output-path", folder / WITH_ATTRS, "--meta", "none", "--fail-on-warning"),
    )
    generate("clientele", "start-api", "--file", description, "--output", folder / WITH_PYDANTIC)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


class AttrsClient:
    """What openapi-python-client made."""

    def __init__(self, url: str, token: str) -> None:
        """Hold the client; an answer that the description does not have raises."""
        self._client = import_module(f"{WITH_ATTRS}.client").AuthenticatedClient(
            base_url=url, token=token, raise_on_unexpected_status=True
        )
        self._models = import_module(f"{WITH_ATTRS}.models")
        self.called: set[str] = set()

    def call(self, operation: str, /, body: Any = None, **parameters: Any) -> Any:
        """Return what an operation answers, parsed."""
        self.called.add(operation)
        module = import_module(f"{WITH_ATTRS}.api.default.{operation}")
        sent = {} if body is None else {"body": body}
        answer = module.sync_detailed(client=self._client, **sent, **parameters).parsed
        assert not isinstance(answer, self._models.Problem), answer
        return answer

    def refused(self, operation: str, /, body: Any = None, **parameters: Any) -> tuple[int, str]:
        """Return status and detail of the problem, as its model has them."""
        self.called.add(operation)
        module = import_module(f"{WITH_ATTRS}.api.default.{operation}")
        sent = {} if body is None else {"body": body}
        problem = module.sync(client=self._client, **sent, **parameters)
        assert isinstance(problem, self._models.Problem)
        return problem.status, problem.detail

    def model(self, name: str, /, **fields: Any) -> Any:
        """Return a request's body, which may hold a list of others."""
        models: Any = tuple(each for each in vars(self._models).values() if isinstance(each, type))
        plain = {
            field: [each.to_dict() if isinstance(each, models) else each for each in value]
            if isinstance(value, list)
            else value
            for field, value in fields.items()
        }
        return getattr(self._models, name).from_dict(plain)

    def close(self) -> None:
        """Close what is open to the control plane."""
        self._client.get_httpx_client().close()


class PydanticClient:
    """What clientele made."""

    def __init__(self, url: str, token: str) -> None:
        """Make a configuration for the module's one client, which is configured for each call."""
        self._config = import_module(f"{WITH_PYDANTIC}.config").Config(
            base_url=url, headers={"Authorization": f"Bearer {token}"}
        )
        self._module = import_module(f"{WITH_PYDANTIC}.client")
        self._schemas = import_module(f"{WITH_PYDANTIC}.schemas")
        self.called: set[str] = set()

    def call(self, operation: str, /, body: Any = None, **parameters: Any) -> Any:
        """Return what an operation answers, parsed."""
        self.called.add(operation)
        self._module.client.configure(config=self._config)
        sent = {} if body is None else {"data": body}
        return getattr(self._module, operation)(**sent, **parameters)

    def refused(self, operation: str, /, body: Any = None, **parameters: Any) -> tuple[int, str]:
        """Return status and detail of the problem, as its model has them."""
        with pytest.raises(APIException) as refusal:
            self.call(operation, body, **parameters)
        problem = self._schemas.Problem.model_validate_json(refusal.value.response.text)
        return problem.status, problem.detail

    def model(self, name: str, /, **fields: Any) -> Any:
        """Return a request's body.

        This generator demands every field of a body that has no required one, and sends what was
        set: so the fields are set without its demand.
        """
        return getattr(self._schemas, name).model_construct(**fields)

    def close(self) -> None:
        """Close what is open to the control plane."""
        if self._config.http_backend is not None:
            self._config.http_backend.close()


CLIENTS: tuple[Callable[[str, str], GeneratedClient], ...] = (AttrsClient, PydanticClient)


@pytest.mark.usefixtures("generated")
@pytest.mark.parametrize("make", CLIENTS)
def test_every_operation_is_called_by_a_generated_client(
    plane: ControlPlane, host: str, make: Callable[[str, str], GeneratedClient]
) -> None:
    """From a request to a revocation; each answer has the fields that its model promises."""
    with (
        closing(make(plane.url, plane.tokens["alice"])) as alice,
        closing(make(plane.url, plane.tokens["bob"])) as bob,
        closing(make(plane.url, plane.tokens["root"])) as root,
    ):
        call_everything(alice, bob, host)
        make_an_operator(root)
        end_sessions(alice, root)
    assert alice.called | bob.called | root.called == operations() - {"describe", "show_metrics"}


def call_everything(alice: GeneratedClient, bob: GeneratedClient, host: str) -> None:
    """Call each operation as a connector or as an approver."""
    connect_and_revoke(alice, bob, host)
    revoke_a_device(bob)
    grant_a_role(alice, bob)
    assert alice.call("live").status == "ok"
    assert alice.call("ready").status == "ready"
    assert alice.call("show_me").name == "alice"
    assert alice.call("show_login").single_sign_on is None
    assert alice.refused("show_connection", id="x") == (404, "there is no connection of this id")
    assert alice.refused("approve", alice.model("Approval", fingerprint="x"), id="x")[0] == 403


def make_an_operator(root: GeneratedClient) -> None:
    """Make an operator, give them another token, and remove them."""
    name = f"client-{uuid.uuid4().hex[:8]}"
    request = root.model("OperatorRequest", name=name, role="viewer")
    made = root.call("add_operator", request)
    assert (made.operator.name, made.token.partition(".")[0]) == (name, f"rfo_{name}")
    rotated = root.call("rotate_operator", root.model("RotationRequest"), name=name)
    assert rotated.token != made.token
    assert root.call("show_operator", name=name).issued_by == "root"
    assert name in {each.name for each in root.call("list_operators", limit=200).items}
    root.call("remove_operator", name=name)
    assert root.refused("show_operator", name=name)[0] == 404


def end_sessions(alice: GeneratedClient, root: GeneratedClient) -> None:
    """List and end sessions of the console: the caller's, of which there may be, and anybody's."""
    alice.call("end_sessions")
    assert alice.call("list_sessions", limit=1).items == []
    assert alice.refused("end_session", session="0" * 32)[0] == 404
    person = "oidc:https%3A%2F%2Fid.example:42"
    assert person not in {each.name for each in root.call("list_signed_in", limit=200).items}
    assert root.call("list_operator_sessions", caller=person).items == []
    root.call("end_operator_sessions", caller=person)
    assert root.refused("end_operator_session", caller=person, session="0" * 32)[0] == 404


def connect_and_revoke(alice: GeneratedClient, bob: GeneratedClient, host: str) -> None:
    """Go through a connection's whole life."""
    request = alice.model(
        "ConnectionRequest", host=host, provider="static", username="r", token="x"
    )
    connection = alice.call("connect", request, check=False)
    assert (connection.status, connection.username, connection.ecr) == ("pending", "r", None)
    found = str(connection.id)
    assert alice.call("check", request).outcome == "skipped"
    approval = bob.model("Approval", fingerprint=connection.fingerprint)
    assert bob.call("approve", approval, id=found).status == "approved"
    edit = alice.model("ConnectionEdit", fleets=["line-a"])
    assert alice.call("edit_connection", edit, id=found).draft.fleets == ["line-a"]
    alice.call("discard_draft", id=found)
    secret = alice.model("CredentialChange", token="y")
    changed = alice.call("put_credential", secret, id=found, check=False)
    assert changed.draft.secret_version > changed.secret_version == 1
    assert alice.call("show_connection", id=found).draft.check.problem == "not_asked"
    assert alice.call("list_connections", limit=1).items
    review = bob.call("review_connection", id=found)
    assert (review.changed_terms, len(review.fingerprint_words), review.refusal) == (1, 12, None)
    assert [each.action for each in bob.call("show_history", id=found, limit=1).items] == [
        "connection.draft"
    ]
    sent = bob.call("send_back", bob.model("SendBack", comment="too wide"), id=found)
    assert (sent.sent_back, sent.draft.sent_back.comment) == (None, "too wide")
    assert bob.call("list_connections", problem=False, search=host).items
    bob.call("revoke", bob.model("Revocation", reason="moved"), id=found)


def revoke_a_device(bob: GeneratedClient) -> None:
    """Revoke a device, and among several, and lift that."""
    device = uuid.uuid4().hex
    request = bob.model("DeviceRevocationRequest", device=device, reason="lost")
    revocation = bob.call("revoke_device", request)
    found = str(revocation.id)
    assert bob.call("show_device_revocation", id=found).reason == "lost"
    listed = bob.call("list_device_revocations", device=device)
    assert [each.device for each in listed.items] == [device]
    bob.call("lift_device_revocation", id=found)
    assert bob.refused("show_device_revocation", id=found)[0] == 404
    one = bob.model("DeviceRevocationRequest", device=device)
    several = bob.model("DeviceRevocationsRequest", revocations=[one, one])
    answers = bob.call("revoke_devices", several).items
    assert [answer.is_new for answer in answers] == [True, False]
    assert {answer.revocation.device for answer in answers} == {device}


def grant_a_role(alice: GeneratedClient, bob: GeneratedClient) -> None:
    """Ask what to grant for an ECR role, which is a union of two models, and give it up."""
    request = alice.model(
        "ConnectionRequest",
        host="123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        repository_prefix=uuid.uuid4().hex,
        provider="aws_ecr",
        role_arn="arn:aws:iam::123456789012:role/pull",
    )
    connection = alice.call("connect", request)
    assert connection.ecr.region == "eu-west-1"
    found = str(connection.id)
    assert alice.call("show_grant", id=found).role_arn == connection.ecr.role_arn
    newest = entries(bob)[-1]
    assert (newest.action, newest.about) == ("connection.connect", f"connection/{found}")
    assert newest.problem is None
    alice.call("discard_draft", id=found)


def entries(client: GeneratedClient) -> list[Any]:
    """Return every entry of the audit log."""
    found: list[Any] = []
    cursor: Mapping[str, str] = {}
    while True:
        page = client.call("list_audit", limit=200, **cursor)
        found += page.items
        if page.next_cursor is None:
            return found
        cursor = {"cursor": page.next_cursor}


def operations() -> set[str]:
    """Return every operation's id as a Python function is named."""
    ids = (
        each["operationId"] for path in description()["paths"].values() for each in path.values()
    )
    return {re.sub("([A-Z])", r"_\1", each).lower() for each in ids}


@pytest.mark.usefixtures("generated")
def test_an_entry_that_is_not_believed_has_a_model_too(
    own_plane: ControlPlane, database: Database
) -> None:
    """It has two fields of ten: a client that knew only the others would fail over the page."""
    database.sql("UPDATE audit_entries SET payload = 'forged'::bytea WHERE sequence = 2")
    for make in CLIENTS:
        with closing(make(own_plane.url, own_plane.tokens["eve"])) as eve:
            first, forged, *_ = entries(eve)
        assert (type(first).__name__, first.sequence) == ("VerifiedAuditEntry", 1)
        assert (type(forged).__name__, forged.sequence) == ("UnverifiedAuditEntry", 2)
        assert forged.problem.startswith("not believed")
