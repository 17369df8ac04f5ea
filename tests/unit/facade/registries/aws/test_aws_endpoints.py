"""Where STS and ECR's API are asked for a registry's host: the names that botocore makes of it."""

from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config

from facade.registries.aws.aws_endpoints import PLAIN, AwsService, endpoint_variant
from shared.ecr_host import EcrHost
from shared.registry_host import RegistryHost

ACCOUNT = "123456789012"
OPERATIONS = ("get_caller_identity", "get_authorization_token")  # of STS, and of ECR

NameOf = Callable[[AwsService, str], str]


class AskedError(Exception):
    """Raised in place of sending a request; its text is the URL."""


def asked(request: AWSPreparedRequest, **_: object) -> None:
    """Send nothing."""
    raise AskedError(request.url)


@pytest.fixture(scope="module")
def name_of() -> NameOf:
    """Return the name that an API call for a registry goes to."""
    session = botocore.session.Session()

    def name(service: AwsService, host: str) -> str:
        registry = RegistryHost.parse(host)
        variant = endpoint_variant(service, registry)
        client: Any = session.create_client(
            service,
            region_name=EcrHost.parse(registry).region,
            aws_access_key_id="AKIAEXAMPLE",
            aws_secret_access_key="secret",
            config=Config(
                use_fips_endpoint=variant.use_fips, use_dualstack_endpoint=variant.use_dual_stack
            ),
        )
        client.meta.events.register("before-send", asked)
        operation, *_ = (getattr(client, each) for each in OPERATIONS if hasattr(client, each))
        with pytest.raises(AskedError) as url:
            operation()
        return str(url.value).removeprefix("https://").removesuffix("/")

    return name


# What AWS's own rules make of it: `endpoint-rule-set-1.json`, as in all its SDKs.
@pytest.mark.parametrize(
    "host, sts, ecr",
    [
        (
            "dkr.ecr.eu-central-1.amazonaws.com",
            "sts.eu-central-1.amazonaws.com",
            "api.ecr.eu-central-1.amazonaws.com",
        ),
        (
            "dkr-ecr.eu-central-1.on.aws",
            "sts.eu-central-1.api.aws",
            "ecr.eu-central-1.api.aws",
        ),
        (
            "dkr.ecr-fips.us-east-1.amazonaws.com",
            "sts-fips.us-east-1.amazonaws.com",
            "api.ecr-fips.us-east-1.amazonaws.com",
        ),
        (
            "dkr-ecr-fips.us-west-2.on.aws",
            "sts-fips.us-west-2.api.aws",
            "ecr-fips.us-west-2.api.aws",
        ),
        (
            "dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "sts.us-gov-west-1.amazonaws.com",
            "api.ecr-fips.us-gov-west-1.amazonaws.com",
        ),
        (
            "dkr-ecr-fips.us-gov-east-1.on.aws",
            "sts.us-gov-east-1.api.aws",
            "ecr-fips.us-gov-east-1.api.aws",
        ),
        (
            "dkr.ecr.cn-north-1.amazonaws.com.cn",
            "sts.cn-north-1.amazonaws.com.cn",
            "api.ecr.cn-north-1.amazonaws.com.cn",
        ),
        (
            "dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn",
            "sts.cn-northwest-1.api.amazonwebservices.com.cn",
            "ecr.cn-northwest-1.api.amazonwebservices.com.cn",
        ),
        (
            "dkr.ecr.eusc-de-east-1.amazonaws.eu",
            "sts.eusc-de-east-1.amazonaws.eu",
            "api.ecr.eusc-de-east-1.amazonaws.eu",
        ),
        (
            "dkr-ecr.eusc-de-east-1.on.amazonwebservices.eu",
            "sts.eusc-de-east-1.api.amazonwebservices.eu",
            "ecr.eusc-de-east-1.api.amazonwebservices.eu",
        ),
        (
            "dkr.ecr.us-iso-east-1.c2s.ic.gov",
            "sts.us-iso-east-1.c2s.ic.gov",
            "api.ecr.us-iso-east-1.c2s.ic.gov",
        ),
        (
            "dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
            "sts.us-isob-east-1.sc2s.sgov.gov",
            "api.ecr.us-isob-east-1.sc2s.sgov.gov",
        ),
        (
            "dkr-ecr.eu-isoe-west-1.on.cloud-aws.adc-e.uk",
            "sts.eu-isoe-west-1.cloud.adc-e.uk",
            "api.ecr.eu-isoe-west-1.cloud.adc-e.uk",
        ),
        (
            "dkr-ecr.us-isof-south-1.on.aws.hci.ic.gov",
            "sts.us-isof-south-1.csp.hci.ic.gov",
            "api.ecr.us-isof-south-1.csp.hci.ic.gov",
        ),
    ],
)
def test_the_apis_are_asked_where_the_registry_is(
    name_of: NameOf, host: str, sts: str, ecr: str
) -> None:
    """In its partition, on FIPS endpoints for a FIPS host, over IPv6 for a dual-stack one."""
    assert name_of("sts", f"{ACCOUNT}.{host}") == sts
    assert name_of("ecr", f"{ACCOUNT}.{host}") == ecr


@pytest.mark.parametrize("service", ["sts", "ecr"])
def test_another_host_says_nothing_of_endpoints(service: AwsService) -> None:
    """A registry behind an endpoint that the facade's operator names."""
    assert endpoint_variant(service, RegistryHost.parse("127.0.0.1:5000")) == PLAIN
