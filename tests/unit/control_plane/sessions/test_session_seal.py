"""Sealed sessions: who can make one, and who can read one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.operators.authenticated_operator import AuthenticatedOperator, LoginKind
from control_plane.operators.permissions import Role
from control_plane.sessions.session import IDLE, LIFETIME, NOTED_EVERY, Session
from control_plane.sessions.session_seal import (
    MAX_SEALED_CHARACTERS,
    InvalidSessionKeysError,
    SessionSeal,
    UnknownSessionError,
)

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
CANARY = "c" * 64
KEYS = SessionSeal.make()


def a_session(at: datetime = NOW) -> Session:
    """Return a session of alice."""
    alice = AuthenticatedOperator(
        "alice",
        Role.CONNECTOR,
        LoginKind.SESSION,
        person="oidc:https%3A%2F%2Fid.example:17",
        display_name="Alice",
    )
    return Session.begin(alice, at, token_sha256=CANARY)


def test_a_sealed_session_is_opened_as_it_was() -> None:
    """And fits into a cookie."""
    session = a_session()
    sealed = KEYS.seal(session)
    assert KEYS.read(sealed) == session
    assert len(sealed) < MAX_SEALED_CHARACTERS / 4


def test_no_two_sessions_are_alike() -> None:
    """Neither in their ids nor in what their forms bear; nor is the same one sealed twice alike."""
    one, other = a_session(), a_session()
    assert one.id != other.id
    assert one.form_token != other.form_token
    assert KEYS.seal(one) != KEYS.seal(one)


def test_another_key_opens_nothing() -> None:
    """Whoever writes in the database has no key."""
    with pytest.raises(UnknownSessionError):
        SessionSeal.make().read(KEYS.seal(a_session()))


def test_while_a_key_is_rotated_both_open_and_the_first_one_seals() -> None:
    """A file of the new key and the old one."""
    new = SessionSeal.make()
    both = SessionSeal.parse(f"# new\n{new.text()}\n# old\n{KEYS.text()}".encode())
    session = a_session()
    assert both.read(KEYS.seal(session)) == session
    assert new.read(both.seal(session)) == session
    with pytest.raises(UnknownSessionError):
        KEYS.read(both.seal(session))


@given(st.text() | st.binary().map(lambda each: each.decode("latin-1")))
def test_any_other_text_is_no_session(text: str) -> None:
    """Nor does it raise anything else."""
    with pytest.raises(UnknownSessionError):
        KEYS.read(text)


@given(st.integers(min_value=0, max_value=200), st.sampled_from("AQgw_-"))
def test_a_changed_session_is_no_session(place: int, letter: str) -> None:
    """Not one character of it."""
    sealed = KEYS.seal(a_session())
    changed = sealed[:place] + letter + sealed[place + 1 :]
    if changed != sealed:
        with pytest.raises(UnknownSessionError):
            KEYS.read(changed)


@pytest.mark.parametrize(
    "content", [b"", b"\n# a comment\n", b"short\n", b"\xff" * 43, KEYS.text().encode() * 9]
)
def test_a_file_that_is_no_keys_is_refused(content: bytes) -> None:
    """In words that quote nothing."""
    with pytest.raises(InvalidSessionKeysError) as refused:
        SessionSeal.parse(content)
    assert "control-plane keys --only session" in str(refused.value)


def test_neither_keys_nor_a_sessions_secrets_print() -> None:
    """Whoever logs one logs no secret."""
    session = a_session()
    shown = f"{KEYS!r} {session!r}"
    for secret in (KEYS.text().strip(), session.form_token, CANARY):
        assert secret not in shown


def test_a_session_ends_in_time_and_without_use() -> None:
    """However much it is used, and however young it is."""
    session = a_session()
    used = session.used(NOW + IDLE)
    assert session.why_over(NOW + IDLE - timedelta(seconds=1)) is None
    assert "was not used for 30 minutes" in (session.why_over(NOW + IDLE) or "")
    assert used.why_over(NOW + IDLE) is None
    assert "12 hours" in (used.used(NOW + LIFETIME).why_over(NOW + LIFETIME) or "")


def test_a_use_is_noted_once_a_minute() -> None:
    """So that a page with ten pictures does not send ten cookies."""
    session = a_session()
    assert session.used(NOW + NOTED_EVERY - timedelta(seconds=1)) is session
    assert session.used(NOW + NOTED_EVERY).used_at == NOW + NOTED_EVERY
