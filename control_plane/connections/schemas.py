"""The schemas of what crosses the API about connections: bodies, views, grants. Pure."""

from typing import Final

from control_plane.connections.fields import (
    MAX_CA_CERTIFICATE_CHARACTERS,
    MAX_DESCRIPTION_CHARACTERS,
    MAX_SECRET_LABEL_CHARACTERS,
    MAX_USERNAME_CHARACTERS,
    SET_NAME_PATTERN,
)
from control_plane.connections.request import (
    MAX_FLEETS,
    MAX_NETWORKS,
    MAX_REALMS,
    MAX_REPOSITORIES,
)
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
    printable,
    ref,
)
from control_plane.reading.texts import MAX_REASON_CHARACTERS
from shared.connection import Provider
from shared.keys import KEY_ID_HEX_DIGITS
from shared.upstream.check import CheckOutcome
from shared.upstream.hosts import MAX_TYPED_HOST_CHARACTERS

FINGERPRINT: Final = TEXT | {"pattern": "^sha256:[0-9a-f]{64}$"}
_OF_GRANT: Final = described(
    FINGERPRINT, "Of the revision that this is for: the draft, or without one what serves."
)
NOTES: Final = (
    "What of it a facade refuses, always or by default, although it is approved; in words."
)

# Visible ASCII; `registry_host_from_people` says what else is no host.
TYPED_HOST: Final = TEXT | {
    "minLength": 1,
    "maxLength": MAX_TYPED_HOST_CHARACTERS,
    "pattern": "^[!-~]+$",
}

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

_SECRET_LABEL: Final = nullable(
    printable(MAX_SECRET_LABEL_CHARACTERS, least=1),
    "What the new secret is called, to tell later whether another one is newer: it stands in the"
    " audit log and in views, beside the secret that nobody can read. Only with a new secret.",
)

# What is asked for: the credential, and then the rest.
_SECRETS: Final[dict[str, Schema]] = {
    "username": nullable(
        TEXT | {"maxLength": MAX_USERNAME_CHARACTERS}, "static: as whom the registry is asked."
    ),
    "token": nullable(TEXT | {"writeOnly": True, "format": "password"}),
    "service_account_key": nullable(
        {
            "type": "object",
            "writeOnly": True,
            "description": "A service account's JSON key, as Google hands it out; only"
            " type=service_account.",
        }
    ),
    "secret_label": _SECRET_LABEL,
    "credential_expires_at": nullable(
        TIME,
        "When the secret ends, as far as the operator knows; null: nobody knows. With a new secret"
        " it is stated again. It is outside the fingerprint, in the audit log and in views.",
    ),
}


