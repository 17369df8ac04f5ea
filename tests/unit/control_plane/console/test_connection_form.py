"""The form that edits a connection: a form that is sent as it was shown changes nothing."""

import attrs
import pytest

from control_plane.connections.edit import parse_edit
from control_plane.connections.revision import RevisionLabels
from control_plane.console.connection_form import (
    LISTS,
    EditedConnection,
    credential_body,
    edit_body,
)
from control_plane.console.submission import Submission
from control_plane.errors import InvalidRequestError
from deploy.dev.device_ca import CertificateAuthority
from shared.connection import Anonymous, ConnectionDocument, GoogleServiceAccount
from tests.unit.control_plane.review.documents import AT, ROLE, SECRET, document

HOSTS = {
    "static": document(
        networks=("10.0.0.0/8",),
        repositories=("team/app", "team/**"),
        ca_certificate=CertificateAuthority.create("Company CA").pem.decode(),
        auth_realms=("https://login.example/token",),
    ),
    "plain": document(plain_http=True, fleets=()),
    "referrers": document(referrers=True),
    "anonymous": document(credential=Anonymous()),
    "google": document(
        "europe-docker.pkg.dev", GoogleServiceAccount("e@p.iam", "p"), secret=SECRET
    ),
    "ecr": document("123456789012.dkr.ecr.eu-central-1.amazonaws.com", ROLE),
    "ecr without": document(
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        attrs.evolve(ROLE, external_id=None, pull_through_cache=True),
    ),
}


def edited(made: ConnectionDocument, *, ends: bool = False) -> EditedConnection:
    """Return what an edit starts from."""
    return EditedConnection(made, RevisionLabels(credential_expires_at=AT if ends else None), "")


def sent(present: EditedConnection, **fields: str | None) -> Submission:
    """Return what a browser sends of the form as it was shown, but for some fields."""
    shown = {
        name: value if isinstance(value, str) else "true"
        for name, value in present.shown.items()
        if value is not False
    }
    given = {name: value for name, value in (shown | fields).items() if value is not None}
    return Submission({name: [value] for name, value in given.items()})


@pytest.mark.parametrize("made", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize("ends", [False, True])
def test_a_form_sent_as_it_was_shown_changes_nothing(
    made: ConnectionDocument, *, ends: bool
) -> None:
    """Whatever kind of login it has; nor does it need the secret."""
    present = edited(made, ends=ends)
    body = edit_body(sent(present), present)
    assert "credential_expires_at" not in body
    assert not parse_edit(body, made).changes(made)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_one_item_a_line(name: str) -> None:
    """Blank lines are none; an empty field is an empty list."""
    present = edited(HOSTS["static"])
    assert edit_body(sent(present, **{name: "\n a \n\nb\n"}), present)[name] == ["a", "b"]
    assert edit_body(sent(present, **{name: ""}), present)[name] == []


def test_an_end_of_the_login_is_the_end_of_a_day() -> None:
    """And an empty field takes it back."""
    present = edited(HOSTS["static"], ends=True)
    name = "credential_expires_at"
    assert edit_body(sent(present, **{name: "2040-01-31"}), present)[name] == (
        "2040-01-31T23:59:59.000Z"
    )
    assert edit_body(sent(present, **{name: ""}), present)[name] is None
    with pytest.raises(InvalidRequestError) as refusal:
        edit_body(sent(present, **{name: "soon"}), present)
    assert [error.pointer for error in refusal.value.errors] == [f"/{name}"]


def test_a_token_is_taken_as_it_was_typed() -> None:
    """Its blanks are its own; and a label comes with a secret alone."""
    present = edited(HOSTS["static"])
    fields = {"username": "robot", "secret_label": "2026"}
    body = credential_body(sent(present, token=" t ", approve="true", **fields), present)
    assert body == {"token": " t ", "secret_label": "2026", "username": "robot", "approve": True}
    assert credential_body(sent(present, **fields), present) == {"username": "robot"}


@pytest.mark.parametrize("key", ["{", "[]", '{"a": 1, "a": 2}', "x"])
def test_a_key_that_is_no_json_object_is_named_and_not_quoted(key: str) -> None:
    """It may be half of a secret."""
    present = edited(HOSTS["google"])
    with pytest.raises(InvalidRequestError) as refusal:
        credential_body(sent(present, service_account_key=key), present)
    assert [error.pointer for error in refusal.value.errors] == ["/service_account_key"]
