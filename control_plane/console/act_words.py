"""What was done, in words: acts as the audit log names them. Pure."""

from typing import Final

from attrs import frozen

from control_plane.console.local_path import ROOT
from shared.statement import AuditEntry

_WORDS: Final = {
    "connection.connect": "connected",
    "connection.draft": "made a draft of",
    "connection.discard": "discarded the draft of",
    "connection.approve": "approved",
    "connection.rotate": "gave a new secret to",
    "connection.revoke": "revoked",
    "connection.send_back": "sent back the draft of",
    "connection.describe": "described",
    "connection.check": "tried the login at",
    "connection.refuse": "was refused the login at",
    "device.revoke": "revoked",
    "device.lift": "lifted the revocation of",
    "operator.add": "added the operator",
    "operator.rotate": "gave a new token to the operator",
    "operator.remove": "removed the operator",
    "operator.end_session": "ended a session of the operator",
    "operator.end_sessions": "ended the sessions of the operator",
    "audit.accept_restore": "accepted the restore of a backup",
}
_CONNECTION: Final = "connection/"


@frozen
class ToldAct:
    """A line of what changed."""

    actor: str
    words: str
    about: str
    at: str
    url: str | None  # of a connection's page


def words_of(action: str) -> str:
    """Return what was done, to be followed by what it was done to."""
    return _WORDS.get(action, f"{action}:")


def connection_id_of(entry: AuditEntry) -> str | None:
    """Return the id of the connection that an entry is about."""
    is_of_connection = entry.about.startswith(_CONNECTION)
    return entry.about.removeprefix(_CONNECTION) if is_of_connection else None


def told(entry: AuditEntry, at: str, place: str | None) -> ToldAct:
    """Return an act in words; `place` is the registry of the connection that it is about."""
    connection_id = connection_id_of(entry)
    kind, _, name = entry.about.partition("/")
    about = place or (name if entry.action in _WORDS else entry.about)
    return ToldAct(
        actor=entry.details.get("actor_name") or entry.actor,
        words=words_of(entry.action),
        about=f"the {kind} {about}" if kind == "device" else about,
        at=at,
        url=f"{ROOT}connections/{connection_id}" if connection_id else None,
    )
