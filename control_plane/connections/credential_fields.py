"""The fields of a connection's credential: which of them belong to which provider.

An edit may leave the secret out. `kept` is then the present credential, whose secret stays.
"""

import secrets
from typing import Final, assert_never

from attrs import field, frozen

from control_plane.connections.fields import parse_external_id, parse_secret, parse_username
from control_plane.connections.google_host import InvalidGoogleHostError, require_google_host
from control_plane.connections.google_key_hint import google_key_hint
from control_plane.reading.field_reader import FieldReader
from shared.connection import (
    Anonymous,
    Credential,
    EcrRole,
    GoogleServiceAccount,
    Provider,
    UsernameAndToken,
)
from shared.ecr_host import EcrHost, InvalidEcrHostError, require_role_arn
from shared.registry_host import RegistryHost
from shared.secret import Secret
from shared.upstream.credentials.google_key import GoogleServiceAccountKey

EXTERNAL_ID_RANDOM_BYTES: Final = 24  # nobody guesses it, and it fits one line of a policy

CREDENTIAL_FIELDS: Final[dict[Provider, tuple[str, ...]]] = {
    Provider.STATIC: ("username", "token"),
    Provider.GOOGLE_SERVICE_ACCOUNT: ("service_account_key",),
    Provider.AWS_ECR: ("role_arn", "external_id", "pull_through_cache"),
}
SECRET_FIELDS: Final = {
    Provider.STATIC: "token",
    Provider.GOOGLE_SERVICE_ACCOUNT: "service_account_key",
}


@frozen
class GivenCredential:
    """A credential and its secret; no secret if the present one is kept, or if there is none."""

    credential: Credential
    secret: Secret | None = field(default=None, repr=False)


def read_credential(
    fields: FieldReader,
    provider: Provider | None,
    host: RegistryHost | None,
    kept: Credential | None = None,
) -> GivenCredential | None:
    """Return what the provider's fields say; None if one of them is wrong.

    A provider of None was wrong itself; then no field is called one of another provider.
    """
    for other, names in CREDENTIAL_FIELDS.items():
        for name in names:
            if fields.has(name) and provider not in (None, other):
                fields.wrong(f"/{name}", f"the provider {provider} has no such field")
    match provider:
        case None | Provider.STATIC:
            return _static(fields, host, kept)
        case Provider.GOOGLE_SERVICE_ACCOUNT:
            return _google(fields, host, kept)
        case Provider.AWS_ECR:
            return _ecr(fields, host)
        case _ as unreachable:
            assert_never(unreachable)


def credential_body(credential: Credential) -> dict[str, object]:
    """Return the fields that ask for this credential, without its secret."""
    match credential:
        case Anonymous() | GoogleServiceAccount():
            return {}
        case UsernameAndToken():
            return {"username": credential.username}
        case EcrRole():
            return {
                "role_arn": credential.role_arn,
                "external_id": credential.external_id,
                "pull_through_cache": credential.pull_through_cache,
            }
        case _ as unreachable:
            assert_never(unreachable)


def _static(
    fields: FieldReader, host: RegistryHost | None, kept: Credential | None
) -> GivenCredential | None:
    """Return user name and token: both, or neither for an anonymous connection."""
    username = fields.text("username", parse_username)
    secret = fields.text("token", lambda text: _token(text, username, host))
    keeps = isinstance(kept, UsernameAndToken) and not fields.given("token")
    if fields.has("username") and not (fields.has("token") or keeps):
        fields.wrong("/token", "a user name needs its token; give both, or neither (anonymous)")
    if fields.has("token") and not fields.has("username"):
        fields.wrong("/username", "a token needs its user name; give both, or neither (anonymous)")
    if username is None:
        return GivenCredential(Anonymous())
    return GivenCredential(UsernameAndToken(username), secret)


def _token(text: str, username: str | None, host: RegistryHost | None) -> Secret:
    try:
        return parse_secret(text)
    except ValueError:
        if (hint := google_key_hint(text, username, host)) is None:
            raise
    raise ValueError(hint)


def _google(
    fields: FieldReader, host: RegistryHost | None, kept: Credential | None
) -> GivenCredential | None:
    """Return the account of a key, whose JSON object is the secret."""
    if host is not None:
        try:
            require_google_host(host)
        except InvalidGoogleHostError as error:
            fields.wrong("/host", str(error))
    if isinstance(kept, GoogleServiceAccount) and not fields.given("service_account_key"):
        return GivenCredential(kept)
    key = fields.json_object("service_account_key", GoogleServiceAccountKey.parse, required=True)
    if key is None:
        return None
    return GivenCredential(GoogleServiceAccount(key.client_email, key.project_id), key.to_secret())


def _ecr(fields: FieldReader, host: RegistryHost | None) -> GivenCredential | None:
    """Return the role. Without `external_id` an id is generated; null means that there is none."""
    registry = None
    try:
        registry = EcrHost.parse(host) if host is not None else None
    except InvalidEcrHostError as error:
        fields.wrong("/host", str(error))

    def parse_role(text: str) -> str:
        (registry.require_role if registry else require_role_arn)(text)
        return text

    role_arn = fields.text("role_arn", parse_role, required=True)
    external_id = fields.text("external_id", parse_external_id)
    if not fields.given("external_id"):
        external_id = secrets.token_urlsafe(EXTERNAL_ID_RANDOM_BYTES)
    pull_through_cache = fields.flag("pull_through_cache")
    if registry is None or role_arn is None:
        return None
    return GivenCredential(
        EcrRole(
            role_arn,
            registry.account,
            registry.region,
            external_id,
            pull_through_cache=pull_through_cache,
        )
    )
