"""The schemas of what the API is sent about connections, and of what a check answers. Pure."""

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
from control_plane.connections.view_schemas import FINGERPRINT
from control_plane.http.schema import (
    BOOLEAN,
    TEXT,
    TIME,
    URL,
    Schema,
    array_of,
    described,
    nullable,
    object_of,
    one_of,
    printable,
)
from control_plane.reading.texts import MAX_REASON_CHARACTERS
from shared.connection import Provider
from shared.upstream.check import CheckOutcome
from shared.upstream.hosts import MAX_TYPED_HOST_CHARACTERS

# Visible ASCII; `registry_host_from_people` says what else is no host.
TYPED_HOST: Final = TEXT | {
    "minLength": 1,
    "maxLength": MAX_TYPED_HOST_CHARACTERS,
    "pattern": "^[!-~]+$",
}

_SECRET_LABEL: Final = nullable(
    printable(MAX_SECRET_LABEL_CHARACTERS, least=1),
    "What the new secret is called, to tell later whether another one is newer: it stands in the"
    " audit log and in views, beside the secret that nobody can read. Only with a new secret.",
)

# The fields of a credential, which a rotation is sent alone.
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
}
