"""What commands read of the API's answers, field by field; `openapi.json` has all that is there.

A field that may be missing is one that older control planes do not have, or that is left out where
there is nothing to say.
"""

from typing import Any, NotRequired, TypedDict


class PageAnswer(TypedDict):
    """A page of a list."""

    items: list[Any]
    next_cursor: NotRequired[str | None]


class PlaceAnswer(TypedDict):
    """Where a connection is."""

    host: str
    repository_prefix: str


class NamedPlaceAnswer(PlaceAnswer):
    """A connection by its names, and whether it may be meant."""

    id: str
    status: str


class GoogleAnswer(TypedDict):
    """Whom Google knows a connection as."""

    client_email: str
    project_id: str


class EcrAnswer(TypedDict):
    """The role that a facade assumes."""

    role_arn: str
    region: str
    external_id: str | None
    pull_through_cache: NotRequired[bool]


class IdentityAnswer(TypedDict):
    """As whom a connection logs in."""

    provider: str | None
    username: str | None
    anonymous: bool
    google: GoogleAnswer | None
    ecr: EcrAnswer | None


class SentBackAnswer(TypedDict):
    """Who sent a draft back, and why."""

    by: str
    at: str
    comment: str


class RecordedCheckAnswer(TypedDict):
    """What became of the check of a login."""

    outcome: str
    problem: str | None


class TermsAnswer(IdentityAnswer):
    """What is approved of a connection, or waits for it."""

    secret_version: int | None
    plain_http: bool
    ca_certificate: str | None
    allowed_networks: list[str]
    auth_realms: list[str]
    repositories: list[str]
    fleets: list[str]
    referrers: bool
    check: RecordedCheckAnswer
    sealing_key_id: NotRequired[str | None]
    set_name: NotRequired[str | None]
    secret_label: NotRequired[str | None]
    credential_expires_at: NotRequired[str | None]
    sent_back: NotRequired[SentBackAnswer | None]
    notes: NotRequired[list[str]]


class DraftAnswer(TermsAnswer):
    """A draft beside what serves."""

    by: str
    at: str
    fingerprint: str


class ConnectionStateAnswer(NamedPlaceAnswer):
    """Who did what to a connection last, and what is wrong with it."""

    connected_by: str | None
    connected_at: str | None
    approved_by: str | None
    approved_at: str | None
    expires_at: str | None
    description: str
    problem: str | None
    names: NotRequired[dict[str, str]]
    serves: NotRequired[bool]


class ListedDraftAnswer(TypedDict):
    """A draft, as lists tell of it."""

    sent_back: NotRequired[SentBackAnswer | None]


class ListedConnectionAnswer(ConnectionStateAnswer, IdentityAnswer):
    """A connection in a list."""

    draft: ListedDraftAnswer | None
    sent_back: NotRequired[SentBackAnswer | None]


class ConnectionAnswer(ConnectionStateAnswer, TermsAnswer):
    """A connection."""

    revoked_by: str | None
    revoked_at: str | None
    generation: int | None
    fingerprint: str | None
    draft: DraftAnswer | None


class MadeTermsAnswer(TypedDict):
    """What waits for an approver, as far as whoever made it is told."""

    fingerprint: str | None
    plain_http: bool
    check: RecordedCheckAnswer
    notes: NotRequired[list[str]]


class MadeConnectionAnswer(MadeTermsAnswer):
    """A connection that `apply` made, changed or ended."""

    id: str
    host: str
    status: str
    draft: MadeTermsAnswer | None


class ExpiryAnswer(TypedDict):
    """When an approval ends."""

    expires_at: str | None


class GrantAnswer(TypedDict):
    """What a customer grants; all else that is in it is printed as it is."""

    notes: list[str]


class CheckAnswer(TypedDict):
    """What a registry said to a login; all else that is in it is printed as it is."""

    outcome: str
    problem: str | None


class PresentApprovalAnswer(TypedDict):
    """The approval that a review compares with."""

    approved_by: str
    approved_by_name: str | None
    approved_at: str
    expires_at: str | None


class ReviewedLineAnswer(TypedDict):
    """A line of a review."""

    label: str
    section: str
    change: str
    before: list[str] | None
    after: list[str] | None


class HighlightAnswer(TypedDict):
    """What stands out in a review."""

    weight: str
    is_new: bool
    words: str


class ReviewAnswer(PlaceAnswer):
    """A review."""

    is_draft: bool
    fingerprint: str
    fingerprint_words: list[str]
    made_by: str
    made_by_name: str | None
    made_at: str
    names: NotRequired[dict[str, str]]
    check: RecordedCheckAnswer
    sent_back: SentBackAnswer | None
    approved: PresentApprovalAnswer | None
    changed_terms: int
    lines: list[ReviewedLineAnswer]
    highlights: list[HighlightAnswer]
    notes: list[str]
    problem: str | None
    refusal: str | None


class HighlightsAnswer(TypedDict):
    """A review, as far as what stands out."""

    highlights: list[HighlightAnswer]


class ChangeAnswer(TypedDict):
    """What an act changed in a field, which may be of any type."""

    field: str
    before: NotRequired[Any]
    after: NotRequired[Any]


class ActAnswer(TypedDict):
    """An act of a connection's history; of one that is not believed nothing else is known."""

    sequence: int
    at: NotRequired[str]
    actor: NotRequired[str]
    action: NotRequired[str]
    details: NotRequired[dict[str, str]]
    changes: NotRequired[list[ChangeAnswer]]
    problem: NotRequired[str | None]


class RevocationAnswer(TypedDict):
    """A device's revocation."""

    id: str
    device: str | None
    serial: str | None
    issuer: str | None
    reason: str | None
    revoked_by: str | None
    revoked_at: str | None
    problem: str | None
    notes: NotRequired[list[str]]


class BatchItemAnswer(TypedDict):
    """What became of one revocation of several."""

    is_new: bool
    revocation: RevocationAnswer


class BatchAnswer(TypedDict):
    """What became of several revocations."""

    items: list[BatchItemAnswer]


class SessionAnswer(TypedDict):
    """A session of the console."""

    id: str
    began_at: str
    last_used_at: str
    ends_at: str


class SignedInAnswer(TypedDict):
    """Somebody who is signed in to the console."""

    name: str
    sessions: int
    last_used_at: str


class MeAnswer(TypedDict):
    """Who calls."""

    name: str
    display_name: str
    role: str
    expires_at: str | None


class ProviderLoginAnswer(TypedDict):
    """The OpenID provider, and the public client there."""

    issuer: str
    client_id: str
    scopes: list[str]
    audience: str
    audience_parameter: str | None


class LoginAnswer(TypedDict):
    """How somebody may log in beside a token."""

    single_sign_on: ProviderLoginAnswer | None


class AuditEntryAnswer(TypedDict):
    """An entry of the audit log; of one that is not believed nothing else is known."""

    sequence: int
    problem: str | None
    hash: NotRequired[str]
    at: NotRequired[str]
    actor: NotRequired[str]
    action: NotRequired[str]
    about: NotRequired[str]
    details: NotRequired[dict[str, str]]
