"""What a customer is asked to grant."""

from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.connections.grant import PLACEHOLDER_PRINCIPAL, grant_of, parse_principal_arn
from control_plane.errors import NotFoundError
from shared.connection import (
    Anonymous,
    ConnectionDocument,
    Credential,
    EcrRole,
    GoogleServiceAccount,
    UsernameAndToken,
)
from shared.ecr_host import EcrHost
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.repository_pattern import RepositoryPattern

FINGERPRINT = f"sha256:{'1' * 64}"
FACADE = "arn:aws:iam::210987654321:role/facade"
ACCOUNT = GoogleServiceAccount("puller@factory-1.iam.gserviceaccount.com", "factory-1")


def document(host: str, credential: Credential, **fields: Any) -> ConnectionDocument:
    """Return a document of this host and credential."""
    return ConnectionDocument(
        RegistryHost.parse(host), credential, "alice", datetime.now(UTC), **fields
    )


def ecr(
    host: str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    external_id: str | None = "id-1",
    *,
    pull_through_cache: bool = False,
    **fields: Any,
) -> ConnectionDocument:
    """Return the document of a role."""
    registry = EcrHost.parse(RegistryHost.parse(host))
    arn = f"arn:{registry.partition}:iam::{registry.account}:role/pull"
    role = EcrRole(
        arn,
        registry.account,
        registry.region,
        external_id,
        pull_through_cache=pull_through_cache,
    )
    return document(host, role, **fields)


def resources(grant: dict[str, Any]) -> list[str]:
    """Return the repositories that the permissions policy names."""
    statements = grant["permissions_policy"]["Statement"]
    assert statements[0]["Action"] == "ecr:GetAuthorizationToken"
    assert statements[0]["Resource"] == "*"
    assert statements[1]["Action"] == ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    assert {statement["Effect"] for statement in statements} == {"Allow"}
    return list(statements[1]["Resource"])


def test_a_role_trusts_the_facade_with_the_external_id_alone() -> None:
    """Nobody else's connection may have the facade assume the role."""
    grant: dict[str, Any] = grant_of(ecr(), FINGERPRINT, principal_arn=FACADE)
    assert grant["trust_policy"] == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": FACADE},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": "id-1"}},
            }
        ],
    }
    assert (grant["principal_is_placeholder"], grant["notes"]) == (False, [])
    assert grant["fingerprint"] == FINGERPRINT


def test_without_an_external_id_there_is_no_condition_and_a_warning() -> None:
    """A condition on nothing would refuse the facade."""
    grant: dict[str, Any] = grant_of(ecr(external_id=None), FINGERPRINT, principal_arn=FACADE)
    assert "Condition" not in grant["trust_policy"]["Statement"][0]
    assert any("confused deputy" in note for note in grant["notes"])


def test_an_unknown_facade_is_a_placeholder_that_aws_refuses() -> None:
    """Pasted as it is, nobody is trusted."""
    grant: dict[str, Any] = grant_of(ecr(), FINGERPRINT, principal_arn=None)
    assert grant["trust_policy"]["Statement"][0]["Principal"] == {"AWS": PLACEHOLDER_PRINCIPAL}
    assert grant["principal_is_placeholder"] is True
    assert any("CONTROL_PLANE_AWS_PRINCIPAL_ARN" in note for note in grant["notes"])
    with pytest.raises(ValueError, match="principal"):
        parse_principal_arn(PLACEHOLDER_PRINCIPAL)


@pytest.mark.parametrize(
    "host, arn",
    [
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com",
         "arn:aws:ecr:eu-central-1:123456789012:repository/"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
         "arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
         "arn:aws-cn:ecr:cn-north-1:123456789012:repository/"),
        ("123456789012.dkr-ecr.eu-central-1.on.aws",
         "arn:aws:ecr:eu-central-1:123456789012:repository/"),
        ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
         "arn:aws-eusc:ecr:eusc-de-east-1:123456789012:repository/"),
        ("123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
         "arn:aws-iso-b:ecr:us-isob-east-1:123456789012:repository/"),
    ],
)  # fmt: skip
def test_permissions_are_of_the_registrys_own_partition(host: str, arn: str) -> None:
    """An ARN of another partition names nothing."""
    grant: dict[str, Any] = grant_of(ecr(host), FINGERPRINT, principal_arn=FACADE)
    assert resources(grant) == [f"{arn}*"]
    assert ("arn:aws:" not in arn) == any("partition" in note for note in grant["notes"])


