"""What the host of an Amazon ECR registry and the ARN of a role say, and whether they agree.

Endpoints come from the region and partition of a validated host, never from input. AWS documents
two hosts for each registry ("Making requests to Amazon ECR registries"), each also with `-fips`:

- `<account>.dkr.ecr.<region>.<suffix>`, IPv4 alone;
- `<account>.dkr-ecr.<region>.<suffix>`, dual-stack.

The suffixes are the partition's: `amazonaws.com` and `on.aws`, `amazonaws.com.cn` and
`on.amazonwebservices.com.cn`, `amazonaws.eu` and `on.amazonwebservices.eu`, and so on.
"""

import re
from typing import Final, Self

from attrs import frozen

from shared.aws_partitions import Partition, partition_of_region, partitions
from shared.registry_host import RegistryHost
from shared.safe_message import SafeMessage
from shared.several_problems import SeveralProblemsError

MAX_ROLE_ARN_CHARACTERS: Final = 2048  # STS, AssumeRole
PUBLIC_ECR: Final = ("public.ecr.aws", "ecr-public.aws.com")  # the second is dual-stack

_HOST: Final = re.compile(
    r"(?P<account>[0-9]{12})\.dkr(?P<joint>[.-])ecr(?P<fips>-fips)?"
    r"\.(?P<region>[a-z0-9-]+)\.(?P<suffix>[a-z0-9.-]+)",
    re.ASCII,
)
_DUAL_STACK: Final = "-"  # `dkr-ecr`; a host with IPv4 alone has `dkr.ecr`
# IAM's own grammar of names and paths (IAM user guide, "IAM and STS quotas").
_ROLE_ARN: Final = re.compile(
    r"arn:(?P<partition>aws(?:-[a-z]+)*):iam::(?P<account>[0-9]{12}):"
    r"role/(?:[!-~]{1,510}/)?[A-Za-z0-9+=,.@_-]{1,64}",
    re.ASCII,
)
_EXTERNAL_ID: Final = re.compile(r"[A-Za-z0-9+=,.@:/_-]{2,1224}", re.ASCII)  # STS, AssumeRole


class InvalidEcrHostError(SafeMessage, ValueError):
    """The host is no private registry of Amazon ECR."""


class InvalidRoleArnError(SafeMessage, SeveralProblemsError):
    """The text is no role's ARN, or its account or partition is not the registry's."""


@frozen
class EcrHost:
    """A registry's host, in one of the forms above."""

    account: str
    region: str
    partition: str
    fips: bool
    dual_stack: bool = False

    @classmethod
    def parse(cls, host: RegistryHost) -> Self:
        """Return what the host says; raise `InvalidEcrHostError` for any other host."""
        if str(host) in PUBLIC_ECR:
            raise InvalidEcrHostError(
                f"{host} is no registry of an account: connect it with the provider static"
            )
        match = _HOST.fullmatch(str(host))
        partition = partition_of_region(match["region"]) if match else None
        if match is None or partition is None:
            raise InvalidEcrHostError(
                "expected <account>.dkr.ecr.<region>.amazonaws.com, or another host that AWS"
                " documents for a private registry"
            )
        dual_stack = match["joint"] == _DUAL_STACK
        _require_suffix(match["suffix"], partition, dual_stack=dual_stack)
        return cls(
            match["account"], match["region"], partition.id, match["fips"] is not None, dual_stack
        )

    def require_role(self, role_arn: str) -> None:
        """Raise `InvalidRoleArnError` unless a role of this registry's account is named."""
        expected = f"expected arn:{self.partition}:iam::<account>:role/<name>"
        role = _role(role_arn, expected)
        problems = []
        if role["partition"] != self.partition:
            problems.append(f"{expected}: the registry is in the partition {self.partition}")
        if role["account"] != self.account:
            problems.append("the role is of another account than the registry")
        if problems:
            raise InvalidRoleArnError(*problems)


def require_role_arn(role_arn: str) -> None:
    """Raise `InvalidRoleArnError` unless some account's role is named."""
    _role(role_arn, "expected arn:aws:iam::<account>:role/<name>")


def is_external_id(text: str) -> bool:
    """Tell whether STS takes the text for an external id."""
    return _EXTERNAL_ID.fullmatch(text) is not None


def _role(role_arn: str, expected: str) -> re.Match[str]:
    match = _ROLE_ARN.fullmatch(role_arn) if len(role_arn) <= MAX_ROLE_ARN_CHARACTERS else None
    if match is None or match["partition"] not in partitions():
        raise InvalidRoleArnError(expected)
    return match


def _require_suffix(suffix: str, partition: Partition, *, dual_stack: bool) -> None:
    """Raise `InvalidEcrHostError` unless the host ends as its region's partition says."""
    expected = partition.dual_stack_registries if dual_stack else partition.dns_suffix
    if suffix != expected:
        joint = "dkr-ecr" if dual_stack else "dkr.ecr"
        raise InvalidEcrHostError(
            f"expected <account>.{joint}.<region>.{expected} in the partition {partition.id}"
        )
