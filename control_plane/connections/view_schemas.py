"""The schemas of what the API shows of connections: views, drafts, pages. Pure."""

from typing import Final

from control_plane.connections.state import Status
from control_plane.http.schema import (
    BOOLEAN,
    INTEGER,
    NAMES,
    TEXT,
    TEXTS,
    TIME,
    URL,
    UUID,
    Schema,
    array_of,
    described,
    nullable,
    object_of,
    one_of,
    page_of,
    ref,
)
from shared.connection import Provider
from shared.keys import KEY_ID_HEX_DIGITS
from shared.upstream.check import CheckOutcome

FINGERPRINT: Final = TEXT | {"pattern": "^sha256:[0-9a-f]{64}$"}
NOTES: Final = (
    "What of it a facade refuses, always or by default, although it is approved; in words."
)

# What is shown of a document, in a connection and in a draft beside what serves.
_DOCUMENT: Final[dict[str, Schema]] = {
    "provider": nullable(one_of(Provider)),
    "username": nullable(TEXT),
    "secret_version": nullable(described(INTEGER, "Counts up with every new secret.", minimum=1)),
    "sealing_key_id": nullable(
        TEXT | {"pattern": f"^[0-9a-f]{{{KEY_ID_HEX_DIGITS}}}$"},
        "The id of the sealing key that the secret is sealed to: facades need that key's private"
        " half. None without a secret.",
    ),
    "anonymous": BOOLEAN,
    "repositories": array_of(TEXT, "Patterns on the upstream repository name; empty: all."),
    "fleets": array_of(TEXT, "Empty: all."),
    "auth_realms": array_of(URL),
    "plain_http": BOOLEAN,
    "allowed_networks": TEXTS,
    "ca_certificate": nullable(TEXT),
    "referrers": described(BOOLEAN, "Whether devices may list what refers to a digest."),
    "google": nullable(ref("GoogleServiceAccount")),
    "ecr": nullable(ref("EcrRole")),
    "set_name": nullable(TEXT, "The set of files that it was made by, and that may end it."),
    "secret_label": nullable(TEXT, "What whoever gave the secret calls it."),
    "credential_expires_at": nullable(
        TIME, "When the secret ends, as the operator knows it; nothing is decided by it."
    ),
}

NAMED: Final[dict[str, Schema]] = {
    "id": UUID,
    "host": TEXT,
    "repository_prefix": TEXT,
    "status": one_of(Status),
}

SCHEMAS: Final[dict[str, Schema]] = {
    "GoogleServiceAccount": object_of(
        {"client_email": TEXT, "project_id": TEXT}, "Whom Google knows the connection as."
    ),
    "EcrRole": object_of(
        {
            "role_arn": TEXT,
            "region": TEXT,
            "external_id": nullable(TEXT),
            "pull_through_cache": described(
                BOOLEAN,
                "There only where it is so: the role may make repositories and"
                " import images by the account's pull through cache rules.",
                const=True,
            ),
        },
        "The role that the facade assumes.",
        optional={"pull_through_cache"},
    ),
    "Connection": object_of(
        {
            "id": UUID,
            "host": TEXT,
            "repository_prefix": TEXT,
            "status": one_of(
                Status,
                "Of the serving revision, or of the draft while there is only that. pending:"
                " nobody has approved it; approved: an approver has, and `serves` says whether"
                " devices are served now; revoked: for ever, or its only draft was discarded.",
            ),
            "serves": described(
                BOOLEAN,
                "Whether devices are served, as far as the control plane can tell:"
                " it is approved, the approval has not expired, and facades have seen nothing"
                " newer. If not, `problem` says why.",
            ),
            "connected_by": nullable(TEXT),
            "connected_at": nullable(TIME),
            "approved_by": nullable(TEXT),
            "approved_at": nullable(TIME),
            "expires_at": nullable(TIME),
            "revoked_by": nullable(TEXT),
            "revoked_at": nullable(TIME),
            "generation": nullable(INTEGER),
            "fingerprint": nullable(
                FINGERPRINT,
                "Of what serves, or of the draft while there is only that: what an approval names."
                " A draft beside what serves has its own in `draft`.",
            ),
            "description": TEXT,
            **_DOCUMENT,
            "draft": nullable(
                ref("Draft"),
                "The revision that waits beside the one that serves. None if nothing waits, and"
                " while there is only a draft: then the fields of the connection speak of it, and"
                " `status` is pending.",
            ),
            "sent_back": nullable(
                ref("SentBack"),
                "Of the draft while there is only that; a draft beside what serves has its own.",
            ),
            "names": NAMES,
            "check": ref("RecordedCheck"),
            "problem": nullable(
                described(
                    TEXT,
                    "What the database holds of this connection and is not believed,"
                    " or that the approval has expired.",
                )
            ),
            "notes": array_of(TEXT, NOTES),
        },
        "What an approver sees of a connection. Status and fields speak of the serving revision,"
        " or of the draft while there is only that. Never a secret.",
        optional={"notes"},
    ),
    "Draft": object_of(
        {
            "host": TEXT,
            "repository_prefix": TEXT,
            **_DOCUMENT,
            "fingerprint": described(FINGERPRINT, "What an approval of this draft names."),
            "by": TEXT,
            "at": TIME,
            "check": ref("RecordedCheck"),
            "sent_back": nullable(ref("SentBack")),
            "notes": array_of(TEXT, NOTES),
        },
        "A revision that waits beside the one that serves.",
        optional={"notes"},
    ),
    "SentBack": object_of(
        {"by": TEXT, "at": TIME, "comment": TEXT},
        "An approver sent the draft back, and says why; an edit of the draft answers that.",
    ),
    "RecordedCheck": object_of(
        {
            "outcome": one_of((CheckOutcome.PASSED, CheckOutcome.SKIPPED)),
            "problem": nullable(TEXT),
        }
    ),
    "ConflictingConnection": object_of(
        NAMED,
        "The connection that is in the way: that has the place, or that is not as the call needs"
        " it.",
        required=tuple(NAMED),
    ),
    "ConnectionPage": page_of("Connection"),
}
