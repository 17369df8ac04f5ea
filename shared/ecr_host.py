"""An Amazon ECR registry's host and a role's ARN: what is read off them, and that they agree.

Endpoints come from the region and partition of a validated host, never from input.
"""

import re
from typing import Final, Self

from attrs import frozen

from shared.registry_host import RegistryHost

_REGION: Final = r"(?P<region>[a-z]{2,3}(?:-[a-z]{2,8}){1,2}-[0-9]{1,2})"
_HOST: Final = re.compile(
    rf"(?P<account>[0-9]{{12}})\.dkr\.ecr(?P<fips>-fips)?\.{_REGION}\.amazonaws\.com(?P<china>\.cn)?",
    re.ASCII,
)
# IAM's own grammar of names and paths (IAM user guide, "IAM and STS quotas").
_ROLE_ARN: Final = re.compile(
    r"arn:(?P<partition>aws(?:-[a-z]{2,8}){0,2}):iam::(?P<account>[0-9]{12}):"
    r"role/(?:[!-.0-~]{1,128}/){0,8}[A-Za-z0-9+=,.@_-]{1,64}",
    re.ASCII,
)
_EXTERNAL_ID: Final = re.compile(r"[A-Za-z0-9+=,.@:/_-]{2,1224}", re.ASCII)  # STS, AssumeRole
_CHINA: Final = "aws-cn"


class InvalidEcrHostError(ValueError):
    """The host is no private registry of Amazon ECR."""


class InvalidRoleArnError(ValueError):
    """The text is no role's ARN, or of another account or partition than the registry."""


@frozen
class EcrHost:
    """`<account>.dkr.ecr[-fips].<region>.amazonaws.com[.cn]`."""

    account: str
    region: str
    partition: str
    fips: bool

    @classmethod
    def parse(cls, host: RegistryHost) -> Self:
        """Return what the host says; raise `InvalidEcrHostError` for any other host."""
        match = _HOST.fullmatch(str(host))
        partition = _partition(match["region"]) if match else ""
        if match is None or (match["china"] is not None) != (partition == _CHINA):
            raise InvalidEcrHostError(
                "expected <account>.dkr.ecr.<region>.amazonaws.com, with .cn in China's regions"
            )
        return cls(match["account"], match["region"], partition, match["fips"] is not None)

    def require_role(self, role_arn: str) -> None:
        """Raise `InvalidRoleArnError` unless a role of this registry's account is named."""
        match = _ROLE_ARN.fullmatch(role_arn)
        if match is None:
            raise InvalidRoleArnError("expected arn:aws:iam::<account>:role/<name>")
        if match["partition"] != self.partition:
            raise InvalidRoleArnError(f"the registry is in the partition {self.partition}")
        if match["account"] != self.account:
            raise InvalidRoleArnError("the role is of another account than the registry")


def is_external_id(text: str) -> bool:
    """Tell whether STS takes the text for an external id."""
    return _EXTERNAL_ID.fullmatch(text) is not None


def _partition(region: str) -> str:
    match region.split("-"):
        case ["cn", *_]:
            return _CHINA
        case ["us", "gov", *_]:
            return "aws-us-gov"
        case _:
            return "aws"