def test_permissions_name_the_scope() -> None:
    """The role reads what the connection serves, and no more than IAM cannot say."""
    scope = tuple(RepositoryPattern.parse(text) for text in ("team/app", "team/models/**"))
    fields: dict[str, Any] = {
        "repository_prefix": RepositoryName.parse("team"),
        "repositories": scope,
    }
    grant: dict[str, Any] = grant_of(ecr(**fields), FINGERPRINT, principal_arn=FACADE)
    arn = "arn:aws:ecr:eu-central-1:123456789012:repository"
    assert resources(grant) == [f"{arn}/team/app", f"{arn}/team/models/*"]


def test_pull_through_caches_are_filled_only_where_that_is_wished() -> None:
    """Repositories are made, and images imported, within the scope; a note says who does it."""
    scope = tuple(RepositoryPattern.parse(text) for text in ("ghcr/**",))
    plain: dict[str, Any] = grant_of(ecr(), FINGERPRINT, principal_arn=FACADE)
    assert len(plain["permissions_policy"]["Statement"]) == 2
    assert "pull_through_cache" not in plain
    wished = ecr(pull_through_cache=True, repositories=scope)
    grant: dict[str, Any] = grant_of(wished, FINGERPRINT, principal_arn=FACADE)
    assert grant["pull_through_cache"] is True
    assert resources(grant) == ["arn:aws:ecr:eu-central-1:123456789012:repository/ghcr/*"]
    assert grant["permissions_policy"]["Statement"][2:] == [
        {
            "Effect": "Allow",
            "Action": ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"],
            "Resource": resources(grant),
        }
    ]
    assert any("pull through cache rules" in note for note in grant["notes"])


def test_a_policy_too_long_for_iam_is_said_to_be() -> None:
    """Before somebody pastes it."""
    scope = tuple(RepositoryPattern.parse(f"{'x' * 200}/{number}") for number in range(40))
    grant: dict[str, Any] = grant_of(ecr(repositories=scope), FINGERPRINT, principal_arn=FACADE)
    assert any("too long" in note for note in grant["notes"])


def test_google_reads_artifact_registry_where_the_scope_says() -> None:
    """The narrowest binding that there is."""
    scope = (RepositoryPattern.parse("factory-1/images/**"),)
    found = document("europe-west1-docker.pkg.dev", ACCOUNT, repositories=scope)
    grant = grant_of(found, FINGERPRINT, principal_arn=None)
    assert grant["member"] == "serviceAccount:puller@factory-1.iam.gserviceaccount.com"
    assert grant["roles"] == ["roles/artifactregistry.reader"]
    assert grant["resources"] == ["projects/factory-1/locations/europe-west1/repositories/images"]


def test_container_registry_needs_its_bucket_too() -> None:
    """Images that were never moved lie in Cloud Storage."""
    grant = grant_of(document("eu.gcr.io", ACCOUNT), FINGERPRINT, principal_arn=None)
    assert grant["roles"] == ["roles/artifactregistry.reader", "roles/storage.objectViewer"]
    assert grant["resources"] == []


@pytest.mark.parametrize("credential", [Anonymous(), UsernameAndToken("robot")])
def test_static_connections_have_nothing_to_grant(credential: Credential) -> None:
    """Said in words."""
    with pytest.raises(NotFoundError, match="nothing to grant"):
        grant_of(document("ghcr.io", credential), FINGERPRINT, principal_arn=FACADE)


@pytest.mark.parametrize(
    "text, fits",
    [
        (FACADE, True),
        ("arn:aws:iam::210987654321:root", True),
        ("arn:aws-cn:iam::210987654321:user/path/facade", True),
        ("arn:aws-us-gov:sts::210987654321:assumed-role/facade/i-0123", True),
        ("arn:aws-eusc:iam::210987654321:role/facade", True),
        ("arn:aws-iso-b:iam::210987654321:role/facade", True),
        ("arn:aws-iso-f:sts::210987654321:assumed-role/facade/i-0123", True),
        ("arn:aws-nowhere:iam::210987654321:role/facade", False),
        ("*", False),
        ("210987654321", False),
        ("arn:aws:iam::210987654321:role/*", False),
        ("arn:aws:iam::21098765432:role/facade", False),
        ('arn:aws:iam::210987654321:role/a"b\n', False),
    ],
)
def test_a_principal_is_somebody(text: str, fits: bool) -> None:  # noqa: FBT001 - a table
    """A wildcard in a trust policy trusts everybody."""
    if fits:
        assert parse_principal_arn(text) == text
    else:
        with pytest.raises(ValueError, match="principal"):
            parse_principal_arn(text)
