"""Which of AWS's endpoints a connection's API calls go to: as its registry's host says. Pure.

botocore makes a name of region and partition. This decides whether the FIPS and the dual-stack
endpoints are asked. If the facade's operator names an endpoint, botocore takes that one instead.
"""

from typing import Final, Literal

from attrs import frozen

from shared.aws_partitions import DUAL_STACK_APIS, GOVCLOUD
from shared.ecr_host import EcrHost, InvalidEcrHostError
from shared.registry_host import RegistryHost

AwsService = Literal["sts", "ecr"]


@frozen
class EndpointVariant:
    """What is asked for beside the region; None is what the facade's own AWS settings say."""

    use_fips: bool | None = None
    use_dual_stack: bool | None = None


PLAIN: Final = EndpointVariant()


def endpoint_variant(service: AwsService, host: RegistryHost) -> EndpointVariant:
    """Return the variant of a service that fits a registry's host.

    A network with only IPv6 reaches only dual-stack hosts, so the APIs are asked there, too.
    """
    try:
        registry = EcrHost.parse(host)
    except InvalidEcrHostError:  # approved elsewhere, for an endpoint that the operator names
        return PLAIN
    # Every STS endpoint of GovCloud is a FIPS one; its dual-stack one has no name with `-fips`
    # (IAM user guide, "Dual-stack endpoint support").
    has_fips = service == "ecr" or registry.partition != GOVCLOUD
    return EndpointVariant(
        use_fips=True if registry.fips and has_fips else None,
        use_dual_stack=(
            True if registry.dual_stack and registry.partition in DUAL_STACK_APIS else None
        ),
    )
