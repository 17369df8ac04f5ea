"""What must hold of a connection's fields beyond their schemas, in words for `openapi.json`."""

from typing import Final

_PRINTABLE: Final = "printable characters on one line"

SECRET_RULES: Final[dict[str, str]] = {
    "username": f"{_PRINTABLE}, without a colon; with its token",
    "token": "with its user name; without control characters; only for static",
    "service_account_key": "a key of a service account, as Google hands it out; only for Google",
    "secret_label": f"{_PRINTABLE}; only with a new secret",
    "credential_expires_at": "only where there is a secret",
}
TERMS_RULES: Final[dict[str, str]] = {
    "host": "a name or an IPv4 address of the provider, and a port; no user name, no other path",
    "repository_prefix": "a repository's name",
    "provider": "the one of the host",
    **SECRET_RULES,
    "role_arn": "the ARN of a role in the account of the host; only for aws_ecr",
    "external_id": "only for aws_ecr",
    "pull_through_cache": "only for aws_ecr",
    "repositories": "patterns of names",
    "fleets": _PRINTABLE,
    "plain_http": "only for static",
    "allowed_networks": "CIDRs without host bits",
    "ca_certificate": "certificates in PEM, and no private key; not with plain_http",
    "auth_realms": "https:// URLs of token endpoints",
    "description": _PRINTABLE,
    "": "not larger in all than an approval can be",
}
