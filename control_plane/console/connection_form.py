"""The form that edits a connection: what stands in it, and the body that it asks for. Pure.

The body is the API's: a merge patch upon the draft, or upon what serves if none waits.
"""

from datetime import UTC, date, datetime, time
from typing import Any, Final

from attrs import frozen

from control_plane.connections.revision import RevisionLabels
from control_plane.console.submission import Submission
from control_plane.errors import FieldError, InvalidRequestError, UnreadableBodyError
from control_plane.reading.field_reader import read_object
from shared.canonical_json import format_time
from shared.connection import ConnectionDocument, EcrRole, Provider, UsernameAndToken

SECRETS: Final = frozenset({"token", "service_account_key"})
LISTS: Final = ("repositories", "fleets", "allowed_networks", "auth_realms")
_LAST_SECOND: Final = time(23, 59, 59, tzinfo=UTC)

FormBody = dict[str, object]


@frozen
class EditedConnection:
    """What an edit starts from."""

    document: ConnectionDocument
    labels: RevisionLabels
    description: str

    @property
    def provider(self) -> Provider:
        """Which fields of a login there are."""
        return self.document.provider

    @property
    def shown(self) -> dict[str, Any]:
        """What stands in the fields of the form."""
        document, credential = self.document, self.document.credential
        role = credential if isinstance(credential, EcrRole) else None
        return {
            "description": self.description,
            **{name: "\n".join(map(str, getattr(document, name))) for name in LISTS},
            "plain_http": document.plain_http,
            "ca_certificate": document.ca_certificate or "",
            "referrers": document.referrers,
            "username": credential.username if isinstance(credential, UsernameAndToken) else "",
            "role_arn": role.role_arn if role else "",
            "external_id": (role.external_id or "") if role else "",
            "pull_through_cache": role is not None and role.pull_through_cache,
            "credential_expires_at": self.last_day,
            "secret_label": "",
        }

    @property
    def last_day(self) -> str:
        """The day on which the login ends, as far as somebody stated that."""
        ends = self.labels.credential_expires_at
        return format_time(ends)[: len("2030-01-31")] if ends else ""


def edit_body(sent: Submission, edited: EditedConnection) -> FormBody:
    """Return the patch that a sent form asks for; raise `InvalidRequestError`."""
    body: FormBody = {name: sent.lines(name) for name in LISTS}
    body["description"] = sent.text("description")
    body["ca_certificate"] = sent.text("ca_certificate") or None
    body["referrers"] = sent.ticked("referrers")
    match edited.provider:
        case Provider.STATIC:
            body["plain_http"] = sent.ticked("plain_http")
            body["username"] = sent.text("username") or None
        case Provider.AWS_ECR:
            body["role_arn"] = sent.text("role_arn") or None
            body["external_id"] = sent.text("external_id") or None
            body["pull_through_cache"] = sent.ticked("pull_through_cache")
        case Provider.GOOGLE_SERVICE_ACCOUNT:
            pass
    return body | secret_body(sent) | _credential_end(sent, edited)


def credential_body(sent: Submission, edited: EditedConnection) -> FormBody:
    """Return the body of a new secret; raise `InvalidRequestError`."""
    body = secret_body(sent) | _credential_end(sent, edited)
    if edited.provider is Provider.STATIC and (username := sent.text("username")):
        body["username"] = username
    if sent.ticked("approve"):
        body["approve"] = True
    return body


def secret_body(sent: Submission) -> FormBody:
    """Return the secret, if one was given, and what it is called."""
    body: FormBody = {}
    if token := sent.verbatim("token"):
        body["token"] = token
    if key := sent.text("service_account_key"):
        body["service_account_key"] = _key(key)
    if body and (label := sent.text("secret_label")):
        body["secret_label"] = label
    return body


def _key(text: str) -> object:
    try:
        return read_object(text.encode())
    except (UnreadableBodyError, InvalidRequestError):
        detail = "expected the JSON key as Google hands it out"
        raise InvalidRequestError((FieldError("/service_account_key", detail),)) from None


def _credential_end(sent: Submission, edited: EditedConnection) -> FormBody:
    """Return when the login ends, if another day was chosen than the one that was shown."""
    name = "credential_expires_at"
    chosen = sent.text(name)
    if name not in sent.values or chosen == edited.last_day:
        return {}
    return last_day_body(chosen) or {name: None}


def last_day_body(chosen: str) -> FormBody:
    """Return that a login ends with a day; nothing if none was chosen."""
    name = "credential_expires_at"
    if not chosen:
        return {}
    try:
        moment = datetime.combine(date.fromisoformat(chosen), _LAST_SECOND)
    except ValueError:
        detail = "expected a day such as 2030-01-31"
        raise InvalidRequestError((FieldError(f"/{name}", detail),)) from None
    return {name: format_time(moment)}
