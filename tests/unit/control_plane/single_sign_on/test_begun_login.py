"""A login that has begun is in the browser's own cookie, under seal."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.permissions import Role
from control_plane.sessions.session import Session
from control_plane.sessions.session_seal import SessionSeal, UnknownSessionError
from control_plane.single_sign_on.authorization import CodeRequest, LoginFailedError
from control_plane.single_sign_on.begun_login import LOGIN_SECONDS, BegunLogin, begun_login

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
SEAL = SessionSeal.make()
BEGUN = BegunLogin(CodeRequest.new("https://registry.example/console/x"), "/console/me?a=b", AT)


def test_what_was_begun_is_read_again_for_some_minutes() -> None:
    """Also by another process that has the key, and by nobody without it."""
    sealed = BEGUN.sealed(SEAL)
    late = AT + timedelta(seconds=LOGIN_SECONDS) - timedelta(seconds=1)
    assert begun_login(sealed, SessionSeal.parse(SEAL.text().encode()), late) == BEGUN
    assert BEGUN.request.verifier.reveal_text() not in repr(BEGUN) + sealed
    for seal, at in (
        (SEAL, AT + timedelta(seconds=LOGIN_SECONDS)),
        (SEAL, AT - timedelta(seconds=1)),
        (SessionSeal.make(), AT),
    ):
        with pytest.raises(LoginFailedError, match="begin again"):
            begun_login(sealed, seal, at)


def test_a_session_is_no_begun_login_and_the_reverse() -> None:
    """What is sealed for the one is not opened for the other."""
    session = Session.begin(AuthenticatedOperator("bob", Role.ADMIN), AT)
    with pytest.raises(LoginFailedError):
        begun_login(SEAL.seal(session), SEAL, AT)
    with pytest.raises(UnknownSessionError):
        SEAL.read(BEGUN.sealed(SEAL))


@given(st.text() | st.none(), st.binary())
def test_any_cookie_is_a_begun_login_or_refused(cookie: str | None, content: bytes) -> None:
    """With one error, whatever a browser sends, and whatever an older version sealed."""
    with pytest.raises(LoginFailedError):
        begun_login(cookie, SEAL, AT)
    with pytest.raises(LoginFailedError):
        begun_login(SEAL.seal_content(content, b"registry-facade console login/1"), SEAL, AT)
