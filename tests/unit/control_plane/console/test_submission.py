"""What forms send, and how they are shown again."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.console.submission import (
    MAX_FORM_FIELDS,
    FormState,
    parse_submission,
    refused,
)
from control_plane.errors import FieldError, UnreadableBodyError

CANARY = "canary-secret"


def test_fields_are_read_as_a_browser_sends_them() -> None:
    """With blanks around them, several times, with line breaks of the web."""
    sent = [
        ("host", " ghcr.io "),
        ("fleets", "a"),
        ("fleets", "b"),
        ("rows", "1\r\n\r\n2"),
        ("e", ""),
    ]
    submission = parse_submission(urlencode(sent).encode())
    assert submission.text("host") == "ghcr.io"
    assert submission.verbatim("host") == " ghcr.io "
    assert submission.chosen("fleets") == ["a", "b"]
    assert submission.lines("rows") == ["1", "2"]
    assert submission.given("host", "e", "absent") == {"host": "ghcr.io"}
    assert submission.ticked("e")
    assert not submission.ticked("absent")


@given(st.binary())
def test_any_bytes_are_a_form_or_unreadable(body: bytes) -> None:
    """Nothing else is raised."""
    try:
        submission = parse_submission(body)
    except UnreadableBodyError:
        return
    assert len(submission.values) <= MAX_FORM_FIELDS


@pytest.mark.parametrize("body", [b"a=%ff", b"a=\xff", b"&".join([b"a=1"] * (MAX_FORM_FIELDS + 1))])
def test_what_no_browser_sends_is_unreadable(body: bytes) -> None:
    """Bytes that are no UTF-8, and more fields than any form has."""
    with pytest.raises(UnreadableBodyError, match=r"^this is not a form that we can read$"):
        parse_submission(body)


def test_a_refused_form_shows_everything_but_secrets() -> None:
    """An error stands beside its field, or on top if no such field was sent."""
    sent = {"host": "x", "token": CANARY, "form_token": CANARY}
    submission = parse_submission(urlencode(sent).encode())
    errors = (
        FieldError("/host", "no host"),
        FieldError("/token", "too short"),
        FieldError("/repositories/0", "no repository"),
        FieldError("", "twice", parameter="host"),
    )
    state = refused(submission, {"token"}, errors)
    assert state.value("host") == "x"
    assert state.value("token") == ""
    assert state.errors == {"host": ["no host", "twice"], "token": ["too short"]}
    assert state.problems == ["repositories: no repository"]
    assert CANARY not in f"{state!r}{submission!r}"


def test_an_empty_form_shows_its_defaults() -> None:
    """One that was sent shows what was sent: a box that was cleared stays clear."""
    assert FormState().value("host", "ghcr.io") == "ghcr.io"
    assert FormState().ticked("all", default=True)
    sent = FormState({"host": ("",)})
    assert sent.value("host", "ghcr.io") == ""
    assert not sent.ticked("all", default=True)
