"""What the audit log ends sessions by, and that nothing which it said is forgotten too soon."""

from datetime import UTC, datetime, timedelta

import attrs
from hypothesis import given
from hypothesis import strategies as st

from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.permissions import Role
from control_plane.proof.checkpoint import checkpoint_of, log_at
from control_plane.proof.session_endings import (
    ENDINGS_KEPT,
    OF_EVERYBODY,
    EndingAct,
    SessionEnding,
    endings_in,
    endings_of,
    of_provider,
    of_session,
    of_subject,
    of_tokens,
)
from control_plane.proof.signed_log import LoggedAct, NewestActs, Place, SignedLog
from control_plane.sessions.session import LIFETIME, Session
from control_plane.single_sign_on.claims import CLOCK_SKEW_SECONDS, MAX_AGE_SECONDS
from shared.canonical_json import format_time
from tests.unit.control_plane.test_chain import SIGNER

AT = datetime(2030, 1, 1, 12, tzinfo=UTC)
BEFORE = AT - timedelta(minutes=5)
EVE = AuthenticatedOperator("eve", Role.VIEWER)


def log_of(*endings: SessionEnding) -> SignedLog:
    """Return a log in which these follow one another."""
    log = SignedLog()
    for number, ending in enumerate(endings, start=1):
        newest = NewestActs()
        place = Place(number, "aa")
        newest.add(LoggedAct(place, "", EndingAct.SIGN_OUT, "operator/eve", None, (ending,)))
        log = log.followed_by(place, newest)
    return log


def test_each_act_ends_what_it_names() -> None:
    """One session, all of somebody, all of the provider's; an accepted restore, everybody's."""
    eve = "operator/eve"
    ended = {
        (EndingAct.SIGN_OUT, eve, ("session", "ab")): SessionEnding(of_session("ab"), AT),
        (EndingAct.SIGN_OUT, eve, None): SessionEnding(of_subject("eve"), AT),
        (EndingAct.END_SESSION, eve, ("session", "ab")): SessionEnding(of_session("ab"), AT),
        (EndingAct.END_SESSIONS, eve, None): SessionEnding(of_subject("eve"), AT),
        (EndingAct.PROVIDER_LOGOUT, "operator/oidc:a:b", ("began_by", format_time(BEFORE))): (
            SessionEnding(of_subject("oidc:a:b"), BEFORE)
        ),
        (EndingAct.PROVIDER_LOGOUT, "provider_session/s", ("provider_session", "s")): (
            SessionEnding(of_provider("s"), AT)
        ),
        ("audit.accept_restore", "audit/7", ("head", "aa")): SessionEnding(OF_EVERYBODY, AT),
        ("operator.remove", eve, None): None,
        ("connection.revoke", "connection/1", ("session", "ab")): None,
    }
    for (action, about, detail), ending in ended.items():
        details = dict([detail]) if detail else {}
        assert endings_of(action, about, details, AT) == ((ending,) if ending else ()), action
        fields = {"action": action, "about": about, "details": details, "at": format_time(AT)}
        assert endings_in(fields) == endings_of(action, about, details, AT)


def test_a_logout_at_the_provider_ends_access_tokens_by_the_providers_clock() -> None:
    """Which may be ahead: sessions end by ours."""
    details = {"began_by": format_time(BEFORE), "tokens_until": format_time(AT)}
    ada, of_ada = "operator/oidc:a:b", of_subject("oidc:a:b")
    assert endings_of(EndingAct.PROVIDER_LOGOUT, ada, details, AT) == (
        SessionEnding(of_ada, BEFORE),
        SessionEnding(of_tokens(of_ada), AT),
    )


def test_an_ending_ends_what_began_before_it() -> None:
    """Its own session in any case: the clocks of two control planes differ."""
    session = Session.begin(EVE, AT, provider_session="s")
    hit = [of_session(session.id), of_subject("eve"), of_provider("s"), OF_EVERYBODY]
    for what in hit:
        assert session.is_ended(log_of(SessionEnding(what, AT)).session_ending), what
        early = SessionEnding(what, AT - timedelta(seconds=1))
        is_its_own = what == of_session(session.id)
        assert session.is_ended(log_of(early).session_ending) is is_its_own, what
    for what in (of_session("0" * 32), of_subject("ada"), of_provider("t")):
        assert not session.is_ended(log_of(SessionEnding(what, AT)).session_ending), what
    later = attrs.evolve(session, began_at=AT + timedelta(microseconds=999))
    assert later.is_ended(log_of(SessionEnding(of_subject("eve"), AT)).session_ending)


def test_a_log_forgets_no_ending_that_may_matter() -> None:
    """A checkpoint has those of as long as a session or a token may last, and some more."""
    assert max(LIFETIME, timedelta(seconds=MAX_AGE_SECONDS + CLOCK_SKEW_SECONDS)) < ENDINGS_KEPT
    known = {
        of_session("new"): AT - LIFETIME,
        of_session("old"): AT - ENDINGS_KEPT - timedelta(seconds=1),
    }
    log = log_of(*(SessionEnding(what, at) for what, at in known.items()))
    assert dict(log.all_session_endings()) == known
    checkpoint = checkpoint_of(log, AT, SIGNER)
    assert checkpoint is not None
    kept = {of_session("new"): AT - LIFETIME}
    assert dict(log_at(checkpoint, SIGNER).all_session_endings()) == kept
    shorter = log.without_endings_before(AT - ENDINGS_KEPT)
    assert dict(shorter.all_session_endings()) == kept
    assert (shorter.end, shorter.goes_on_from(log)) == (log.end, True)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100)), min_size=1))
def test_of_the_same_name_the_latest_ending_holds(some: list[tuple[str, int]]) -> None:
    """In whatever order they came, and however they were read: one by one, or all at once."""
    endings = [SessionEnding(what, AT + timedelta(seconds=at)) for what, at in some]
    latest = {what: max(each.began_by for each in endings if each.what == what) for what, _ in some}
    assert dict(log_of(*endings).all_session_endings()) == latest
    newest = NewestActs()
    for number, ending in reversed(list(enumerate(endings, start=1))):
        newest.add(LoggedAct(Place(number, "aa"), "", "a", "b", None, (ending,)))
    at_once = SignedLog().followed_by(Place(len(endings), "aa"), newest)
    assert dict(at_once.all_session_endings()) == latest
