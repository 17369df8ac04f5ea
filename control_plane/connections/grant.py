"""What a customer grants in their cloud so that a connection works: policies and roles. Pure."""

import re
from typing import Final, assert_never

import orjson

from control_plane.connections.google_host import artifact_registry_location
from control_plane.connections.repository_scope import iam_resources, literal_heads
from control_plane.errors import NotFoundError
from shared.aws_partitions import partitions
from shared.connection import (
    Anonymous,
    ConnectionDocument,
    EcrRole,
    GoogleServiceAccount,
    UsernameAndToken,
)
from shared.ecr_host import EcrHost
from shared.ecr_permissions import LOGIN_ACTION, PULL_ACTIONS, PULL_THROUGH_CACHE_ACTIONS

PLACEHOLDER_PRINCIPAL: Final = "REPLACE-WITH-THE-ARN-OF-THE-FACADE"  # AWS refuses it as it stands
POLICY_VERSION: Final = "2012-10-17"  # the language's version, not a date of ours
MAX_MANAGED_POLICY_CHARACTERS: Final = 6144  # IAM quotas, without white space
ARTIFACT_REGISTRY_READER: Final = "roles/artifactregistry.reader"
STORAGE_VIEWER: Final = "roles/storage.objectViewer"
WITHOUT_EXTERNAL_ID: Final = (
    "without an external id the role can be assumed for anybody who knows its ARN and is served by"
    " the same facade (the confused deputy)"
)
PULL_THROUGH_CACHE_MEANS: Final = (
    "whoever pulls may make repositories in this account, and import into them what its pull"
    " through cache rules allow"
)

_PRINCIPAL: Final = re.compile(
    r"arn:(?P<partition>aws(?:-[a-z]+)*):"
    r"(?:iam::[0-9]{12}:(?:root|(?:role|user)/[!-)+-.0-~/]{1,576})"
    r"|sts::[0-9]{12}:assumed-role/[A-Za-z0-9+=,.@_/-]{1,130})",
    re.ASCII,
)

Grant = dict[str, object]


def parse_principal_arn(text: str) -> str:
    """Return the ARN of a role, a user, an account or an assumed role's session."""
    match = _PRINCIPAL.fullmatch(text)
    if match is None or match["partition"] not in partitions():
        raise ValueError("not the ARN of a principal")
    return text


def grant_of(document: ConnectionDocument, fingerprint: str, *, principal_arn: str | None) -> Grant:
    """Return what the customer has to grant for a document.

    Raises `NotFoundError` if there is nothing to grant: the registry only wants a user name and a
    token of its own, or nothing at all.
    """
    match document.credential:
        case Anonymous() | UsernameAndToken():
            raise NotFoundError(
                "there is nothing to grant: the registry itself says what the token may do"
            )
        case GoogleServiceAccount() as account:
            return {"fingerprint": fingerprint, **_google_grant(document, account)}
        case EcrRole() as role:
            return {"fingerprint": fingerprint, **_ecr_grant(document, role, principal_arn)}
        case _ as unreachable:
            assert_never(unreachable)


def _google_grant(document: ConnectionDocument, account: GoogleServiceAccount) -> Grant:
    location = artifact_registry_location(document.host)
    roles, notes = [ARTIFACT_REGISTRY_READER], []
    if location is None:
        roles.append(STORAGE_VIEWER)
        notes.append(
            f"{STORAGE_VIEWER} is for images that still lie in Container Registry's bucket;"
            f" those in Artifact Registry need {ARTIFACT_REGISTRY_READER} alone"
        )
    heads = literal_heads(document.repository_prefix, document.repositories, 2)
    resources = [_artifact_repository(head, location) for head in heads if location]
    if not resources:
        notes.append("bind the roles on the project that holds the images")
    return {
        "provider": document.provider.value,
        "member": f"serviceAccount:{account.client_email}",
        "roles": roles,
        "resources": resources,
        "notes": notes,
    }


def _artifact_repository(head: str, location: str) -> str:
    project, repository = head.split("/")
    return f"projects/{project}/locations/{location}/repositories/{repository}"


def _ecr_grant(document: ConnectionDocument, role: EcrRole, principal_arn: str | None) -> Grant:
    registry = EcrHost.parse(document.host)
    permissions = _permissions_policy(document, role, registry)
    options = {"pull_through_cache": True} if role.pull_through_cache else {}
    return {
        "provider": document.provider.value,
        "role_arn": role.role_arn,
        "external_id": role.external_id,
        **options,
        "principal_arn": principal_arn or PLACEHOLDER_PRINCIPAL,
        "principal_is_placeholder": principal_arn is None,
        "trust_policy": _trust_policy(role, principal_arn or PLACEHOLDER_PRINCIPAL),
        "permissions_policy": permissions,
        "notes": _ecr_notes(role, registry, principal_arn, permissions),
    }


def _trust_policy(role: EcrRole, principal: str) -> Grant:
    statement: Grant = {
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "sts:AssumeRole",
    }
    if role.external_id is not None:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": role.external_id}}
    return {"Version": POLICY_VERSION, "Statement": [statement]}


def _permissions_policy(document: ConnectionDocument, role: EcrRole, registry: EcrHost) -> Grant:
    arn = f"arn:{registry.partition}:ecr:{registry.region}:{registry.account}:repository"
    names = iam_resources(document.repository_prefix, document.repositories)
    actions = [PULL_ACTIONS]
    if role.pull_through_cache:
        actions.append(PULL_THROUGH_CACHE_ACTIONS)
    login: Grant = {"Effect": "Allow", "Action": LOGIN_ACTION, "Resource": "*"}  # it has no other
    upon_repositories: list[Grant] = [
        {"Effect": "Allow", "Action": list(some), "Resource": [f"{arn}/{name}" for name in names]}
        for some in actions
    ]
    return {"Version": POLICY_VERSION, "Statement": [login, *upon_repositories]}


def _ecr_notes(
    role: EcrRole, registry: EcrHost, principal_arn: str | None, permissions: Grant
) -> list[str]:
    notes = []
    if principal_arn is None:
        notes.append(
            "put the facade's AWS identity in the trust policy; CONTROL_PLANE_AWS_PRINCIPAL_ARN"
            " has it printed here"
        )
    elif principal_arn.split(":")[1] != registry.partition:
        notes.append("the facade's AWS identity is of another partition: AWS lets no role across")
    if role.external_id is None:
        notes.append(WITHOUT_EXTERNAL_ID)
    if role.pull_through_cache:
        notes.append(PULL_THROUGH_CACHE_MEANS)
    if len(orjson.dumps(permissions)) > MAX_MANAGED_POLICY_CHARACTERS:
        notes.append("the permissions policy may be too long for IAM; fewer patterns shorten it")
    return notes