def _wishes(external_id: str) -> dict[str, Schema]:
    """Return the fields of a request or an edit; the text says when there is no external id."""
    return {
        "provider": one_of(Provider, "How the connection gets what it shows to its registry."),
        **_SECRETS,
        "role_arn": nullable(described(TEXT, "A role in the account of the registry's host.")),
        "external_id": nullable(
            described(TEXT, external_id, pattern="^[A-Za-z0-9+=,.@:/_-]{2,1224}$")
        ),
        "pull_through_cache": nullable(
            described(
                BOOLEAN,
                "aws_ecr: whether the role may make repositories and import images"
                " by the account's pull through cache rules.",
                default=False,
            )
        ),
        "repositories": nullable(
            array_of(TEXT, maxItems=MAX_REPOSITORIES),
            "What may be served: patterns on the registry's own names, * within a component, ** for"
            " one or more. Empty: all.",
        ),
        "fleets": nullable(
            array_of(TEXT, maxItems=MAX_FLEETS), "Whose devices may pull. Empty: all."
        ),
        "plain_http": nullable(
            BOOLEAN | {"default": False}, "static: the registry has no TLS; the login is readable."
        ),
        "allowed_networks": nullable(
            array_of(TEXT, maxItems=MAX_NETWORKS),
            "Networks such as 10.0.0.0/8 that may be spoken to beside public addresses.",
        ),
        "ca_certificate": nullable(
            TEXT | {"maxLength": MAX_CA_CERTIFICATE_CHARACTERS},
            "Certificates in PEM that are believed beside the system's authorities: a CA of any"
            " height (a root, or an intermediate alone), or the registry's own certificate. What"
            " stands between the blocks is left out.",
        ),
        "auth_realms": nullable(
            array_of(URL, maxItems=MAX_REALMS),
            "Token endpoints that may be logged in to, beside those of the registry's own host.",
        ),
        "referrers": nullable(
            BOOLEAN | {"default": False},
            "Whether devices may list what refers to a digest: signatures, SBOMs, attestations. No"
            " digest proves such a list, so the devices have to verify what is on it. It needs"
            " statement level 3.",
        ),
        "description": nullable(
            TEXT | {"maxLength": MAX_DESCRIPTION_CHARACTERS},
            "For people. It is no part of what is approved.",
        ),
        "set_name": nullable(
            TEXT | {"pattern": f"^({SET_NAME_PATTERN})?$"},
            "The set of files that it belongs to, which may end it once it is approved; empty or"
            " null: none.",
        ),
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
    "ConnectionRequest": object_of(
        {
            "host": described(
                TYPED_HOST, "As people have it: a pasted https:// URL is reduced to its host."
            ),
            "repository_prefix": nullable(TEXT | {"default": ""}),
            **_wishes("Absent: one is generated. null: none."),
        },
        "static: username and token, or neither for an anonymous connection."
        " google_service_account (<region>-docker.pkg.dev, gcr.io, *.gcr.io): service_account_key."
        " aws_ecr: role_arn, external_id and pull_through_cache; account and region come from the"
        " host.",
        required=("host", "provider"),
    ),
    "Check": object_of(
        {
            "outcome": one_of(CheckOutcome),
            "auth_scheme": nullable(one_of(("bearer", "basic", "none"))),
            "realm": nullable(TEXT),
            "token_expires_in_seconds": nullable({"type": "number"}),
            "problem": nullable(
                described(
                    TEXT,
                    "A fixed code such as credential_refused, realm_not_allowed, not_reachable.",
                )
            ),
            "detail": nullable(described(TEXT, "The problem in words.")),
        }
    ),
    "Approval": object_of(
        {
            "fingerprint": described(
                FINGERPRINT,
                "Of the draft; where no draft waits, of what serves: its approval is renewed.",
            ),
            "expires_at": nullable(
                TIME,
                "When the approval ends; null: never. Needed where the present approval has an"
                " end.",
            ),
            "despite_send_back": described(
                BOOLEAN,
                "Approve a draft that was sent back all the same; needed for such a draft alone.",
                default=False,
            ),
        },
        optional={"expires_at", "despite_send_back"},
    ),
    "SendBack": object_of(
        {
            "comment": described(
                printable(MAX_REASON_CHARACTERS, least=1), "Why, for whoever made the draft."
            ),
            "fingerprint": nullable(FINGERPRINT, "Of the draft that was seen."),
        },
        optional={"fingerprint"},
    ),
    "Revocation": object_of({"reason": nullable(printable(MAX_REASON_CHARACTERS))}, required=()),
    "ConflictingConnection": object_of(
        NAMED,
        "The connection that is in the way: that has the place, or that is not as the call needs"
        " it.",
        required=tuple(NAMED),
    ),
    "ConnectionPage": page_of("Connection"),
    "HistoryChange": object_of(
        {
            "field": described(TEXT, "The field of a connection's view."),
            "before": {"description": "Left out where nobody knows it."},
            "after": {},
        },
        "What an act changed in a field. A secret is never told: secret_version counts up.",
        optional={"before"},
    ),
    "VerifiedAct": object_of(
        {
            "sequence": described(INTEGER, "The place of its entry in the audit log."),
            "at": TIME,
            "actor": TEXT,
            "action": TEXT,
            "revision": nullable(INTEGER, "The revision that it made, approved or ended."),
            "fingerprint": nullable(FINGERPRINT, "Of that revision."),
            "details": {"type": "object", "additionalProperties": TEXT},
            "changes": array_of(
                ref("HistoryChange"),
                "Of a draft: against the draft that waited, or else what served. Of an approval:"
                " against what served.",
            ),
            "problem": nullable(
                TEXT, "What of it is not believed: the database's columns, or a document."
            ),
        },
        "An act whose audit entry was verified.",
    ),
    "UnverifiedAct": object_of(
        {"sequence": INTEGER, "problem": TEXT},
        "An act that is not believed: only its place in the audit log, and why.",
    ),
    "HistoryAct": {"anyOf": [ref("VerifiedAct"), ref("UnverifiedAct")]},
    "HistoryPage": page_of("HistoryAct"),
    "ConnectionEdit": object_of(
        _wishes("null: none."),
        "A merge patch (RFC 7396) upon the draft, or upon what serves where none waits: null takes"
        " a field back to its default. What decides who is shown the secret (username, provider,"
        " auth_realms, plain_http, allowed_networks, ca_certificate) needs the secret again. Host"
        " and prefix cannot change. description is outside the revisions and holds at once.",
        required=(),
    ),
    "CredentialChange": object_of(
        {
            **_SECRETS,
            "approve": described(
                BOOLEAN,
                "Let it serve at once, under the approval that is there; needs the"
                " role approver, an approval that holds and no other draft, and nothing but the"
                " secret may change.",
                default=False,
            ),
        },
        "A new secret: token (with a new username, if it has one), or service_account_key.",
        required=(),
    ),
    "IamPolicy": object_of({"Version": TEXT, "Statement": array_of({"type": "object"})}),
    "EcrGrant": object_of(
        {
            "provider": TEXT | {"const": Provider.AWS_ECR.value},
            "fingerprint": _OF_GRANT,
            "role_arn": TEXT,
            "external_id": nullable(TEXT),
            "pull_through_cache": described(
                BOOLEAN,
                "There only where the permissions policy lets the role fill pull through caches.",
                const=True,
            ),
            "principal_arn": TEXT,
            "principal_is_placeholder": BOOLEAN,
            "trust_policy": ref("IamPolicy"),
            "permissions_policy": ref("IamPolicy"),
            "notes": TEXTS,
        },
        optional={"pull_through_cache"},
    ),
    "GoogleGrant": object_of(
        {
            "provider": TEXT | {"const": Provider.GOOGLE_SERVICE_ACCOUNT.value},
            "fingerprint": _OF_GRANT,
            "member": TEXT,
            "roles": TEXTS,
            "resources": array_of(
                TEXT,
                "Where the scope names them: the repositories to bind the roles on; empty: the"
                " project.",
            ),
            "notes": TEXTS,
        }
    ),
    "Grant": {
        "oneOf": [ref("EcrGrant"), ref("GoogleGrant")],
        "description": "What a customer grants in their cloud.",
    },
}
