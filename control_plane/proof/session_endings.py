"""What ends sessions of the console and access tokens, as the signed audit log says it. Pure.

A session is in its browser's cookie, under seal, and nobody can make one. But a row of the database
that says that one has ended may be deleted by whoever writes there. An audit entry may not: so what
ends sessions is an entry, and each request holds its session against them.

An ending names a session, everything that began until a time of somebody or of a provider's
session, or all sessions. A logout at the provider ends access tokens too, by the provider's clock.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from attrs import frozen

from control_plane.proof.actions import ACCEPT_RESTORE

# No session is older (12 hours, `sessions.session`), and no access token (24 hours,
# `single_sign_on.claims`), and one more for clocks that differ.
ENDINGS_KEPT: Final = timedelta(hours=25)
SESSION: Final = "session"  # the detail that names one
PROVIDER_SESSION: Final = "provider_session"  # the detail that names the provider's (`sid`)
BEGAN_BY: Final = "began_by"  # the detail that says until when, if that is not the entry's time
TOKENS_UNTIL: Final = "tokens_until"  # the detail that says which access tokens end, by their `iat`


class EndingAct(StrEnum):
    """An act that ends sessions, as the audit log names it."""

    SIGN_OUT = "operator.sign_out"  # by whoever's they are
    END_SESSION = "operator.end_session"  # by an admin
    END_SESSIONS = "operator.end_sessions"
    PROVIDER_LOGOUT = "operator.provider_logout"  # told by the OpenID provider


_ENDING_ACTS: Final = frozenset(EndingAct)


@frozen
class SessionEnding:
    """What ended, and until when it had to have begun for that."""

    what: str
    began_by: datetime


def of_session(session_id: str) -> str:
    """Return what the ending of one session names."""
    return f"session/{session_id}"


def of_subject(name: str) -> str:
    """Return what the ending of all sessions of an operator or a person names."""
    return f"subject/{name}"


def of_provider(provider_session: str) -> str:
    """Return what the ending of all sessions that hang on a provider's session names."""
    return f"provider/{provider_session}"


def of_tokens(ended: str) -> str:
    """Return what the ending of access tokens names, of a subject or of a provider's session."""
    return f"tokens/{ended}"


# Whoever restores a backup loses the endings since then: so that ends every session of before.
OF_EVERYBODY: Final = "everybody"


def endings_in(fields: Mapping[str, Any]) -> tuple[SessionEnding, ...]:
    """Return what an entry ends, by the members of its proven bytes."""
    action = fields["action"]
    if action != ACCEPT_RESTORE and action not in _ENDING_ACTS:
        return ()
    at = datetime.fromisoformat(fields["at"])
    return endings_of(action, fields["about"], fields.get("details", {}), at)


def endings_of(
    action: str, about: str, details: Mapping[str, str], at: datetime
) -> tuple[SessionEnding, ...]:
    """Return what an entry of these members ends."""
    if action == ACCEPT_RESTORE:
        return (SessionEnding(OF_EVERYBODY, at),)
    if action not in _ENDING_ACTS:
        return ()
    ended = ended_by_act(about, details, at)
    if TOKENS_UNTIL not in details:
        return (ended,)
    until = datetime.fromisoformat(details[TOKENS_UNTIL])
    return ended, SessionEnding(of_tokens(ended.what), until)


def ended_by_act(about: str, details: Mapping[str, str], at: datetime) -> SessionEnding:
    """Return which sessions an `EndingAct` ends."""
    began_by = datetime.fromisoformat(details[BEGAN_BY]) if BEGAN_BY in details else at
    if SESSION in details:
        return SessionEnding(of_session(details[SESSION]), began_by)
    if PROVIDER_SESSION in details:
        return SessionEnding(of_provider(details[PROVIDER_SESSION]), began_by)
    return SessionEnding(of_subject(about.partition("/")[2]), began_by)
