"""The schemas of what a customer grants in their cloud. Pure."""

from typing import Final

from control_plane.connections.view_schemas import FINGERPRINT
from control_plane.http.schema import (
    BOOLEAN,
    TEXT,
    TEXTS,
    Schema,
    array_of,
    described,
    nullable,
    object_of,
    ref,
)
from shared.connection import Provider

_OF_GRANT: Final = described(
    FINGERPRINT, "Of the revision that this is for: the draft, or without one what serves."
)

SCHEMAS: Final[dict[str, Schema]] = {
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
