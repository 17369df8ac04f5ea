"""An Amazon ECR registry's host and a role's ARN: what is read off them, and that they agree.

Endpoints come from the region and partition of a validated host, never from input.
"""

import re
from typing import Final, Self

from attrs import frozen

from shared.registry_host import RegistryHost
from shared.safe_message import SafeMessage

MAX_ROLE_ARN_CHARACTERS: Final = 2048  # STS, AssumeRole
PUBLIC_ECR: Final = "public.ecr.aws"

_REGION: Final = r"(?P<region>(?:us-gov|[a-z]{2})-[a-z]{4,12}-[0-9]{1,2})"
_HOST: Final = re.compile(
    rf"(?P<account>[0-9]{{12}})\.dkr\.ecr(?P<fips>-fips)?\.{_REGION}\.amazonaws\.com(?P<china>\.cn)?",
    re.ASCII,
)
# IAM's own grammar of names and paths (IAM user guide, "IAM and STS quotas").
_ROLE_ARN: Final = re.compile(
    r"arn:(?P<partition>aws(?:-cn|-us-gov)?):iam::(?P<account>[0-9]{12}):"
    r"role/(?:[!-~]{1,510}/)?[A-Za-z0-9+=,.@_-]{1,64}",
    re.ASCII,
)
_EXTERNAL_ID: Final = re.compile(r"[A-Za-z0-9+=,.@:/_-]{2,1224}", re.ASCII)  # STS, AssumeRole


class InvalidEcrHostError(SafeMessage, ValueError):
    """The host is no private registry of Amazon ECR."""


class InvalidRoleArnError(SafeMessage, ValueError):
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
        if str(host) == PUBLIC_ECR:
            raise InvalidEcrHostError(
                f"{PUBLIC_ECR} is no registry of an account: connect it with the provider static"
            )
        match = _HOST.fullmatch(str(host))
        partition = _partition(match["region"]) if match else ""
        if match is None or (match["china"] is not None) != (partition == "aws-cn"):
            raise InvalidEcrHostError(
                "expected <account>.dkr.ecr.<region>.amazonaws.com, with .cn in China's regions"
            )
        return cls(match["account"], match["region"], partition, match["fips"] is not None)

    def require_role(self, role_arn: str) -> None:
        """Raise `InvalidRoleArnError` unless a role of this registry's account is named."""
        match = _ROLE_ARN.fullmatch(role_arn) if len(role_arn) <= MAX_ROLE_ARN_CHARACTERS else None
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
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
